"""As whom each command is done by each kind of key: the whole table, against a real engine.

Goal: no key does more than its scopes say, whichever command, account and thing it names. Method: every command that
there is, by every kind of key; what is let through is applied by the engine, so the table also says where the engine is
the one that refuses. BID-7, SET-4 say who may do what to whose.
"""

from collections.abc import Callable
from typing import TypeVar, get_args

import msgspec
import pytest

from callmarket.bridge.access.authorize import acting_account, actor_of, own_provider
from callmarket.bridge.access.issue import principal_of
from callmarket.bridge.access.principal import Principal, Scope, require
from callmarket.bridge.api.errors import Forbidden, Invalid
from callmarket.bridge.api.names import OWN
from callmarket.bridge.api.units import datetime_of
from callmarket.engine import commands
from callmarket.engine.capital.commands import (
    SUBSIDY_POOL,
    CancelOrder,
    ClosePosition,
    DecaySubsidy,
    FreezeArtifact,
    OpenArtifactMarket,
    OpenPosition,
    SettleArtifact,
    UnfreezeArtifact,
)
from callmarket.engine.commands import (
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
from callmarket.engine.events import Events, Rejected, Repeated
from callmarket.engine.reject import Reject
from callmarket.engine.state import State
from callmarket.persistence.stores.api_keys import KeyRow

T = TypeVar("T")

FORBIDDEN = "forbidden"
REFUSED = "refused by the engine"
WHICH = "which account?"


def key(scopes: str, bid: str = "", offer: str = "") -> Principal:
    """A key with these scopes besides `read`, and these accounts, separated by spaces."""
    names = [Scope.READ, *map(Scope, scopes.split())]
    names += [Scope.BID] if bid else []
    names += [Scope.OFFER] if offer else []
    return Principal("k" * 12, "test", frozenset(names), frozenset(bid.split()), frozenset(offer.split()), 10, 10)


KEYS = {
    "read": key(""),
    "alpha": key("", bid="alpha"),
    "beta": key("", bid="beta"),
    "alpha beta": key("", bid="alpha beta"),
    "any bidder": key("", bid="*"),
    "prov": key("", offer="prov"),
    "other": key("", offer="other"),
    "any provider": key("", offer="*"),
    "operate": key("operate"),
    "operate alpha prov": key("operate", bid="alpha", offer="prov"),
    "admin": key("admin"),
    "admin alpha": key("admin", bid="alpha"),
}
OF_ALPHA = {"alpha": "alpha", "operate alpha prov": "alpha", "admin": "admin"}
STAFF = {"operate": "operator", "operate alpha prov": "operator", "admin": "admin", "admin alpha": "admin"}
# Things of alpha and prov, where the caller names no account: who must say which, and whom the engine turns away.
OF_A_BID = OF_ALPHA | {"admin alpha": "admin", "beta": REFUSED, "alpha beta": WHICH, "any bidder": WHICH}
OF_A_SLOT = STAFF | {"prov": "prov", "other": REFUSED, "any provider": WHICH}
OF_AN_ARTIFACT = {"alpha": REFUSED, "beta": REFUSED, "alpha beta": WHICH, "any bidder": WHICH}
ALPHA_MAY_NOT = dict.fromkeys(("alpha", "operate alpha prov", "admin alpha"), FORBIDDEN)
LATER_US = 10**9

# What a key may do as whom; keys that are not named are forbidden.
TABLE: list[tuple[Command, dict[str, str]]] = [
    (
        PlaceBid("free", "alpha", "t9", 5),
        OF_ALPHA | {"alpha beta": "alpha", "any bidder": "alpha", "admin alpha": "alpha"},
    ),
    (AmendBid(2, 4), OF_A_BID),
    (CancelBid(2), OF_A_BID),
    (
        Transfer("alpha", "beta", 5, "tip"),
        OF_ALPHA | {"alpha beta": "alpha", "any bidder": "alpha", "admin alpha": "alpha"},
    ),
    (
        PlaceHold("h9", "alpha", 5, "stake"),
        OF_ALPHA | {"alpha beta": "alpha", "any bidder": "alpha", "admin alpha": "alpha"},
    ),
    (CaptureHold("stake", "beta", None, "alpha"), OF_A_BID),
    (ReleaseHold("stake", "alpha"), OF_A_BID),
    # What the admin has placed for alpha.
    (CaptureHold("kept", "beta", None, "alpha"), OF_A_BID | {"alpha": REFUSED, "operate alpha prov": REFUSED}),
    (ReleaseHold("kept", "alpha"), OF_A_BID | {"alpha": REFUSED, "operate alpha prov": REFUSED}),
    (
        OfferSlot("free", "s9", 0, 0, "prov"),
        STAFF | {"prov": "prov", "any provider": "prov", "operate alpha prov": "prov"},
    ),
    (OfferSlot("free", "s9", 0, 0), STAFF),
    (WithdrawSlot("offered", "prov"), OF_A_SLOT),
    (VoidAward("won", None, "prov"), OF_A_SLOT),
    (
        SettleAward("won", 1, 1, None, "prov"),
        OF_A_SLOT | {"alpha": "alpha", "beta": REFUSED, "alpha beta": WHICH, "any bidder": WHICH},
    ),
    (
        SettleAward("rewarded", 1, 1, None, "prov"),
        OF_A_SLOT | {"beta": REFUSED, "alpha beta": WHICH, "any bidder": WHICH},
    ),
    (ClearRound("free"), STAFF),
    (ExpireDue(), STAFF),
    (BindHolds("stake", "artifact", "x"), STAFF),
    (OpenMarket("m9"), STAFF),
    (
        OpenMarket("m9", reward_tokens_per_impact=1, reward_cap_tokens=1, reward_day_cap_tokens=1),
        {"admin": "admin", "admin alpha": "admin"},
    ),
    (OpenAccount("new", "agent"), {"admin": "admin", "admin alpha": "admin"}),
    (Mint("alpha", 5, "grant:any"), {"admin": "admin", "admin alpha": "admin"}),
    (Burn("alpha", 5, "fee:any"), {"admin": "admin", "admin alpha": "admin"}),
    (BeginHistory(5), {}),
    (
        OpenPosition("paper", "alpha", "long", 5),
        OF_ALPHA | {"alpha beta": "alpha", "any bidder": "alpha", "admin alpha": "alpha"},
    ),
    (ClosePosition(1), OF_A_BID),
    (CancelOrder(2), OF_A_BID),
    (OpenArtifactMarket("new", 5, LATER_US), STAFF),
    (DecaySubsidy("paper"), STAFF),
    # Nobody has a part of these; who is neither staff nor the arbiter is the engine's to turn away.
    (FreezeArtifact("fresh", LATER_US), STAFF | OF_AN_ARTIFACT),
    (UnfreezeArtifact("frozen"), STAFF | OF_AN_ARTIFACT),
    (SettleArtifact("fresh", "validated"), STAFF | OF_AN_ARTIFACT),
    # Alpha has a position in this one (STL-8).
    (FreezeArtifact("paper", LATER_US), STAFF | OF_AN_ARTIFACT | ALPHA_MAY_NOT),
    (SettleArtifact("paper", "validated"), STAFF | OF_AN_ARTIFACT | ALPHA_MAY_NOT),
]


class Market:
    """An engine with two markets, of which one pays for impact, and a slot won by alpha in each."""

    def __init__(self) -> None:
        self.engine = Engine()
        for command in (
            *(OpenAccount(name, "agent") for name in ("alpha", "beta")),
            *(OpenAccount(name, "provider") for name in ("prov", "other")),
            *(Mint(name, 1_000, "grant:initial") for name in ("alpha", "beta")),
            Mint("treasury", 1_000, "fund:rewards"),
            OpenMarket("free", reward_tokens_per_impact=5, reward_cap_tokens=100),
            OpenMarket("paid", reward_tokens_per_impact=5, reward_cap_tokens=100, reward_day_cap_tokens=100),
            OfferSlot("free", "won", 0, 0, "prov"),
            PlaceBid("free", "alpha", "t1", 10),
            ClearRound("free"),
            PlaceBid("free", "alpha", "t2", 5),
            OfferSlot("free", "offered", 0, 0, "prov"),
        ):
            assert not self.refusal("admin", command)
        assert not self.refusal("alpha", PlaceHold("stake", "alpha", 5, "stake"))
        assert not self.refusal("admin", PlaceHold("kept", "alpha", 5, "stake"))
        self.award("rewarded", "prov", "alpha")
        for command in (
            OpenAccount("judge", "agent"),
            Mint(SUBSIDY_POOL, 100, "fund:markets"),
            *(OpenArtifactMarket(name, 10, LATER_US, arbiter_id="judge") for name in ("paper", "fresh", "frozen")),
            FreezeArtifact("frozen", LATER_US),
        ):
            assert not self.refusal("admin", command)
        assert not self.refusal("alpha", OpenPosition("paper", "alpha", "long", 10))
        assert not self.refusal("alpha", OpenPosition("paper", "alpha", "short", 10, 300_000, "gtd", LATER_US))

    def award(self, slot_id: str, provider_id: str, winner_id: str, market_id: str = "paid") -> None:
        """Let somebody win a slot, where impact is paid for unless another market is named."""
        assert not self.refusal("admin", OfferSlot(market_id, slot_id, 0, 0, provider_id))
        assert not self.refusal("admin", PlaceBid(market_id, winner_id, f"task of {slot_id}".replace(" ", "-"), 10))
        assert not self.refusal("admin", ClearRound(market_id))

    def apply(self, actor: str, command: Command) -> Events:
        return self.engine.apply(Entry(self.engine.state.seq + 1, 1, actor, command))

    def refusal(self, actor: str, command: Command) -> Reject | None:
        (first, *_) = self.apply(actor, command)
        return first.reason if isinstance(first, Rejected) else None

    def read(self, query: Callable[[State], T]) -> T:
        return query(self.engine.state)

    def try_to(self, principal: Principal, command: Command, account: str = "") -> str:
        """The actor as whom it was done, or who refused it."""
        try:
            actor = actor_of(principal, command, account, self.read)
        except Forbidden:
            return FORBIDDEN
        except Invalid as error:
            return WHICH if error.field == "Callmarket-Account" else str(error)
        refusal = self.refusal(actor, command)
        # Which is no question of who: nothing has been traded yet.
        if refusal is Reject.DECAY_NOT_DUE:
            return actor
        assert refusal in (None, Reject.NOT_PERMITTED), refusal
        return REFUSED if refusal else actor


def test_the_table_of_permissions_covers_every_command() -> None:
    assert {type(command) for command, _ in TABLE} == set(get_args(commands.Command))


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize(("command", "allowed"), TABLE, ids=[str(msgspec.to_builtins(one)) for one, _ in TABLE])
def test_each_command_is_allowed_or_forbidden_for_each_kind_of_key(
    command: Command, allowed: dict[str, str], name: str
) -> None:
    """Where nobody names an account."""
    assert Market().try_to(KEYS[name], command) == allowed.get(name, FORBIDDEN)


# An account is named: `Callmarket-Account`.
NAMED = [
    (CancelBid(2), "alpha", OF_ALPHA | {"alpha beta": "alpha", "any bidder": "alpha", "admin alpha": "alpha"}),
    (
        CancelBid(2),
        "beta",
        {"beta": REFUSED, "alpha beta": REFUSED, "any bidder": REFUSED, "admin": "admin", "admin alpha": "admin"},
    ),
    (
        ReleaseHold("stake", "alpha"),
        "alpha",
        OF_ALPHA | {"alpha beta": "alpha", "any bidder": "alpha", "admin alpha": "alpha"},
    ),
    (
        ReleaseHold("kept", "alpha"),
        "alpha",
        {"alpha": REFUSED, "operate alpha prov": REFUSED, "alpha beta": REFUSED, "any bidder": REFUSED}
        | {"admin": "admin", "admin alpha": REFUSED},
    ),
    (
        WithdrawSlot("offered", "prov"),
        "prov",
        STAFF | {"prov": "prov", "any provider": "prov", "operate alpha prov": "prov"},
    ),
    (WithdrawSlot("offered", "prov"), "other", STAFF | {"other": REFUSED, "any provider": REFUSED}),
    (
        SettleAward("won", 1, 1, None, "prov"),
        "alpha",
        STAFF
        | {"alpha": "alpha", "alpha beta": "alpha", "any bidder": "alpha", "admin alpha": "alpha"}
        | {"operate alpha prov": "alpha", "any provider": FORBIDDEN},
    ),
    (
        # Who may bid for the winner names no account: then it reports as staff, or not at all.
        SettleAward("rewarded", 1, 1, None, "prov"),
        "prov",
        STAFF | {"prov": "prov", "any provider": "prov", "operate alpha prov": FORBIDDEN},
    ),
    (
        # Whom the caller names acts, staff's key or not; alpha is not the arbiter.
        SettleArtifact("fresh", "void"),
        "alpha",
        STAFF | dict.fromkeys(("alpha", "alpha beta", "any bidder", "operate alpha prov", "admin alpha"), REFUSED),
    ),
    (ClearRound("free"), "alpha", STAFF),
    (Mint("alpha", 5, "grant:any"), "alpha", {"admin": "admin", "admin alpha": "admin"}),
]


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize(("command", "account", "allowed"), NAMED)
def test_a_key_that_names_an_account_acts_as_it_or_is_forbidden(
    command: Command, account: str, allowed: dict[str, str], name: str
) -> None:
    assert Market().try_to(KEYS[name], command, account) == allowed.get(name, FORBIDDEN)


@pytest.mark.parametrize("name", commands.RESERVED_NAMES)
def test_no_account_makes_staff_of_a_key(name: str) -> None:
    """A key for any account is none for the engine's own names: they would do everything."""
    for kind in ("any bidder", "any provider"):
        principal, market = KEYS[kind], Market()
        named = (
            PlaceBid("free", name, "t", 1),
            PlaceHold("h", name, 1, "stake"),
            Transfer(name, "alpha", 1, "tip"),
            OfferSlot("free", "s", 0, 0, name),
        )
        for command in named:
            assert market.try_to(principal, command) == FORBIDDEN, command
        for command, _ in TABLE:
            assert market.try_to(principal, command, name) not in commands.RESERVED_NAMES, command


def test_a_key_of_a_reserved_name_cannot_be() -> None:
    """Not even if the database had one: the names are left out, and by no other way does a principal come to be."""
    for name in commands.RESERVED_NAMES:
        with pytest.raises(AssertionError):
            key("", bid=name)
        if name != commands.TREASURY:
            with pytest.raises(AssertionError):
                key("", offer=name)
    names = [*commands.RESERVED_NAMES, "alpha"]
    row = KeyRow("k" * 12, b"", "x", ["read", "bid", "offer"], names, names, 1, 1, datetime_of(0), "x", None)
    assert principal_of(row).accounts == {"alpha"}
    assert principal_of(row).providers == {"alpha", "treasury"}


def test_staff_offers_for_the_treasury_only_by_naming_it() -> None:
    treasurer = key("", offer="treasury")
    assert Market().try_to(treasurer, OfferSlot("free", "s9", 0, 0)) == "treasury"
    assert Market().try_to(treasurer, Transfer("treasury", "alpha", 1, "tip")) == FORBIDDEN


def test_no_key_reports_the_impact_that_pays_an_account_of_its_own() -> None:
    """SET-3: by no key that may bid for the winner, whichever of its accounts it acts for."""
    market = Market()
    both = (key("", bid="alpha", offer="prov"), key("", bid="*", offer="prov"), key("", bid="*", offer="*"))
    for principal in (key("", bid="alpha"), key("", offer="alpha"), key("", "*"), *both):
        for account in ("", "alpha", "prov"):
            assert market.try_to(principal, SettleAward("rewarded", 0, 10**9, None, "prov"), account) in (
                FORBIDDEN,
                WHICH,
                REFUSED,
            )
    assert market.engine.state.awards, "nobody has"
    assert (
        market.try_to(key("", bid="beta", offer="prov"), SettleAward("rewarded", 0, 1, None, "prov"), "prov") == "prov"
    )


def test_bidding_for_a_provider_is_no_right_to_report_for_it() -> None:
    """A key for what an account buys does not speak of what it sells, nor the other way round."""
    market = Market()
    assert market.try_to(key("", bid="prov"), SettleAward("won", 1, 1, None, "prov")) == FORBIDDEN
    assert market.try_to(key("", bid="prov"), VoidAward("won", None, "prov")) == FORBIDDEN
    assert market.try_to(key("", offer="alpha"), SettleAward("won", 1, 1, None, "prov")) == FORBIDDEN
    assert market.try_to(key("", offer="alpha"), Transfer("alpha", "beta", 1, "tip")) == FORBIDDEN
    assert market.try_to(key("", bid="alpha"), SettleAward("won", 1, 1, None, "prov")) == "alpha"


def test_a_provider_that_won_its_own_slot_reports_by_either_scope() -> None:
    market = Market()
    market.award("mine", "alpha", "alpha", "free")
    report = SettleAward("mine", 1, 1, None, "alpha")
    for principal in (key("", bid="alpha"), key("", offer="alpha")):
        assert actor_of(principal, report, "alpha", market.read) == "alpha"


def test_a_retried_settlement_gets_the_first_reply() -> None:
    """IDM-1: the slot has been sold anew meanwhile, where impact is paid for, which is no question to a retry."""
    market, alpha = Market(), key("", bid="alpha")
    report = SettleAward("won", 1, 1, None, "prov")
    entry = Entry(market.engine.state.seq + 1, 1, "alpha", report, "report")
    assert actor_of(alpha, report, "", market.read, "report") == "alpha"
    assert not isinstance(market.engine.apply(entry)[0], Rejected)
    market.award("won", "prov", "alpha")
    assert actor_of(alpha, report, "", market.read, "report") == "alpha"
    again = Entry(market.engine.state.seq + 1, 1, "alpha", report, "report")
    assert market.engine.apply(again) == (Repeated(entry.seq),)
    # What is new is asked as ever, and nobody is helped by the id of another.
    for account, command_id in (("alpha", ""), ("alpha", "other")):
        with pytest.raises(Forbidden, match="pays for impact"):
            actor_of(alpha, report, account, market.read, command_id)
    with pytest.raises(Forbidden):
        actor_of(key("", bid="beta"), report, "alpha", market.read, "report")


def test_no_key_judges_what_its_accounts_have_a_part_of() -> None:
    """STL-8: whichever of them it names, staff or arbiter, with an order as with a position; any account is all."""
    market = Market()
    judgements: list[Command] = [
        FreezeArtifact("paper", LATER_US),
        UnfreezeArtifact("paper"),
        SettleArtifact("paper", "void"),
    ]
    for command in judgements:
        for principal in (
            key("operate", bid="alpha"),
            key("admin", bid="beta alpha"),
            key("operate", bid="*"),
            key("", bid="judge alpha"),
            key("", bid="*"),
        ):
            with pytest.raises(Forbidden, match="acts for 'alpha', who has a part of artifact 'paper'"):
                actor_of(principal, command, "" if principal.is_staff else "judge", market.read)
    # Offering slots for alpha is no part of its positions; and by another key it is judged.
    assert market.try_to(key("operate", bid="beta", offer="alpha"), SettleArtifact("paper", "void")) == "operator"
    resting = Market()
    assert not resting.refusal("beta", OpenPosition("fresh", "beta", "long", 9, 300_000, "gtd", LATER_US))
    with pytest.raises(Forbidden, match="'beta'"):
        actor_of(key("operate", bid="beta"), SettleArtifact("fresh", "void"), "", resting.read)
    assert resting.try_to(key("", bid="judge"), SettleArtifact("fresh", "void")) == "judge"


def test_a_retried_judgement_gets_the_first_reply() -> None:
    """IDM-1, STL-8: that its account has a part of it since is no question to a retry."""
    market, staff = Market(), key("operate", bid="beta")
    freeze = FreezeArtifact("fresh", LATER_US)
    entry = Entry(market.engine.state.seq + 1, 1, "operator", freeze, "freeze")
    assert actor_of(staff, freeze, "", market.read, "freeze") == "operator"
    assert not isinstance(market.engine.apply(entry)[0], Rejected)
    assert not market.refusal("operator", UnfreezeArtifact("fresh"))
    assert not market.refusal("beta", OpenPosition("fresh", "beta", "long", 9))
    assert actor_of(staff, freeze, "", market.read, "freeze") == "operator"
    for command_id in ("", "other"):
        with pytest.raises(Forbidden, match="has a part"):
            actor_of(staff, freeze, "", market.read, command_id)


def test_an_artifact_that_nobody_knows_is_the_engines_to_refuse() -> None:
    market = Market()
    actor = actor_of(KEYS["operate alpha prov"], SettleArtifact("none", "void"), "", market.read)
    assert market.refusal(actor, SettleArtifact("none", "void")) is Reject.ARTIFACT_MARKET_UNKNOWN


def test_a_slot_that_nobody_knows_is_the_engines_to_refuse() -> None:
    market = Market()
    actor = actor_of(KEYS["alpha"], SettleAward("none", 1, 1, None, "prov"), "", market.read)
    assert market.refusal(actor, SettleAward("none", 1, 1, None, "prov")) is Reject.SLOT_UNKNOWN


@pytest.mark.parametrize(
    ("principal", "scope", "named", "expected"),
    [
        (KEYS["alpha"], Scope.BID, "", "alpha"),
        (KEYS["alpha"], Scope.BID, "alpha", "alpha"),
        (KEYS["alpha"], Scope.BID, "beta", Forbidden),
        (KEYS["alpha"], Scope.OFFER, "", Forbidden),
        (KEYS["alpha beta"], Scope.BID, "", Invalid),
        (KEYS["alpha beta"], Scope.BID, "beta", "beta"),
        (KEYS["any bidder"], Scope.BID, "", Invalid),
        (KEYS["any bidder"], Scope.BID, "gamma", "gamma"),
        (KEYS["any bidder"], Scope.BID, "admin", Forbidden),
        (KEYS["prov"], Scope.OFFER, "", "prov"),
        (KEYS["operate"], Scope.OFFER, "", "treasury"),
        (KEYS["operate"], Scope.OFFER, "prov", "prov"),
        (KEYS["operate"], Scope.BID, "alpha", Forbidden),
        (KEYS["operate alpha prov"], Scope.OFFER, "", "prov"),
        (KEYS["admin"], Scope.BID, "", Invalid),
        (KEYS["admin"], Scope.BID, "alpha", "alpha"),
        (KEYS["admin alpha"], Scope.BID, "", "alpha"),
    ],
)
def test_the_account_of_a_bid_comes_from_the_key(
    principal: Principal, scope: Scope, named: str, expected: str | type[Exception]
) -> None:
    if isinstance(expected, str):
        assert acting_account(principal, scope, named) == expected
    else:
        with pytest.raises(expected):
            acting_account(principal, scope, named)


SETTLE, VOID, WITHDRAW = SettleAward("s", 1, 1, None, OWN), VoidAward("s", None, OWN), WithdrawSlot("s", OWN)


@pytest.mark.parametrize("command", [SETTLE, VOID, WITHDRAW, OfferSlot("m", "s", 0, None, OWN)])
@pytest.mark.parametrize(
    ("principal", "named", "expected"),
    [
        (KEYS["prov"], "", "prov"),
        (KEYS["prov"], "prov", "prov"),
        (KEYS["prov"], "alpha", Forbidden),
        (KEYS["any provider"], "", Invalid),
        (KEYS["any provider"], "prov", "prov"),
        (KEYS["any provider"], "treasury", Forbidden),
        (KEYS["operate"], "", "treasury"),
        (KEYS["operate"], "prov", "prov"),
        (KEYS["operate"], "treasury", "treasury"),
        (KEYS["operate alpha prov"], "", "prov"),
        (KEYS["admin"], "", "treasury"),
        (KEYS["admin"], "prov", "prov"),
        (KEYS["admin alpha"], "", "treasury"),
        (KEYS["alpha"], "beta", Forbidden),
    ],
)
def test_a_command_without_a_provider_means_the_callers_own(
    principal: Principal, command: Command, named: str, expected: str | type[Exception]
) -> None:
    if isinstance(expected, str):
        assert own_provider(principal, command, named) == expected
    else:
        with pytest.raises(expected):
            own_provider(principal, command, named)


def test_a_key_that_bids_alone_has_the_slots_of_its_account_to_settle() -> None:
    """Which it has hardly ever: it is told that there is none, as where it acts in this process."""
    for named in ("", "alpha"):
        assert own_provider(KEYS["alpha"], SETTLE, named) == "alpha"
        for command in (VOID, WITHDRAW):
            with pytest.raises(Forbidden):
                own_provider(KEYS["alpha"], command, named)
    with pytest.raises(Invalid):
        own_provider(KEYS["alpha beta"], SETTLE, "")


def test_a_key_with_many_accounts_does_not_list_them_all() -> None:
    many = key("", bid=" ".join(f"a{number}" for number in range(100)))
    with pytest.raises(Invalid, match=r"a0, a1, a10, a11, a12, \.\.\.") as raised:
        acting_account(many, Scope.BID, "")
    assert len(str(raised.value)) < 200


def test_a_key_without_the_required_scope_is_forbidden() -> None:
    require(KEYS["admin"], Scope.ADMIN)
    with pytest.raises(Forbidden, match="scope admin"):
        require(KEYS["operate"], Scope.ADMIN)
