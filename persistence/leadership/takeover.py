"""How a follower of a journal becomes its writer.

Rule of this file: decisions only; how an epoch is claimed is handed in, so that a simulation drives the very code that
runs in production (`tests/simulation`). First the epoch, so that nobody writes any more, and then the rest, to the very
end: a leader has every row that was ever acknowledged, or does not lead.
"""

from collections.abc import Callable

from callmarket.persistence.errors import Corrupt, RowsLost
from callmarket.persistence.journal.protocol import Journal, Position, went_back
from callmarket.persistence.recovery import Replica, check_arrival, still_mine

Claim = Callable[[int], int | None]
"""Raises the epoch, if it is still the one that is named, and returns the new one; None if another was faster."""


def follow(journal: Journal, replica: Replica) -> None:
    """Apply new rows.

    Raises `Unavailable`; `RowsLost` where the journal lacks what was applied, or has it otherwise; and `Corrupt` or
    `Diverged` if the rest does not follow. After these the replica is of no more use.
    """
    digest = replica.chain.digest
    assert digest is not None, "a replica knows the digest of its last row"
    before = Position(replica.chain.epoch, replica.chain.seq, digest)
    position = journal.position()
    if loss := went_back(before, position.last_seq, position.last_digest):
        raise loss
    try:
        replica.follow(journal)
    except Corrupt:
        row = journal.row_at(before.last_seq) if before.last_seq else None
        if before.last_seq == 0 or (row is not None and row.digest == before.last_digest):
            raise
        # What comes now continues another row than the one that was applied.
        raise RowsLost(position.last_seq, before.last_seq, other=True) from None


def take_over(journal: Journal, replica: Replica, seen_epoch: int, claim: Claim) -> Position | None:
    """Become the writer after an epoch, and bring the replica to the journal's end, which it returns.

    `seen_epoch` is that of the moment at which nobody was seen to lead: a process that has claimed it since is not
    pushed aside. None if somebody has; nothing has changed then. Every row came out as written, so the state is not
    checked again: it costs the rows since the replica followed last. Raises `Fenced` if another claims meanwhile, and
    as `follow`.
    """
    epoch = claim(seen_epoch)
    if epoch is None:
        return None
    with still_mine(journal, epoch):
        position = journal.position()
        # The database may have gone back since it was looked at.
        follow(journal, replica)
        check_arrival(replica.chain, position)
    return position
