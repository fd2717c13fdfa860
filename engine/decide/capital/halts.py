"""When a market does not trade.

Rule of this file: one refusal for all that needs an open market (STL-1).
"""

from callmarket.engine.capital.market import ArtifactMarket
from callmarket.engine.commands import Entry
from callmarket.engine.decide.refusals import refused
from callmarket.engine.events import Events
from callmarket.engine.reject import Reject


def refuse_halted(market: ArtifactMarket, entry: Entry) -> Events | None:
    """The refusal of what cannot be done while a market does not trade."""
    artifact_id, phase = market.rules.artifact_id, market.phase
    if phase.status == "settled":
        return refused(Reject.ARTIFACT_SETTLED, "artifact_id", artifact_id)
    if phase.status in ("frozen", "announced"):
        return refused(Reject.ARTIFACT_FROZEN, "artifact_id", artifact_id, phase.due_us or 0)
    if market.rules.closes_at_us <= entry.at_us:
        return refused(Reject.ARTIFACT_CLOSED, "artifact_id", artifact_id, market.rules.closes_at_us)
    return None
