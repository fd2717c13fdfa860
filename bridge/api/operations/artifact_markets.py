"""Markets for positions in artifacts: open, freeze and settle them, and lower their liquidity.

Rule of this file: the commands of staff and arbiters, and their result types.
"""

from collections.abc import Generator
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, structs

from callmarket.bridge.api import units
from callmarket.bridge.api.capital.quoting import now_of
from callmarket.bridge.api.contract.fields import (
    Liquidity,
    Named,
    PathName,
    SettlePrice,
)
from callmarket.bridge.api.contract.operation import Command, Workflow, operation
from callmarket.bridge.api.contract.queries import Moment, StateQuery
from callmarket.bridge.api.contract.requests import request
from callmarket.bridge.api.contract.results import Stamp, only, stamp
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.messages import Reply, Request
from callmarket.bridge.api.units import Number, datetime_of, duration_of, liquidity_of, number_of
from callmarket.engine.capital import commands
from callmarket.engine.capital.commands import SettledAs
from callmarket.engine.capital.events import (
    ArtifactFrozen,
    ArtifactMarketClosed,
    ArtifactMarketOpened,
    ArtifactSettled,
    PositionsPaid,
    SettledHow,
    SettlementAnnounced,
    SubsidyDecayed,
)
from callmarket.engine.capital.limits import DECAY_PPM_MAX, FREEZE_US_MAX, MICRO, PPM
from callmarket.engine.capital.limits import SUBSIDY_TOKENS_MAX as SUBSIDY_MOST
from callmarket.engine.commands import ADMIN, OPERATOR

__all__ = ["DecayedSubsidy", "FrozenArtifact", "OpenedArtifactMarket", "SettledArtifact"]

# A market that nobody settles ends by itself after this time, unless it names another.
CLOSES_AFTER: Final = timedelta(days=90)

Part = Annotated[float, Meta(ge=0, le=1)]


class OpenedArtifactMarket(Struct, frozen=True):
    """The result of opening a market: `subsidy_tokens` were paid from the subsidy pool, and `b` is what they fund."""

    artifact_id: str
    subsidy_tokens: int
    b: float
    closes_at: datetime
    stamp: Stamp


class FrozenArtifact(Struct, frozen=True):
    """The result of freezing a market: nothing trades until then, and the average price stands still."""

    artifact_id: str
    until: datetime
    price_average: float
    stamp: Stamp


class SettledArtifact(Struct, frozen=True):
    """The result of a settlement. `price` is what a long share is worth; None of a void market.

    Where the market has a dispute window it is only announced, and carried out at `due_at` if nobody freezes the market
    before; else `due_at` is None. `positions` were open, of which `positions_paid` got `paid_tokens` at once. Sweeps
    pay the rest at the same price (`refund_unfilled`, which the service does by itself) while `more_due`.
    """

    artifact_id: str
    settled_as: SettledHow
    price: float | None
    due_at: datetime | None
    positions: int
    positions_paid: int
    paid_tokens: float
    more_due: bool
    stamp: Stamp


class DecayedSubsidy(Struct, frozen=True):
    """The result of a decay: the maker has this subsidy, and the rest went back to the subsidy pool."""

    artifact_id: str
    subsidy_tokens: float
    returned_tokens: float
    stamp: Stamp


