"""What clients are told of the tools: its shape does not change unnoticed, and its words are true.

After a change that is meant, write the file anew: `python -m tests.support.tools_golden`.
"""

import json
import re
from pathlib import Path

import msgspec
import pytest

from callmarket.bridge.api.errors import Forbidden, Invalid, NotLeader, Refused, TooManyRequests, Unavailable
from callmarket.bridge.api.http.meanings import MEANINGS
from callmarket.bridge.client.doubt import InDoubt
from callmarket.bridge.mcp_server import faults
from callmarket.bridge.mcp_server.calls import command_id_of
from callmarket.bridge.mcp_server.catalogue import BY_NAME, TOOLS
from callmarket.bridge.mcp_server.faults import render_error
from callmarket.bridge.mcp_server.inputs import PlaceBid, Settle
from callmarket.bridge.mcp_server.server import INSTRUCTIONS
from callmarket.engine.events import Rejected
from callmarket.engine.reject import Reject
from tests.support.tools_golden import PATH, tools_text


def test_the_tools_equal_the_golden_file() -> None:
    assert tools_text() == PATH.read_text(encoding="utf-8")


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_every_argument_is_described_and_bounded(tool: object) -> None:
    (told_of,) = [one for one in json.loads(tools_text()) if one["name"] == tool.name]  # type: ignore[attr-defined]
    asked = told_of["inputSchema"]
    assert (asked["type"], asked["additionalProperties"]) == ("object", False)
    assert told_of["outputSchema"]["type"] == "object"
    for name, argument in asked["properties"].items():
        kind = next((one for one in argument.get("anyOf", ()) if one != {"type": "null"}), argument)
        assert kind["description"].endswith("."), name
        bounds = {"maxLength", "maximum", "enum", "format"}
        assert bounds & (set(kind) | {key for one in kind.get("anyOf", ()) for key in one}), name


def test_texts_name_only_existing_tools() -> None:
    rules = Path("bridge/mcp_server/rules.md").read_text(encoding="utf-8")
    texts = " ".join([rules, INSTRUCTIONS, tools_text(), *faults._FOR_TOOLS.values()])
    named = set(re.findall(r"\b[a-z]+_(?:bid|bids|awards|book)\b|\bartifact_(?!id\b)[a-z]+|\bmy_[a-z]+", texts))
    assert named - {"replaces_bid", "winning_bid"} <= set(BY_NAME)
    assert set(faults._FOR_TOOLS) <= set(MEANINGS)


@pytest.mark.parametrize("reason", list(Reject))
def test_every_refusal_says_what_to_do(reason: Reject) -> None:
    refused = Refused(Rejected(reason, "task_id", "t", 5), 17)
    words = render_error(refused)
    assert words.startswith(f"{reason.value}: task_id 't' (against {refused.bound}). ")
    assert words.endswith(".")
    assert "Idempotency-Key" not in words


def test_other_errors_say_what_to_do() -> None:
    assert render_error(InDoubt("who knows", range(1), "k-1", lambda: None), "k-1").count("idempotency_key='k-1'") == 1  # type: ignore[arg-type,return-value]
    assert "Wait 0.2 s" in render_error(TooManyRequests("slow down", 0.2))
    assert "NOT_LEADER" in render_error(NotLeader("there", "http://other:1", 0.2))
    assert "UNAVAILABLE: away. " in render_error(Unavailable("away"))
    assert "tell your operator" in render_error(Forbidden("no")).lower()
    assert "price" in render_error(Invalid("price", -1, "1 or more"))
    assert "hunter2" not in render_error(RuntimeError("password=hunter2"))


def test_the_ids_of_reports_repeat_and_those_of_bids_do_not() -> None:
    report = Settle(provider_id="p", slot_id="s", award_id=1, actual_cost_tokens=2, actual_impact=3)
    other = msgspec.structs.replace(report, actual_impact=4)
    assert command_id_of("settle", report) == command_id_of("settle", report) != command_id_of("settle", other)
    bid = PlaceBid(market_id="m", task_id="t", max_price_tokens=1)
    assert command_id_of("place_bid", bid) != command_id_of("place_bid", bid), "it may be wanted again after it lost"
