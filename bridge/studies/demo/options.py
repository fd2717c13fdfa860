"""What a caller of the demo may choose.

Rule of this file: it imports nothing heavy, so that a command line can know the options without paying for numpy.
"""

from pathlib import Path
from typing import Final

from msgspec import Struct

# The day of the trace.
SEED: Final = 20231116
# The length of the window of the trace that is shipped.
MINUTES_MAX: Final = 15
# The demo's database holds one shard, whatever the environment says of others.
SHARD_ID: Final = 0


class DemoOptions(Struct, frozen=True, kw_only=True):
    """What a caller may choose.

    `slots` None takes as many as make the load 1.6; `report` None writes no report. `other_seeds` seeds, those after
    `seed`, are played in memory to show how much the seed matters. `url` names a PostgreSQL to use instead of the
    embedded one, which lives in `home`; there the database `database` is dropped and made anew.
    """

    seed: int = SEED
    minutes: int = MINUTES_MAX
    slots: int | None = None
    other_seeds: int = 5
    report: Path | None = Path("callmarket-demo.html")
    kill: bool = True
    home: Path | None = None
    url: str | None = None
    database: str = "callmarket_demo"
