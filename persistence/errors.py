"""What can go wrong between the engine and its database.

Rule of this file: every failure of this package has one root, and each kind says what is known about the data and what
to do next. Only `Unavailable` may be tried again; the others stop the writer, because going on could lose or double
what was acknowledged.
"""


class PersistenceError(Exception):
    """The root: catch this to catch every failure of persistence."""


class Unavailable(PersistenceError):
    """The database cannot be reached or started, or refuses for now; what was acknowledged is safe, try again later.

    Nothing of the refused work was written, or that is still to be found out (and will be, before the writer goes on).
    """


class ReadOnly(Unavailable):
    """The database takes no writes here: it is a replica, or its sessions are read-only.

    Where a market runs, a failover is under way, and it is waited for. Where one is opened, it is the wrong database.
    """


class NoRoom(Unavailable):
    """A disk or a quota is full. Nothing of what was to be written is left there; `needed_bytes` is how much it was."""

    def __init__(self, message: str, needed_bytes: int) -> None:
        super().__init__(message)
        self.needed_bytes = needed_bytes


class AccessDenied(PersistenceError):
    """The database's role lacks a right, so nothing was done. Nobody mends that by trying again: somebody grants it."""


class Fenced(PersistenceError):
    """Another writer holds a newer epoch of this shard: stop this process; it must not write again."""


class Gap(PersistenceError):
    """The database's last row is not the one before my first: stop, and recover from the journal."""


class RowsLost(PersistenceError):
    """The journal lacks rows that were acknowledged: the database has gone back to an earlier state.

    Nobody leads it before an operator has brought them back or accepted the loss: what comes would be taken for them.
    """

    def __init__(self, last_seq: int, lost_seq: int, *, other: bool = False) -> None:
        """The journal ends at `last_seq`, and `lost_seq` was acknowledged; `other`: the row there is another one."""
        self.last_seq = last_seq
        self.lost_seq = lost_seq
        self.other = other
        what = f"rows {last_seq + 1} to {lost_seq}" if lost_seq > last_seq + 1 else f"row {lost_seq}"
        found = f"the journal went back from row {lost_seq} to row {last_seq}: {what}, which"
        if other:
            found = f"row {lost_seq} of the journal is not the one that was acknowledged: others, up to that one, which"
        super().__init__(
            f"{found} had been acknowledged, are lost. Bring the database back as it was, or accept the loss with "
            "`callmarket accept-loss`; until then nobody should lead it."
        )

    def __reduce__(self) -> tuple[object, ...]:
        """It is copied for each waiter."""
        return _rows_lost, (self.last_seq, self.lost_seq, self.other)


def _rows_lost(last_seq: int, lost_seq: int, other: bool) -> RowsLost:
    return RowsLost(last_seq, lost_seq, other=other)


class Corrupt(PersistenceError):
    """The journal's own bytes are wrong (a changed byte, a missing or a swapped row): restore from a backup.

    `seq` is the first row that is wrong, None where the damage has no single row.
    """

    def __init__(self, message: str, seq: int | None = None) -> None:
        super().__init__(message)
        self.seq = seq


class Diverged(PersistenceError):
    """The engine, or a table, does not say what the journal says at `seq`: run the version of the code that wrote it.

    The journal itself may be whole: a change of the rules that did not raise `limits.RULES` looks like this.
    """

    def __init__(self, message: str, seq: int | None = None) -> None:
        super().__init__(message)
        self.seq = seq


class TooNew(Diverged):
    """The journal goes on under rules that this version does not know: no way of reading it helps."""


class Archived(PersistenceError):
    """Rows that are needed have left the journal for files: name their folder. The message says which and how."""


class Damaged(PersistenceError):
    """A snapshot cannot be used: its bytes, format or history are wrong. Recovery passes it over, which costs time."""


class SchemaError(PersistenceError):
    """The database's schema is not what this version of the code brings along: the message says which file and why."""
