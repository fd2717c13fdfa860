"""The ids of a model's calls: the same for the same call, so that a call that is repeated is done once."""

from itertools import combinations

from callmarket.bridge.mcp_server import inputs
from callmarket.bridge.mcp_server.calls import command_id_of

CALLS = [
    ("settle", inputs.Settle(provider_id="p", slot_id="s", award_id=7, actual_cost_tokens=60, actual_impact=1.5)),
    ("settle", inputs.Settle(provider_id="p", slot_id="s", award_id=7, actual_cost_tokens=61, actual_impact=1.5)),
    ("settle", inputs.Settle(provider_id="p", slot_id="s", award_id=8, actual_cost_tokens=60, actual_impact=1.5)),
    ("void", inputs.Void(provider_id="p", slot_id="s", award_id=7)),
    ("void", inputs.Void(provider_id="p", slot_id="s", award_id=8)),
    ("cancel_bid", inputs.CancelBid(bid_id=7)),
    ("cancel_bid", inputs.CancelBid(bid_id=8)),
]


def test_the_id_of_a_one_time_call_is_derived_from_its_arguments() -> None:
    for name, asked in CALLS:
        command_id = command_id_of(name, asked)
        assert command_id
        assert command_id == command_id_of(name, asked)
    for one, two in combinations(CALLS, 2):
        assert command_id_of(*one) != command_id_of(*two)
