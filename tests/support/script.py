"""A table language for tests of the engine: one line is one command, and its result stands at the line's end.

    market m rule=vickrey reserve=5
    account a agent 1000
    t=10 bid a task1 500 gtd ttl=99      -> bid 1
    t=12 slot s1 reserve=100
    t=20 clear m                         -> price 100: 1@s1
    t=21 cancel 1 by b                   -> NOT_PERMITTED
    wallet a                             -> balance 1000 held 100

Rule of this file: strict. An unknown word, a missing value or a time that goes back is a `ScriptError` with the line's
number; a result that differs is an `AssertionError` that shows the line as it would have to read. After each line the
state checks itself, and so does the script: balances must be the sum of the transfers seen.

Grammar. `[x]` may be left out, `#` begins a comment, and a line without an arrow expects `ok`.

    line    = [t=AT_US] command [id=COMMAND_ID] [by ACTOR] [-> result]   the time stays until a line sets another
            | question -> answer
            | bound NAME NUMBER                                          lowers engine.limits.NAME from here on
    command = market M [rule= reserve= cap= lease= lapse= scope=]                   by operator
              [reward= reward_cap= reward_day= reward_from=]                        by admin, where rewards are paid
            | account A KIND [TOKENS]                                               by admin; with TOKENS: and mint
            | mint A TOKENS [reason= type= ref= memo=] | burn (the same)            by admin
            | transfer A B TOKENS [reason= type= ref= memo=]                        by A
            | slot S [market= at= reserve= provider= lease=]                        by operator
            | withdraw S [provider=]                                                by operator
            | bid A TASK TOKENS [round|gtd] [market= ttl= value=]                   by A
            | amend BID [price= ttl=] | cancel BID                                  by the bid's bidder
            | clear [M] | sweep                                                     by operator
            | settle S [cost= impact= award= provider=] | void S [award= provider=] by operator
            | hold H A TOKENS [reason= type= ref= memo= until=]                     by A
            | capture H A [amount= of=] | release H [of=]                           by who placed H
            | bind REASON TYPE REF                                                  by operator
            | those of `tests.support.artifact_script`, which has questions and results too
    result  = ok | bid N | released TOKENS | repeated SEQ
            | REASON                                 any refusal for this reason
            | REASON FIELD=VALUE bound=BOUND         that refusal
            | PRICES [, ENDS] [, later N]            clear; N losers are left to the sweeps
            | [PRICES = price P: BID@SLOT ... | prices: BID@SLOT=P ... | no sale]
            | moved nothing | paid TOKENS to A [, reward TOKENS]                    settle
            | paid TOKENS to A [, released TOKENS]                                  capture
            | [ENDS,] done|more                      sweep; ENDS of bids and slots before those of artifacts
            | [ENDS = lost BID ... | expired BID ... | lapsed BID@SLOT=CHARGED ... | freed H ..., joined by ", "]
    question = wallet A -> balance N held N
            | book [M] -> PRICE:BID,BID PRICE:BID | empty       best first, without losers
            | slot? S [P] -> STATUS | STATUS award N            unknown if it is forgotten
            | hold? BID|H [A] -> N | none
            | round -> supply N demand N awards N price N|none visited N best_rejected BID|none later N   the last call

The market is the first one of the script where none is named. A slot is that of the provider who offered one of its id
last, and a hold that of the account for which one of its id was placed last, where no `provider=` or `of=` says whose.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import TypeVar

import msgspec

from callmarket.engine import limits
from callmarket.engine.book import best_first
from callmarket.engine.capital import limits as capital_limits
from callmarket.engine.capital.commands import CancelOrder, ClosePosition
from callmarket.engine.capital.events import OrdersEnded, PositionsPaid
from callmarket.engine.commands import (
    ADMIN,
    OPERATOR,
    TREASURY,
    AmendBid,
    BeginHistory,
    BindHolds,
    Burn,
    CancelBid,
    CaptureHold,
    ClearRound,
    Command,
    Entry,
    ExpireDue,
    Mint,
    OfferSlot,
    OpenAccount,
    OpenMarket,
    PlaceBid,
    PlaceHold,
    ReleaseHold,
    SettleAward,
    Transfer,
    VoidAward,
    WithdrawSlot,
)
from callmarket.engine.core import Engine
from callmarket.engine.events import (
    AwardGranted,
    AwardLapsed,
    AwardSettled,
    AwardVoided,
    BidCancelled,
    BidPlaced,
    BidsExpired,
    BidsLost,
    Event,
    Events,
    HoldCaptured,
    HoldPlaced,
    HoldReleased,
    HoldsExpired,
    Rejected,
    Repeated,
    RoundCleared,
    SlotOffered,
    SweepFinished,
    TransferPosted,
    one_by_one,
)
from callmarket.engine.holds import HoldKey
from tests.support import artifact_script
from tests.support.streams import bounds

E = TypeVar("E", bound=Event)

ARROW = " -> "


class ScriptError(ValueError):
    """A line that is not of the language."""


@dataclass(frozen=True)
class Verb:
    """How a line becomes a command: the fields that its words fill."""

    command: type[Command]
    positional: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict)
    flags: dict[str, tuple[str, str]] = field(default_factory=dict)
    defaults: dict[str, str] = field(default_factory=dict)
    actor: str = OPERATOR
    """Who asks where nobody is named; `@field` is whom that field names."""


_REASON = {"reason": "reason", "type": "reference_type", "ref": "reference_id", "memo": "memo"}
_GRANT = {"reason": "grant:initial"}
_RULES = {
    "rule": "pricing_rule",
    "reserve": "reserve_price_tokens",
    "cap": "awards_per_bidder_max",
    "lease": "lease_us",
    "lapse": "lapse_policy",
    "reward": "reward_tokens_per_impact",
    "reward_cap": "reward_cap_tokens",
    "reward_day": "reward_day_cap_tokens",
    "reward_from": "reward_account_id",
    "scope": "task_scope",
}
_OFFER = {
    "market": "market_id",
    "at": "available_at_us",
    "reserve": "reserve_price_tokens",
    "provider": "provider_id",
    "lease": "lease_us",
}
_BID = {"market": "market_id", "ttl": "ttl_at_us", "value": "expected_value_microusd"}
_FORCE = {"round": ("time_in_force", "round"), "gtd": ("time_in_force", "gtd")}
_PROVIDER = {"provider": "provider_id"}
_REPORT = {"cost": "actual_cost_tokens", "impact": "actual_impact_micros", "award": "award_id"} | _PROVIDER
_NOTHING = {"actual_cost_tokens": "0", "actual_impact_micros": "0"}

VERBS = {
    "market": Verb(OpenMarket, ("market_id",), _RULES),
    "account": Verb(OpenAccount, ("account_id", "kind"), actor=ADMIN),
    "mint": Verb(Mint, ("account_id", "amount_tokens"), _REASON, defaults=_GRANT, actor=ADMIN),
    "burn": Verb(Burn, ("account_id", "amount_tokens"), _REASON, defaults=_GRANT, actor=ADMIN),
    "transfer": Verb(
        Transfer,
        ("from_account_id", "to_account_id", "amount_tokens"),
        _REASON,
        defaults=_GRANT,
        actor="@from_account_id",
    ),
    "slot": Verb(OfferSlot, ("slot_id",), _OFFER, defaults={"available_at_us": "0"}),
    "withdraw": Verb(WithdrawSlot, ("slot_id",), _PROVIDER),
    "bid": Verb(PlaceBid, ("bidder_id", "task_id", "max_price_tokens"), _BID, _FORCE, actor="@bidder_id"),
    "amend": Verb(AmendBid, ("bid_id",), {"price": "max_price_tokens", "ttl": "ttl_at_us"}, actor="@bid_id"),
    "cancel": Verb(CancelBid, ("bid_id",), actor="@bid_id"),
    "clear": Verb(ClearRound, ("market_id",)),
    "sweep": Verb(ExpireDue),
    "settle": Verb(SettleAward, ("slot_id",), _REPORT, defaults=_NOTHING),
    "void": Verb(VoidAward, ("slot_id",), {"award": "award_id"} | _PROVIDER),
    "hold": Verb(
        PlaceHold,
        ("hold_id", "account_id", "amount_tokens"),
        _REASON | {"until": "expires_at_us"},
        defaults={"reason": "stake"},
        actor="@account_id",
    ),
    "capture": Verb(
        CaptureHold, ("hold_id", "to_account_id"), {"amount": "amount_tokens", "of": "account_id"}, actor="@hold_id"
    ),
    "bind": Verb(BindHolds, ("reason", "reference_type", "reference_id")),
    "release": Verb(ReleaseHold, ("hold_id",), {"of": "account_id"}, actor="@hold_id"),
    # Without `after` it is the row with which history goes on after a loss.
    "history": Verb(BeginHistory, (), {"after": "after_seq", "lost": "lost_seq"}, actor=ADMIN),
} | {
    word: Verb(command, positional, options, flags, actor=actor)
    for word, (command, positional, options, flags, actor) in artifact_script.WORDS.items()
}


class Script:
    """An engine that is told a market line by line. `events` is all that happened, `entries` all that was asked."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.at_us = 0
        self.entries: list[Entry] = []
        self.events: list[Event] = []
        self._bounds: dict[str, int] = {}
        self._market_id = "m"
        self._balances: dict[str, int] = defaultdict(int)
        # Whose a bid is, and who placed a named hold.
        self._owners: dict[int | HoldKey, str] = {}
        # Whose an order or a position is.
        self._traders: dict[int, str] = {}
        # Whose the slot and the hold of an id are that were offered and placed last.
        self._providers: dict[str, str] = {}
        self._holders: dict[str, str] = {}
        self._questions: dict[str, Callable[[list[str]], str]] = {
            "wallet": self._wallet,
            "book": self._book,
            "slot?": self._slot,
            "hold?": self._hold,
            "round": self._round,
            **{
                question: partial(self._of_artifacts, question)
                for question in ("purse", "position", "order?", "price", "pool")
            },
        }

    def run(self, text: str) -> "Script":
        """Run the lines of a script; raise at the first that does not hold."""
        for number, line in enumerate(text.splitlines(), 1):
            told, arrow, expected = line.partition("#")[0].partition(ARROW)
            if told.strip():
                try:
                    actual = self._run_line(told.split())
                except (ScriptError, msgspec.ValidationError) as error:
                    raise ScriptError(f"line {number}: {told.strip()}: {error}") from None
                _compare(number, told, expected.strip() if arrow else "ok", actual)
                self._check()
        return self

    def all(self, event_type: type[E]) -> list[E]:
        """All events of one type, oldest first."""
        return [event for event in one_by_one(self.events) if isinstance(event, event_type)]

    def _run_line(self, words: list[str]) -> str:
        if words[0] == "bound":
            return self._set_bound(words[1:])
        if words[0] in self._questions:
            return self._questions[words[0]](words[1:])
        if words[0].startswith("t="):
            at_us = _number(words.pop(0).removeprefix("t="))
            if at_us < self.at_us:
                raise ScriptError(f"time goes back from {self.at_us}")
            self.at_us = at_us
        if not words:
            raise ScriptError("no command")
        actor = words.pop() if words[-2:-1] == ["by"] else ""
        if actor:
            words.pop()
        name = words.pop(0)
        if name not in VERBS:
            raise ScriptError(f"unknown word {name!r}")
        granted = words.pop(2) if name == "account" and words[2:3] and words[2].isdecimal() else None
        shown = self._apply(VERBS[name], words, actor)
        if granted is not None and shown == "ok":
            shown = self._apply(VERBS["mint"], [words[0], granted], actor)
        return shown

    def _apply(self, verb: Verb, words: list[str], actor: str) -> str:
        fields = dict(verb.defaults)
        if verb.command in (PlaceBid, OfferSlot, ClearRound):
            fields["market_id"] = self._market_id
        command_id = _read_words(verb, words, fields)
        if verb.command in (WithdrawSlot, SettleAward, VoidAward):
            fields.setdefault("provider_id", self._providers.get(fields["slot_id"], TREASURY))
        if verb.command in (CaptureHold, ReleaseHold):
            fields.setdefault("account_id", self._holders.get(fields["hold_id"], ""))
        last_seq = self.engine.state.seq
        seq = last_seq + 1
        if verb.command is BeginHistory and "after_seq" not in fields:
            seq = (last_seq // limits.HISTORY_ROWS + 1) * limits.HISTORY_ROWS
            fields["after_seq"] = str(last_seq)
        command: Command = msgspec.convert(fields, verb.command, strict=False)
        entry = Entry(seq, self.at_us, actor or self._actor(verb, command), command, command_id)
        with bounds(self._bounds):
            events = self.engine.apply(entry)
        self.entries.append(entry)
        self._observe(command, events)
        return shown(events)

    def _actor(self, verb: Verb, command: Command) -> str:
        if not verb.actor.startswith("@"):
            return verb.actor
        match command:
            case AmendBid() | CancelBid():
                return self._owners.get(command.bid_id, ADMIN)
            case CaptureHold() | ReleaseHold():
                return self._owners.get((command.account_id, command.hold_id), ADMIN)
            case ClosePosition() | CancelOrder():
                of_order = command.position_id if isinstance(command, ClosePosition) else command.order_id
                return self._traders.get(of_order, ADMIN)
            case _:
                named: str = getattr(command, verb.actor.removeprefix("@"))
                return named

    def _observe(self, command: Command, events: Events) -> None:
        self.events += events
        if isinstance(command, OpenMarket) and len(self.engine.state.markets) == 1:
            self._market_id = command.market_id
        for event in events:
            if isinstance(event, BidPlaced):
                self._owners[event.bid_id] = event.bidder_id
            if isinstance(event, HoldPlaced):
                self._owners[event.account_id, event.hold_id] = event.placed_by
                self._holders[event.hold_id] = event.account_id
            self._traders.update(artifact_script.owners(event))
            if isinstance(event, SlotOffered):
                self._providers[event.slot_id] = event.provider_id
            if isinstance(event, TransferPosted):
                self._balances[event.debit_account_id] -= event.amount_tokens
                self._balances[event.credit_account_id] += event.amount_tokens

    def _check(self) -> None:
        with bounds(self._bounds):
            self.engine.state.check()
        for account_id, account in self.engine.state.ledger.accounts.items():
            assert account.balance_tokens == self._balances[account_id], f"transfers do not explain {account}"

    def _set_bound(self, words: list[str]) -> str:
        if len(words) != 2 or not (hasattr(limits, words[0]) or hasattr(capital_limits, words[0])):
            raise ScriptError(
                "expected: bound NAME NUMBER, with a name of callmarket.engine.limits or its part capital"
            )
        self._bounds[words[0]] = _number(words[1])
        return "ok"

    def _wallet(self, words: list[str]) -> str:
        account = self.engine.state.ledger.accounts.get(_only(words))
        if account is None:
            return "unknown"
        return f"balance {self._balances[words[0]]} held {account.held_tokens}"

    def _book(self, words: list[str]) -> str:
        market = self.engine.state.markets[_only(words or [self._market_id])]
        bids = best_first(market.resting, market.round_bids)
        levels = groupby(bids, key=lambda bid: bid.max_price_tokens)
        return " ".join(f"{price}:{_joined(',', (bid.bid_id for bid in level))}" for price, level in levels) or "empty"

    def _slot(self, words: list[str]) -> str:
        slot_id, provider_id = _whose(words, self._providers)
        slot = self.engine.state.slots.get((provider_id, slot_id))
        if slot is None:
            return "unknown"
        return f"{slot.status} award {slot.award_id}" if slot.award_id else slot.status

    def _hold(self, words: list[str]) -> str:
        (hold_id, account_id), state = _whose(words, self._holders), self.engine.state
        if not hold_id.isdecimal():
            named = state.holds.open.get((account_id, hold_id))
            return str(named.amount_tokens) if named else "none"
        if bid := state.bids.get(int(hold_id)):
            return str(bid.max_price_tokens)
        award = state.awards_by_bid.get(int(hold_id))
        return str(award.price_tokens) if award else "none"

    def _of_artifacts(self, question: str, words: list[str]) -> str:
        with bounds(self._bounds):
            return artifact_script.answers(self.engine.state, question, _only(words))

    def _round(self, words: list[str]) -> str:
        if words or not self.all(RoundCleared):
            raise ScriptError("expected: round, after a call")
        called = self.all(RoundCleared)[-1]
        price, best = called.clearing_price_tokens, called.best_rejected_bid_id
        return (
            f"supply {called.slots_available} demand {called.bids_open} awards {called.awards_granted} "
            f"price {'none' if price is None else price} visited {called.bids_visited} "
            f"best_rejected {best or 'none'} later {called.losers_remaining}"
        )


def play(text: str) -> Script:
    """Run a script from the beginning."""
    return Script().run(text)


def shown(events: Events) -> str:
    """The result of one command in the words of the language."""
    first = events[0]
    match first:
        case Rejected():
            return f"{first.reason.value} {first.field}={first.value} bound={first.bound}"
        case Repeated():
            return f"repeated {first.first_seq}"
        case BidPlaced():
            return f"bid {first.bid_id}"
        case BidCancelled() | AwardVoided() | HoldReleased():
            return f"released {first.released_tokens}"
        case HoldCaptured():
            rest = f", released {first.released_tokens}" if first.released_tokens else ""
            return f"paid {first.captured_tokens} to {first.to_account_id}{rest}"
        case AwardSettled():
            return _shown_settlement(events)
        case _:
            pass
    if any(isinstance(event, RoundCleared) for event in events):
        return _shown_round(events)
    if isinstance(events[-1], SweepFinished):
        return _shown_sweep(events[:-1], events[-1])
    if told := artifact_script.shown_of_artifacts(events):
        return told
    assert len(events) == 1, events
    return "ok"


def _shown_settlement(events: Events) -> str:
    paid = [event for event in events if isinstance(event, TransferPosted)]
    words = {
        "settle:slot": "paid {0.amount_tokens} to {0.credit_account_id}",
        "reward:impact": "reward {0.amount_tokens}",
    }
    return ", ".join(words[event.reason].format(event) for event in paid) or "moved nothing"


def _shown_round(events: Events) -> str:
    awards = [event for event in one_by_one(events) if isinstance(event, AwardGranted)]
    (cleared,) = [event for event in events if isinstance(event, RoundCleared)]
    price = cleared.clearing_price_tokens
    assert len(awards) == cleared.awards_granted, events
    if not awards:
        parts = ["no sale"]
    elif any(award.price_tokens != price for award in awards):
        parts = [f"prices: {_joined(' ', (f'{one.bid_id}@{one.slot_id}={one.price_tokens}' for one in awards))}"]
    else:
        parts = [f"price {price}: {_joined(' ', (f'{one.bid_id}@{one.slot_id}' for one in awards))}"]
    parts += _shown_ends(events)
    if cleared.losers_remaining:
        parts.append(f"later {cleared.losers_remaining}")
    return ", ".join(parts)


def _shown_sweep(ends: Events, finished: SweepFinished) -> str:
    counts = [
        sum(len(event.bid_ids) for event in ends if isinstance(event, BidsLost)),
        sum(len(event.bid_ids) for event in ends if isinstance(event, BidsExpired)),
        sum(isinstance(event, AwardLapsed) for event in ends),
        sum(len(event.hold_ids) for event in ends if isinstance(event, HoldsExpired)),
    ]
    told = [finished.bids_lost, finished.bids_expired, finished.awards_lapsed, finished.holds_expired]
    counts.append(sum(len(event.order_ids) for event in ends if isinstance(event, OrdersEnded)))
    counts.append(sum(len(event.position_ids) for event in ends if isinstance(event, PositionsPaid)))
    assert counts == [*told, finished.orders_ended, finished.positions_paid], (ends, finished)
    of_artifacts = artifact_script.shown_ends(list(ends))
    return ", ".join([*_shown_ends(ends), *of_artifacts, "more" if finished.more_due else "done"])


def _shown_ends(events: Events) -> Iterator[str]:
    """What ended, in the order of the events; neighbours of one kind stand together."""
    words = {BidsLost: "lost", BidsExpired: "expired", AwardLapsed: "lapsed", HoldsExpired: "freed"}
    for word, group in groupby(
        (event for event in events if type(event) in words), key=lambda event: words[type(event)]
    ):
        yield f"{word} {_joined(' ', (end for event in group for end in _shown_end(event)))}"


def _shown_end(event: Event) -> list[str]:
    match event:
        case BidsLost() | BidsExpired():
            return [str(bid_id) for bid_id in event.bid_ids]
        case HoldsExpired():
            return list(event.hold_ids)
        case AwardLapsed():
            return [f"{event.bid_id}@{event.slot_id}={event.charged_tokens}"]
        case _:
            raise AssertionError(event)


def _joined(separator: str, values: Iterator[object]) -> str:
    return separator.join(str(value) for value in values)


def _read_words(verb: Verb, words: list[str], fields: dict[str, str]) -> str:
    """Fill the fields that the words name, and return the command id."""
    command_id = ""
    positional = list(verb.positional)
    for word in words:
        option, equals, value = word.partition("=")
        if equals and option == "id":
            command_id = value
        elif equals and option in verb.options:
            fields[verb.options[option]] = value
        elif word in verb.flags:
            name, fields[name] = verb.flags[word]
        elif positional and not equals:
            fields[positional.pop(0)] = word
        else:
            raise ScriptError(f"unknown word {word!r}")
    if missing := [name for name in positional if name not in fields]:
        raise ScriptError(f"missing {', '.join(missing)}")
    return command_id


def _whose(words: list[str], last: dict[str, str]) -> tuple[str, str]:
    """An id and whose it is: whom the second word names, or whose was the last of this id."""
    if len(words) == 2:
        return words[0], words[1]
    return _only(words), last.get(words[0], "")


def _only(words: list[str]) -> str:
    if len(words) != 1:
        raise ScriptError(f"expected one name, not {len(words)}")
    return words[0]


def _number(word: str) -> int:
    if not word.isdecimal():
        raise ScriptError(f"{word!r} is not a number")
    return int(word)


def _compare(number: int, told: str, expected: str, actual: str) -> None:
    refused = actual.partition(" ")[0]
    if expected == actual or (expected == refused and refused.isupper()):
        return
    told = told.strip()
    raise AssertionError(
        f"line {number} does not hold:\n    {told}{ARROW}{expected}\nIt reads:\n    {told}{ARROW}{actual}"
    )
