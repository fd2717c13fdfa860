"""The prices of rules 1 and 2, planted: whoever bids for a rival's task erases the rival.

Rule of this file: it exists to be found out. A bid that is passed over, because its task is taken, sets no price for
anybody, so a winner's own bids on the tasks of others bring its price down.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from callmarket.engine.clearing import Eligible, Match, match
from callmarket.engine.commands import PricingRule


def match_that_erases_rivals(eligible: Eligible, reserves_tokens: Sequence[int], pricing_rule: PricingRule) -> Match:
    """The outcome of a call, with prices that count eligible bids alone (CLR-4, CLR-5 as they were)."""
    result = match(eligible, reserves_tokens, "pay_as_bid")
    winners, rejected = result.winners, [result.best_rejected] if result.best_rejected else []
    while rejected and (bid := eligible.next()) is not None:
        rejected.append(bid)
    if not winners or pricing_rule in ("pay_as_bid", "last_accepted"):
        return result
    price = max([bid.max_price_tokens for bid in rejected[:1]] + [reserves_tokens[len(winners) - 1]])
    if pricing_rule == "first_rejected":
        prices = [price] * len(winners)
        return msgspec.structs.replace(result, prices_tokens=tuple(prices), clearing_price_tokens=price)
    prices, priced = [], Counter[str]()
    for bid in winners:
        slots = sum(winner.bidder_id == bid.bidder_id for winner in winners)
        others = [other.max_price_tokens for other in rejected if other.bidder_id != bid.bidder_id] + [0] * slots
        rank = priced[bid.bidder_id]
        priced[bid.bidder_id] += 1
        prices.append(max(others[rank], reserves_tokens[len(winners) - slots + rank]))
    return msgspec.structs.replace(result, prices_tokens=tuple(prices))
