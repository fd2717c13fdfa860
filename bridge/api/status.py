"""The readiness and the figures of a process, for load balancers, clients and monitoring.

Rule of this file: structs only; `node` fills them, without waiting for the database.
"""

from typing import Literal

from msgspec import Struct

Role = Literal["standby", "leader", "ended"]
"""Whether this process follows, leads, or has stopped leading (`ended`), in which case it must be restarted."""


class Readiness(Struct, frozen=True):
    """Whether a process takes commands and can make them durable; if not, why not, and which process does.

    `reason` is empty if it is ready; it has nothing confidential and may be shown to anyone.
    """

    ready: bool
    role: Role
    leader: str
    durable_seq: int
    queue_rows: int
    outage_s: float
    reason: str
    durability: str = ""
    """Which settings of the database put acknowledged rows at risk in a power failure; empty if none does."""
    projected_seq: int = 0
    """The last row that the SQL tables have. They follow the journal."""
    tables_lag_rows: int = 0
    tables_lag_s: float = 0.0
    """How far the tables are behind, in rows and seconds. Beyond a bound no commands are taken."""
    tables_fault: str = ""
    """Why the tables do not advance; empty if they do. Commands are taken meanwhile, up to that bound: another process
    could not project them either."""


class NodeStatus(Struct, frozen=True):
    """The figures of a process. If it does not lead, `epoch` is 0 and the queue is empty.

    `oldest_s`: how long the oldest row that is not durable has waited, in seconds; 0 if none waits.
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
    """Whether the SQL tables have stopped until an operator repairs them."""
