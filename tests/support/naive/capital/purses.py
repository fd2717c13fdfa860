"""How microtokens become transfers of whole tokens (CAP-3), naively."""

from typing import TYPE_CHECKING

from callmarket.engine.capital import limits
from callmarket.engine.capital.commands import ESCROW
from callmarket.engine.capital.events import PursesSet

if TYPE_CHECKING:
    from tests.support.naive.shard import Shard

TRADE, SETTLE, SUBSIDY = "capital:trade", "capital:settle", "capital:subsidy"


def move_tokens(shard: "Shard", reason: str) -> None:
    """CAP-3: sum the flows of the command, let them through the purses, and move what makes whole tokens.

    Who pays comes first, in the purses as in the transfers.
    """
    capital = shard.capital
    sums: dict[tuple[str, str], int] = {}
    for account, artifact, microtokens in capital.flows:
        sums[account, artifact] = sums.get((account, artifact), 0) + microtokens
    capital.flows = []
    pays = [(key, flow) for key, flow in sums.items() if flow < 0]
    receives = [(key, flow) for key, flow in sums.items() if flow >= 0]
    before = {account: capital.purses.get(account, 0) for (account, _), _ in pays + receives}
    after = dict(before)
    transfers = []
    for (account, artifact), flow in pays + receives:
        tokens, after[account] = divmod(after[account] + flow, limits.MICRO)
        if tokens:
            transfers.append((account, artifact, tokens))
    changed = tuple(account for account in before if after[account] != before[account])
    if changed:
        capital.purses |= {account: after[account] for account in changed}
        shard.say(PursesSet(changed, tuple(after[account] for account in changed)))
    for account, artifact, tokens in transfers:
        debit, credit = (ESCROW, account) if tokens > 0 else (account, ESCROW)
        shard.post(debit, credit, abs(tokens), reason, ("artifact", artifact))
