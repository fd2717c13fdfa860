"""From people's words to requests: the defaults of who acts, the units, and what is refused before it is recorded."""

import enum
import itertools
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from callmarket import Exchange, Invalid, Request
from callmarket.bridge.api.contract.operation import Command, Workflow
from callmarket.bridge.api.contract.queries import Moment
from callmarket.bridge.api.contract.requests import request
from callmarket.bridge.api.operations.accounts import burn, mint, open_account, transfer
from callmarket.bridge.api.operations.artifact_markets import (
    decay_subsidy,
    freeze_artifact,
    open_artifact_market,
    settle_artifact,
    unfreeze_artifact,
)
from callmarket.bridge.api.operations.bids import amend_bid, cancel_bid, place_bid
from callmarket.bridge.api.operations.holds import binding_of, capture_hold, place_hold, release_hold
from callmarket.bridge.api.operations.markets import open_market
from callmarket.bridge.api.operations.positions import cancel_order, close_position, open_position
from callmarket.bridge.api.operations.rounds import clear_request, sweep_request
from callmarket.bridge.api.operations.slots import offer_slot, settle, void, withdraw_slot
from callmarket.engine import commands, limits
from callmarket.engine.capital import commands as capital
from callmarket.engine.ids import OrderId, PositionId
from callmarket.engine.state import State

AT = datetime(2030, 1, 1, tzinfo=UTC)
AT_US = 1_893_456_000_000_000
REWARDS = ("reward_tokens_per_impact", "reward_cap_tokens", "reward_day_cap_tokens")


class Kind(enum.StrEnum):
    """Text that is more than text."""

    AGENT = "agent"


class Stamp(int):
    """A number that is more than a number."""


def opening(artifact_id: str, tokens: int | None = None, **rules: Any) -> Request:
    """The request that `open_artifact_market` comes to, at AT."""
    plan = open_artifact_market.plan(artifact_id, tokens, **rules)
    assert isinstance(plan, Workflow)
    limits_asked = next(plan.steps)
    made = plan.steps.send(limits_asked.answer(Moment(State(), 0, AT_US)))
    assert isinstance(made, Command)
    return made.request


DAYS_90_US = 90 * 86_400_000_000