@operation(
    "POST",
    "/artifacts/{artifact_id}/market",
    "Artifact markets",
    "Open an artifact market",
    status=201,
    example={"subsidy_tokens": 70},
)
def open_artifact_market(
    artifact_id: PathName,
    subsidy_tokens: Annotated[
        int, Meta(ge=1, le=SUBSIDY_MOST, description="Whole tokens that fund the maker, from `lmsr_subsidy_pool`.")
    ]
    | None = None,
    *,
    b: Liquidity | None = None,
    closes_at: Annotated[datetime, Meta(tz=True, description="When it ends by itself; by default in 90 days.")]
    | None = None,
    exit_fee: Annotated[Part, Meta(description="What of its proceeds a close pays.")] = 0.05,
    exposure_limit: Annotated[Part, Meta(description="What of its wealth an account may commit here.")] = 0.5,
    decay: Annotated[
        float, Meta(ge=0, le=DECAY_PPM_MAX // PPM, description="How fast a decay lowers the liquidity; 0: not.")
    ] = 0.0,
    decay_floor: Annotated[Part, Meta(description="What of the subsidy no decay takes.")] = 0.25,
    dispute_window: Annotated[
        timedelta, Meta(description="How long a settlement is announced; up to 30 days. ISO 8601, for example PT48H.")
    ] = timedelta(0),
    arbiter_id: Annotated[Named, Meta(description="An account that may settle and freeze it, and never trade in it.")]
    | None = None,
    command_id: str = "",
) -> Workflow[OpenedArtifactMarket]:
    """Open a market for positions in an artifact, with a market maker. Needs the scope `operate`.

    Give `subsidy_tokens` or `b`, which funds b ln 2 tokens. The tokens are what the maker can lose at the most; the
    setting `subsidy_tokens_max` bounds them. Its first price is one half. An artifact has one market.
    """
    tokens = _subsidy(subsidy_tokens, b)
    command = commands.OpenArtifactMarket(
        artifact_id=artifact_id,
        subsidy_tokens=tokens,
        closes_at_us=0 if closes_at is None else units.at_us("closes_at", closes_at),
        exit_fee_ppm=units.micros("exit_fee", exit_fee, most=1),
        exposure_limit_ppm=units.micros("exposure_limit", exposure_limit, most=1),
        decay_ppm=units.micros("decay", decay, most=DECAY_PPM_MAX // PPM),
        decay_floor_ppm=units.micros("decay_floor", decay_floor, most=1),
        dispute_window_us=_window_us(dispute_window),
        arbiter_id=arbiter_id or "",
    )
    asked = request(OPERATOR, command, command_id)

    def answer(moment: Moment) -> Request:
        if tokens > moment.subsidy_tokens_max:
            raise Invalid("subsidy_tokens", tokens, f"at most {moment.subsidy_tokens_max}, by the market's setting")
        return asked if closes_at is not None else _closing(moment, command, command_id)

    def steps() -> Generator[Any, Any, OpenedArtifactMarket]:
        made = yield StateQuery(answer)
        opened: OpenedArtifactMarket = yield Command(made, _opened)
        return opened

    return Workflow(steps())


@operation(
    "POST",
    "/artifacts/{artifact_id}/freeze",
    "Artifact markets",
    "Freeze an artifact market",
    example={"until": "2026-12-24T00:00:00Z"},
)
def freeze_artifact(
    artifact_id: PathName,
    until: Annotated[datetime, Meta(tz=True, description="When it opens again by itself; within 30 days.")],
    *,
    command_id: str = "",
) -> Command[FrozenArtifact]:
    """Stop trading until a time, and take back a settlement that is only announced.

    Needs the scope `operate`, or the account of the market's arbiter; and a key whose accounts hold nothing there.
    """
    command = commands.FreezeArtifact(artifact_id, units.at_us("until", until))
    return Command(request(OPERATOR, command, command_id), _frozen)


@operation("POST", "/artifacts/{artifact_id}/unfreeze", "Artifact markets", "Unfreeze an artifact market")
def unfreeze_artifact(artifact_id: PathName, *, command_id: str = "") -> Command[Stamp]:
    """Let a frozen market trade again before its time. Needs what freezing needs."""
    return Command(request(OPERATOR, commands.UnfreezeArtifact(artifact_id), command_id), stamp)


@operation(
    "POST",
    "/artifacts/{artifact_id}/settle",
    "Artifact markets",
    "Settle an artifact market",
    example={"settled_as": "validated"},
)
def settle_artifact(
    artifact_id: PathName,
    settled_as: Annotated[
        SettledAs,
        Meta(description="`validated`: long is worth 1; `flagged`: 0.25; `deprecated`: 0; `void`: costs back."),
    ],
    price: SettlePrice | None = None,
    *,
    command_id: str = "",
) -> Command[SettledArtifact]:
    """Say what the artifact was worth; all positions are paid by it. Final, once no dispute window is left.

    A `price` is at least 0.7 for `validated`, below 0.3 for `flagged`, below 0.1 for `deprecated`. Needs the scope
    `operate`, or the account of the market's arbiter; and a key whose accounts hold nothing there. See
    `preview_settlement` for every payout before.
    """
    command = commands.SettleArtifact(artifact_id, settled_as, price_micros_of(price))
    return Command(request(OPERATOR, command, command_id), _settled)


@operation("POST", "/artifacts/{artifact_id}/decay", "Artifact markets", "Lower the liquidity of a market")
def decay_subsidy(artifact_id: PathName, *, command_id: str = "") -> Command[DecayedSubsidy]:
    """Lower the liquidity of a calm market at an unchanged price (LMSR-9). Needs the scope `operate`."""
    return Command(request(OPERATOR, commands.DecaySubsidy(artifact_id), command_id), _decayed)


def _subsidy(subsidy_tokens: int | None, b: Number | str | None) -> int:
    """The subsidy in tokens, which is named as such or by `b`. Raises `Invalid`."""
    if b is None:
        if subsidy_tokens is None:
            raise Invalid("subsidy_tokens", None, "a number of tokens, or b in its place")
        return subsidy_tokens
    if subsidy_tokens is not None:
        raise Invalid("b", b, "either subsidy_tokens or b")
    return units.subsidy_of("b", b, SUBSIDY_MOST)


def _window_us(dispute_window: timedelta) -> int:
    window_us = units.duration_us("dispute_window", dispute_window)
    if not 0 <= window_us <= FREEZE_US_MAX:
        raise Invalid("dispute_window", str(dispute_window), f"0 to {duration_of(FREEZE_US_MAX).days} days")
    return window_us


def price_micros_of(price: Number | str | None) -> int | None:
    """The price of a settlement in millionths. Raises `Invalid`."""
    return None if price is None else units.micros_within("price", price, 0, MICRO)


def _closing(moment: Moment, command: commands.OpenArtifactMarket, command_id: str) -> Request:
    """The request with the closing date that the command has when none is named: of a retry, that of the first time."""
    closes_at_us = now_of(moment) + units.duration_us("closes_at", CLOSES_AFTER)
    for actor in (OPERATOR, ADMIN) if command_id else ():
        receipt = moment.state.receipts.get(actor, command_id)
        if receipt is not None and isinstance(receipt.command, commands.OpenArtifactMarket):
            closes_at_us = receipt.command.closes_at_us
    return request(OPERATOR, structs.replace(command, closes_at_us=closes_at_us), command_id)


def _opened(reply: Reply) -> OpenedArtifactMarket:
    made, event = stamp(reply), only(reply.events, ArtifactMarketOpened)
    b = liquidity_of(event.subsidy_tokens * MICRO)
    return OpenedArtifactMarket(event.artifact_id, event.subsidy_tokens, b, datetime_of(event.closes_at_us), made)


def _frozen(reply: Reply) -> FrozenArtifact:
    made, event = stamp(reply), only(reply.events, ArtifactFrozen)
    average = number_of(event.average_price_micros)
    return FrozenArtifact(event.artifact_id, datetime_of(event.until_us), average, made)


def _decayed(reply: Reply) -> DecayedSubsidy:
    made, event = stamp(reply), only(reply.events, SubsidyDecayed)
    returned = number_of(event.returned_microtokens)
    return DecayedSubsidy(event.artifact_id, number_of(event.subsidy_microtokens), returned, made)


def _settled(reply: Reply) -> SettledArtifact:
    made = stamp(reply)
    first = reply.events[0]
    if isinstance(first, SettlementAnnounced):
        return SettledArtifact(
            artifact_id=first.artifact_id,
            settled_as=first.settled_as,
            price=None if first.price_micros is None else number_of(first.price_micros),
            due_at=datetime_of(first.due_us),
            positions=0,
            positions_paid=0,
            paid_tokens=0.0,
            more_due=True,
            stamp=made,
        )
    event = only(reply.events, ArtifactSettled)
    paid = [one for one in reply.events if isinstance(one, PositionsPaid)]
    return SettledArtifact(
        artifact_id=event.artifact_id,
        settled_as=event.settled_as,
        price=None if event.price_micros is None else number_of(event.price_micros),
        due_at=None,
        positions=event.positions,
        positions_paid=sum(len(one.position_ids) for one in paid),
        paid_tokens=number_of(sum(sum(one.microtokens) for one in paid)),
        more_due=not any(isinstance(one, ArtifactMarketClosed) for one in reply.events),
        stamp=made,
    )


class ArtifactMarkets:
    """The operations on artifact markets, as methods of a market."""

    open_artifact_market = open_artifact_market
    freeze_artifact = freeze_artifact
    unfreeze_artifact = unfreeze_artifact
    settle_artifact = settle_artifact
    decay_subsidy = decay_subsidy
