"""How a process of a market is, for who sends it requests and for who watches it.

Rule of this file: shapes only; `node` fills them, and nothing of it waits for the database.
"""

from typing import Literal

from msgspec import Struct

Role = Literal["standby", "leader", "ended"]
"""Whether this process follows, leads, or has done so: then it is to be started again."""


class Readiness(Struct, frozen=True):
    """Whether a process takes commands and can make them durable; if not, why not, and who does.

    `reason` is empty where it is ready, and in words that may be told to anybody.
    """

    ready: bool
    role: Role
    leader: str
    durable_seq: int
    queue_rows: int
    outage_s: float
    reason: str
    durability: str = ""
    """Why what is acknowledged might not survive a loss of power, by settings of the database; empty if it does."""
    projected_seq: int = 0
    """The last row that the SQL tables have; they follow the journal."""
    tables_lag_rows: int = 0
    tables_lag_s: float = 0.0
    """How many rows they lack, and since when. Beyond a bound nothing is taken any more."""
    tables_fault: str = ""
    """Why they stand still, if they do. Commands are taken meanwhile, up to that bound: another process would not do
    better."""


class NodeStatus(Struct, frozen=True):
    """A process in figures. `epoch` is 0 and nothing waits where it does not lead.

    `oldest_s`: for how long the first row that is not durable has waited; 0 if none waits.
    """

    role: Role
    epoch: int
    applied_seq: int
    durable_seq: int
    queue_rows: int
    queue_bytes: int
    oldest_s: float
    outage_s: float
    projected_seq: int = 0
    tables_lag_rows: int = 0
    tables_lag_s: float = 0.0
    tables_stopped: bool = False
    """Whether the SQL tables stand still until somebody mends them."""