REQUESTS: list[tuple[Request, Request]] = [
    (open_account.request("a"), Request("admin", commands.OpenAccount("a", "agent"))),
    (mint.request("a", 5, "grant:x"), Request("admin", commands.Mint("a", 5, "grant:x"))),
    (
        burn.request("a", 5, "fee", "bill", "7", "why"),
        Request("admin", commands.Burn("a", 5, "fee", "bill", "7", "why")),
    ),
    (transfer.request("a", "b", 5, "gift"), Request("a", commands.Transfer("a", "b", 5, "gift"))),
    (open_market.request("m"), Request("operator", commands.OpenMarket("m"))),
    (
        open_market.request("m", lease=timedelta(seconds=2), pricing_rule="vickrey", lapse_policy="refund"),
        Request("operator", commands.OpenMarket("m", "vickrey", lease_us=2_000_000, lapse_policy="refund")),
    ),
    (offer_slot.request("m", "s"), Request("operator", commands.OfferSlot("m", "s", 0, None, "~"))),
    (
        offer_slot.request("m", "s", AT, reserve_price_tokens=3, provider_id="p", lease=timedelta(milliseconds=1)),
        Request("operator", commands.OfferSlot("m", "s", AT_US, 3, "p", 1_000)),
    ),
    (withdraw_slot.request("s", provider_id="p"), Request("operator", commands.WithdrawSlot("s", "p"))),
    (place_bid.request("m", "a", "t", 5), Request("a", commands.PlaceBid("m", "a", "t", 5))),
    (
        place_bid.request("m", "a", "t", 5, expected_value_usd=Decimal("1.25"), ttl_at=AT, time_in_force="gtd"),
        Request("a", commands.PlaceBid("m", "a", "t", 5, 1_250_000, AT_US, "gtd")),
    ),
    (amend_bid.request(1, max_price_tokens=4), Request("admin", commands.AmendBid(1, 4, None))),
    (amend_bid.request(1, ttl_at=AT), Request("admin", commands.AmendBid(1, None, AT_US))),
    (cancel_bid.request(1, command_id="once"), Request("admin", commands.CancelBid(1), "once")),
    (clear_request("m", AT), Request("operator", commands.ClearRound("m"), "", AT_US)),
    (
        settle.request("s", 9, 1.5, provider_id="p", award_id=2),
        Request("operator", commands.SettleAward("s", 9, 1_500_000, 2, "p")),
    ),
    (void.request("s"), Request("operator", commands.VoidAward("s", None, "~"))),
    (place_hold.request("h", "a", 5, "stake"), Request("a", commands.PlaceHold("h", "a", 5, "stake"))),
    (
        place_hold.request("h", "a", 5, "stake", reference_type="x", reference_id="7", expires_at=AT, memo="hm"),
        Request("a", commands.PlaceHold("h", "a", 5, "stake", "x", "7", AT_US, "hm")),
    ),
    (capture_hold.request("h", "a", "b"), Request("admin", commands.CaptureHold("h", "b", None, "a"))),
    (capture_hold.request("h", "a", "b", 3), Request("admin", commands.CaptureHold("h", "b", 3, "a"))),
    (release_hold.request("h", "a", command_id="once"), Request("admin", commands.ReleaseHold("h", "a"), "once")),
    (binding_of("stake", "x", "7"), Request("operator", commands.BindHolds("stake", "x", "7"))),
    (
        opening("x", 70),
        Request("operator", capital.OpenArtifactMarket("x", 70, AT_US + DAYS_90_US)),
    ),
    (
        opening(
            "x",
            b=Decimal("14.4269504"),
            closes_at=AT,
            exit_fee=0.01,
            exposure_limit=0.25,
            decay=2,
            decay_floor=0.5,
            dispute_window=timedelta(days=2),
            arbiter_id="j",
        ),
        Request(
            "operator",
            capital.OpenArtifactMarket("x", 10, AT_US, 10_000, 250_000, 2_000_000, 500_000, 172_800_000_000, "j"),
        ),
    ),
    (open_position.request("x", "a", "yes", 5), Request("a", capital.OpenPosition("x", "a", "long", 5))),
    (
        open_position.request("x", "a", "no", 5, limit_price=0.1, time_in_force="gtd", expires_at=AT),
        Request("a", capital.OpenPosition("x", "a", "short", 5, 100_000, "gtd", AT_US)),
    ),
    (close_position.request(7), Request("admin", capital.ClosePosition(PositionId(7)))),
    (
        close_position.request(7, "2.000001", limit_price=Decimal("0.999"), time_in_force="fok"),
        Request("admin", capital.ClosePosition(PositionId(7), 2_000_001, 999_000, "fok")),
    ),
    (cancel_order.request(7), Request("admin", capital.CancelOrder(OrderId(7)))),
    (freeze_artifact.request("x", AT), Request("operator", capital.FreezeArtifact("x", AT_US))),
    (unfreeze_artifact.request("x"), Request("operator", capital.UnfreezeArtifact("x"))),
    (settle_artifact.request("x", "void"), Request("operator", capital.SettleArtifact("x", "void"))),
    (
        settle_artifact.request("x", "flagged", 0.1 + 0.1),
        Request("operator", capital.SettleArtifact("x", "flagged", 200_000)),
    ),
    (decay_subsidy.request("x"), Request("operator", capital.DecaySubsidy("x"))),
    (sweep_request(AT), Request("operator", commands.ExpireDue(), "", AT_US)),
]


@pytest.mark.parametrize(("built", "expected"), REQUESTS)
def test_operation_builds_its_request(built: Request, expected: Request) -> None:
    assert built == expected


def test_every_command_is_built_by_an_operation() -> None:
    built = {type(built.command) for built, _ in REQUESTS}
    # What rows were lost is said on the command line, while nobody leads.
    assert built == set(commands.Command.__args__) - {commands.BeginHistory}


