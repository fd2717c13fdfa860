"""What a caller of the simulation may choose.

Rule of this file: it imports nothing heavy, so that a command line can know the options without paying for them.
"""

from pathlib import Path
from typing import Final

from msgspec import Struct

SEED: Final = 20261127
DAYS: Final = 28
DAYS_MAX: Final = 366
# 1 % of idle tokens a day: steep, so that a month shows it.
DEMURRAGE_PPM: Final = 10_000
SHARD_ID: Final = 0


class EconomyOptions(Struct, frozen=True, kw_only=True):
    """What a caller may choose.

    `report` None writes no report. `url` names a PostgreSQL to use instead of the embedded one, which lives in `home`;
    there the database `database` is dropped and made anew.
    """

    seed: int = SEED
    days: int = DAYS
    demurrage_ppm: int = DEMURRAGE_PPM
    report: Path | None = Path("callmarket-economy.html")
    home: Path | None = None
    url: str | None = None
    database: str = "callmarket_economy"
