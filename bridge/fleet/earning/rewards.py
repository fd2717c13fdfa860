"""`reward_action`: tokens for good work outside the slots.

Rule of this file: the ledger alone decides whether something was paid (LED-4): it remembers each earning for ever, so
no id of a request, no table here and no retry window is needed for it. Asked again, the answer is "already paid".
"""

from typing import Final, Literal

from msgspec import Struct

from callmarket.bridge.api.errors import Invalid, Refused
from callmarket.bridge.api.market import Market
from callmarket.bridge.api.units import Number
from callmarket.bridge.fleet.earning.rates import NO_ACTIONS, Rates, shipped_rates
from callmarket.engine.reject import Reject

EARNING: Final = "earn:"

RewardOutcome = Literal["paid", "already_paid", "nothing", "day_full"]
"""`nothing`: the judgement left no whole token. `day_full`: the account has earned all that it may in 24 hours. Nothing
is recorded for these two, so the same work may be paid later."""


class Context(Struct, frozen=True):
    """For what work a reward is, and how it was judged.

    The reference names the work, and pays once for an account and action. A judgement is from 0 to 1; one that is None
    multiplies by 1.
    """

    reference_type: str
    reference_id: str
    quality: Number | None = None
    novelty: Number | None = None
    impact: Number | None = None
    memo: str = ""


class Reward(Struct, frozen=True):
    """What came of it: `tokens` that were minted by this call (0 unless `paid`), and whether a cap has cut them.

    `seq` is the row of the journal that says so, None where there is none.
    """

    account_id: str
    action_type: str
    outcome: RewardOutcome
    tokens: int = 0
    capped: bool = False
    seq: int | None = None


def reward_action(
    market: Market, account_id: str, action_type: str, context: Context, *, rates: Rates | None = None
) -> Reward:
    """Mint what a table says that this work is worth: once, however often it is asked, also at the same moment.

    Needs to act as the admin. Without `rates`, the shipped table. Raises `Invalid` for an action, a judgement or a
    reference that makes no sense, and what `mint` raises; after any of these it may be asked again. A bound on the
    day's earnings is looked at before the mint, so callers at the same moment may pass it by what each of them pays.
    """
    rates = rates or shipped_rates()
    if not context.reference_id:
        raise Invalid("reference_id", context.reference_id, "a name of the work, which makes that it is paid once")
    judged = {"quality": context.quality, "novelty": context.novelty, "impact": context.impact}
    tokens, capped = rates.rate(action_type).tokens(judged)
    if not tokens:
        return Reward(account_id, action_type, "nothing")
    if rates.daily_cap_tokens:
        left = rates.daily_cap_tokens - _earned_today(market, account_id)
        if left <= 0:
            return Reward(account_id, action_type, "day_full")
        tokens, capped = min(tokens, left), capped or left < tokens
    return pay_once(market, Reward(account_id, action_type, "paid", tokens, capped), context)


def pay_once(market: Market, reward: Reward, context: Context) -> Reward:
    """Mint a reward, unless the ledger has it. Returns what came of it. Raises what `mint` raises, but for that."""
    reason = EARNING + reward.action_type
    try:
        posted = market.mint(
            reward.account_id, reward.tokens, reason, context.reference_type, context.reference_id, context.memo
        )
    except Refused as refused:
        if refused.reason is not Reject.EARNING_DUPLICATE:
            raise
        return Reward(reward.account_id, reward.action_type, "already_paid", seq=refused.seq)
    return Reward(reward.account_id, reward.action_type, "paid", posted.amount_tokens, reward.capped, posted.stamp.seq)


def _earned_today(market: Market, account_id: str) -> int:
    """What an account has earned by actions in 24 hours. First tokens and what has come from a chain are no work."""
    # Asked first, so that payments by others are there too: a client that has read how far all is durable waits for
    # it.
    market.wallet(account_id)
    found = market.earnings(account_id, limit=1).by_reason
    others = [EARNING + name for name in NO_ACTIONS]
    return sum(one.day_tokens for one in found if one.reason.startswith(EARNING) and one.reason not in others)