INVALID: list[tuple[str, Callable[[], Request], str]] = [
    ("max_price_tokens", lambda: place_bid.request("m", "a", "t", 0), ">= 1"),
    ("max_price_tokens", lambda: place_bid.request("m", "a", "t", limits.TOKENS_MAX + 1), "<= 9007199254740991"),
    ("max_price_tokens", lambda: place_bid.request("m", "a", "t", 5.0), "a whole number"),  # type: ignore[arg-type]
    ("max_price_tokens", lambda: place_bid.request("m", "a", "t", True), "a whole number"),
    ("max_price_tokens", lambda: place_bid.request("m", "a", "t", 10**5000), "JSON"),
    ("max_price_tokens", lambda: place_bid.request("m", "a", "t", Stamp(5)), "JSON"),
    ("task_id", lambda: place_bid.request("m", "a", "", 5), "length >= 1"),
    ("task_id", lambda: place_bid.request("m", "a", "x" * 129, 5), "length <= 128"),
    ("task_id", lambda: place_bid.request("m", "a", "two words", 5), "visible ASCII without spaces"),
    ("task_id", lambda: place_bid.request("m", "a", "line\n", 5), "visible ASCII without spaces"),
    ("task_id", lambda: place_bid.request("m", "a", "\ud800", 5), "JSON"),
    ("task_id", lambda: place_bid.request("m", "a", uuid.UUID(int=7), 5), "a plain str"),  # type: ignore[arg-type]
    ("task_id", lambda: place_bid.request("m", "a", b"bytes", 5), "a plain str"),  # type: ignore[arg-type]
    ("bidder_id", lambda: place_bid.request("m", None, "t", 5), "a text"),  # type: ignore[arg-type]
    ("expected_value_usd", lambda: place_bid.request("m", "a", "t", 5, expected_value_usd=float("nan")), "finite"),
    ("expected_value_usd", lambda: place_bid.request("m", "a", "t", 5, expected_value_usd=-1), "from 0 to"),
    ("time_in_force", lambda: place_bid.request("m", "a", "t", 5, time_in_force="ever"), "one of round, gtd"),  # type: ignore[arg-type]
    ("ttl_at", lambda: place_bid.request("m", "a", "t", 5, ttl_at=datetime(2030, 1, 1)), "time zone"),  # noqa: DTZ001
    ("ttl_at", lambda: amend_bid.request(1, ttl_at=datetime(1969, 1, 1, tzinfo=UTC)), "from 1970 to"),
    ("ttl_at", lambda: amend_bid.request(1, ttl_at=datetime(9999, 1, 1, tzinfo=UTC)), "1970 to 2255-06-05"),
    ("bid_id", lambda: cancel_bid.request(0), ">= 1"),
    ("kind", lambda: open_account.request("a", "system"), "one of agent, quest, provider"),  # type: ignore[arg-type]
    ("kind", lambda: open_account.request("a", Kind.AGENT), "one of agent"),  # type: ignore[arg-type]
    ("actor", lambda: request("no body", commands.OpenAccount("a", "agent")), "visible ASCII without spaces"),
    ("actor", lambda: request(Kind.AGENT, commands.OpenAccount("a", "agent")), "a plain str"),
    ("command_id", lambda: open_account.request("a", command_id="a b"), "visible ASCII without spaces"),
    ("command_id", lambda: open_account.request("a", command_id="x" * 129), "length <= 128"),
    ("command_id", lambda: open_account.request("a", command_id=None), "a plain str"),  # type: ignore[arg-type]
    ("command_id", lambda: open_account.request("a", command_id=7), "a plain str"),  # type: ignore[arg-type]
    ("reason", lambda: mint.request("a", 5, ""), "lower-case words"),
    ("reason", lambda: mint.request("a", 5, "Not This"), "lower-case words"),
    ("memo", lambda: mint.request("a", 5, "x", memo="\0"), "a text without NUL"),
    ("memo", lambda: mint.request("a", 5, "x", memo="x" * 513), "length <= 512"),
    ("reference_id", lambda: mint.request("a", 5, "x", "bill", "no spaces"), "or nothing"),
    ("lease", lambda: open_market.request("m", lease=60), "a timedelta"),  # type: ignore[arg-type]
    ("lease", lambda: open_market.request("m", lease=timedelta(0)), "more than 0"),
    ("lease", lambda: offer_slot.request("m", "s", lease=timedelta(days=32)), "at most 31 days"),
    ("actual_impact", lambda: settle.request("s", 1, "high"), "finite"),  # type: ignore[arg-type]
    ("actual_impact", lambda: settle.request("s", 1, -0.5), "from 0 to"),
    ("actual_cost_tokens", lambda: settle.request("s", -1, 1), ">= 0"),
    ("limit_price", lambda: open_position.request("x", "a", "long", 5, limit_price=0.9995), "from 0.001 to 0.999"),
    ("limit_price", lambda: open_position.request("x", "a", "long", 5, limit_price=float("nan")), "from 0.001"),
    ("limit_price", lambda: close_position.request(7, limit_price="half"), "from 0.001 to 0.999"),
    ("side", lambda: open_position.request("x", "a", "both", 5), "one of long, yes, short, no"),  # type: ignore[arg-type]
    ("amount_tokens", lambda: open_position.request("x", "a", "long", 0.5), "a whole number"),  # type: ignore[arg-type]
    ("expires_at", lambda: open_position.request("x", "a", "long", 5, expires_at=datetime(2030, 1, 1)), "time zone"),  # noqa: DTZ001
    ("shares", lambda: close_position.request(7, 0.0000001), "from 0.000001 to 4503599627.370496"),
    ("position_id", lambda: close_position.request(0), "from 1 to"),  # type: ignore[arg-type]
    ("order_id", lambda: cancel_order.request(0), ">= 1"),  # type: ignore[arg-type]
    ("settled_as", lambda: settle_artifact.request("x", "good"), "one of validated"),  # type: ignore[arg-type]
    ("price", lambda: settle_artifact.request("x", "flagged", -0.1), "from 0 to 1"),
    ("now", lambda: clear_request("m", datetime(2030, 1, 1)), "time zone"),  # noqa: DTZ001
]


