"""How a process stands to its market: what it is, whether to send it requests, and its figures.

Rule of this file: facts of one moment, told by `node`. None of them is a promise.
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


class Vitals(Struct, frozen=True):
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
