"""How whoever follows a journal becomes its writer.

Rule of this file: decisions only; how an epoch is claimed is handed in, so that a simulation drives the very code that
runs in production (`tests/simulation`). First the epoch, so that nobody writes any more, and then the rest, to the very
end: who leads has every row that was ever acknowledged, or does not lead.
"""

from collections.abc import Callable

from persistence.journal import Journal, Position
from persistence.recovery import Replica, check_arrival, still_mine

Claim = Callable[[int], int | None]
"""Raises the epoch, if it is still the one that is named, and returns the new one; None if another was faster."""


def succeed(journal: Journal, replica: Replica, seen_epoch: int, claim: Claim) -> Position | None:
    """Become the writer after an epoch, and bring the replica to the journal's end, which it returns.

    `seen_epoch` is that of the moment at which nobody was seen to lead: whoever has claimed since is not pushed aside.
    None if somebody has; nothing has changed then. Every row came out as written, so the state is not checked again:
    it costs the rows since the replica followed last. Raises `Unavailable`; `Fenced` if another claims meanwhile, and
    `Corrupt` or `Diverged` if the rest does not follow: after these the replica is of no more use.
    """
    epoch = claim(seen_epoch)
    if epoch is None:
        return None
    with still_mine(journal, epoch):
        position = journal.position()
        replica.follow(journal)
        check_arrival(replica.chain, position)
    return position