@pytest.mark.parametrize(("field", "build", "expected"), INVALID)
def test_invalid_request_names_its_field(field: str, build: Callable[[], Request], expected: str) -> None:
    with pytest.raises(Invalid) as caught:
        build()
    assert caught.value.field == field
    assert expected in caught.value.expected
    assert str(caught.value).startswith(f"{field}: expected ")
    assert "got" in str(caught.value)


@pytest.mark.parametrize("given", [names for count in (1, 2) for names in itertools.combinations(REWARDS, count)])
def test_some_of_the_numbers_of_rewards_without_the_others_are_refused(given: tuple[str, ...]) -> None:
    """SET-3: by the first that is missing; all of them, or none, are a market."""
    (missing, *_) = (name for name in REWARDS if name not in given)
    with pytest.raises(Invalid, match=f"{missing}: expected 1 or more, as rewards need all of"):
        open_market.request("m", **dict.fromkeys(given, 5))
    assert open_market.request("m", **dict.fromkeys(REWARDS, 5)).actor == "admin"
    assert open_market.request("m", **dict.fromkeys(REWARDS, 0)).actor == "operator"


def test_hand_made_request_must_hold_a_command_and_a_whole_time(market: Exchange) -> None:
    """A time that is not a whole number would be journaled as one and recovered as another."""
    commands_of_no_kind: list[Any] = [{"type": "clear_round", "market_id": "m"}, None, object()]
    for command in commands_of_no_kind:
        with pytest.raises(Invalid, match="command: expected one of the commands"):
            market.submit([Request("admin", command)])
    times: list[Any] = [1.5, "1", True, 10**5000]
    for now_us in times:
        with pytest.raises(Invalid, match="now"):
            market.submit([Request("operator", commands.ExpireDue(), "", now_us)])
    assert market.open_account("a").seq == 1


def test_only_plain_str_is_accepted_as_text(market: Exchange) -> None:
    """BID-5: a UUID is journaled as its text; live it would be another task than that text, and recovery diverge."""
    market.open_account("a")
    market.mint("a", 100, "grant:x")
    market.open_market("m")
    task = uuid.UUID(int=7)
    with pytest.raises(Invalid, match="task_id: expected a plain str, got UUID"):
        market.place_bid("m", "a", task, 5)  # type: ignore[arg-type]
    assert market.place_bid("m", "a", str(task), 5).stamp.seq == 4


@pytest.mark.parametrize("reason", ["settle:slot", "lapse:slot", "reward:impact"])
def test_reasons_of_the_market_are_refused_at_the_edge(reason: str) -> None:
    """LED-8: nothing is recorded for it, and the words name the field."""
    for build in (
        lambda: transfer.request("a", "b", 1, reason),
        lambda: mint.request("a", 1, reason),
        lambda: burn.request("a", 1, reason),
        lambda: place_hold.request("h", "a", 1, reason),
    ):
        with pytest.raises(Invalid, match=f"reason: expected another reason than .*, got '{reason}'"):
            build()
