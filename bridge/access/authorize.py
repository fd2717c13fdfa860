"""Authorization: as which actor a key gives a command, decided in this one place.

Rule of this file: every command is decided here, in one exhaustive match. The actor follows from the key, the command
and the account that the caller has named, never from the state, so that a retry is the same actor's. What an actor may
do to a bid, a hold or a slot of others is the engine's to refuse, which knows whose they are; what is refused here is
recorded nowhere.

A command that names its account (a bid, an offer, a transfer, a new hold) is done as that account if the key covers it,
else as staff if the key is staff's. A command about a thing (a bid, a hold, a slot, an artifact) is done as the account
that the caller names, else as staff, else as the only account of the key.
"""

from collections.abc import Callable, Container, Iterable
from typing import Final, Literal, NoReturn, Protocol, TypeVar, assert_never

from callmarket.bridge.access.principal import ANY, Principal, Scope
from callmarket.bridge.api.errors import Forbidden, Invalid
from callmarket.bridge.api.http.headers import ACCOUNT_HEADER
from callmarket.engine.capital.commands import (
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
from callmarket.engine.core import first_use
from callmarket.engine.state import State

T = TypeVar("T")

_Judging = FreezeArtifact | UnfreezeArtifact | SettleArtifact

# In words to people.
_ACCOUNTS_SHOWN_MAX: Final = 5


class Read(Protocol):
    """How the live state is asked: `Exchange.read`."""

    def __call__(self, query: Callable[[State], T]) -> T:
        """The answer of a query at one moment."""


def actor_of(principal: Principal, command: Command, account: str, read: Read, command_id: str = "") -> str:
    """The actor as whom this key gives this command. Asks the state only of `SettleAward` and of who judges artifacts.

    `account` is the one that the caller has named, empty if none. `command_id` tells a retry, of which the state is not
    asked: it has moved on since. Raises `Forbidden`, or `Invalid` where the key has several accounts and none is named.
    """
    match command:
        case PlaceBid(bidder_id=bidder_id):
            return _as_bidder(principal, bidder_id)
        case AmendBid() | CancelBid() | CaptureHold() | ReleaseHold() | CancelOrder() | ClosePosition():
            return _about_a_bid_or_hold(principal, account)
        case OfferSlot(provider_id=provider_id):
            return _as_provider(principal, provider_id)
        case WithdrawSlot() | VoidAward():
            return _about_a_slot(principal, account)
        case SettleAward():
            return _settling(principal, account, command, read, command_id)
        case OpenMarket() if command.pays_for_impact:
            return _admin(principal) or _forbid(principal, Scope.ADMIN)
        case FreezeArtifact() | UnfreezeArtifact() | SettleArtifact():
            return _judging(principal, account, command, read, command_id)
        case ClearRound() | ExpireDue() | OpenMarket() | BindHolds() | OpenArtifactMarket() | DecaySubsidy():
            return _staff(principal) or _forbid(principal, Scope.OPERATE)
        case Transfer(from_account_id=payer_id):
            # Offering is no right to spend what was earned by it.
            return _as_bidder(principal, payer_id)
        case PlaceHold(account_id=account_id) | OpenPosition(account_id=account_id):
            return _as_bidder(principal, account_id)
        case OpenAccount() | Mint() | Burn():
            return _admin(principal) or _forbid(principal, Scope.ADMIN)
        case BeginHistory():
            # The operator gives these on the command line, while no process leads.
            return _forbid(principal, Scope.ADMIN)
        case _ as never:
            assert_never(never)


def acting_account(principal: Principal, scope: Literal[Scope.BID, Scope.OFFER], named: str) -> str:
    """The account to write into a bid, an offer, a transfer or a hold: the one that is named, else the key's only one.

    Slots of staff that name nobody are the treasury's. Raises `Forbidden` if the key may not act for the account,
    `Invalid` where there is no telling which.
    """
    if scope is Scope.BID:
        covered, may, staff = principal.accounts, principal.may_bid_for, _admin(principal)
    else:
        covered, may, staff = principal.providers, principal.may_offer_for, _staff(principal)
    if named:
        if may(named) or staff:
            return named
        raise Forbidden(f"key {principal.key_id} may not {scope} for {named!r}")
    if not covered and not staff:
        _forbid(principal, scope)
    return TREASURY if scope is Scope.OFFER and not covered else _only(covered)


def own_provider(principal: Principal, command: Command, named: str) -> str:
    """The provider of a slot that a command names without one: the acting account's, by the rule of `acting_account`.

    A key that only bids may settle, too, what its account has won; its own slots are that account's. Raises as
    `acting_account`.
    """
    if named:
        bids_alone = principal.may_bid_for(named) and not principal.may_offer_for(named)
    else:
        bids_alone = not (principal.providers or principal.is_staff)
    settles = isinstance(command, SettleAward)
    return acting_account(principal, Scope.BID if settles and bids_alone else Scope.OFFER, named)


def _as_bidder(principal: Principal, account_id: str) -> str:
    if principal.may_bid_for(account_id):
        return account_id
    return _admin(principal) or _forbid(principal, Scope.BID, account_id)


def _as_provider(principal: Principal, account_id: str) -> str:
    if principal.may_offer_for(account_id):
        return account_id
    return _staff(principal) or _forbid(principal, Scope.OFFER, account_id)


def _about_a_bid_or_hold(principal: Principal, account: str) -> str:
    if account and principal.may_bid_for(account):
        return account
    if staff := _admin(principal):
        return staff
    if account or not principal.accounts:
        _forbid(principal, Scope.BID, account)
    return _only(principal.accounts)


def _about_a_slot(principal: Principal, account: str) -> str:
    if account and principal.may_offer_for(account):
        return account
    if staff := _staff(principal):
        return staff
    if account or not principal.providers:
        _forbid(principal, Scope.OFFER, account)
    return _only(principal.providers)


def _settling(principal: Principal, account: str, command: SettleAward, read: Read, command_id: str) -> str:
    """The account that reports cost and impact, by either scope; no key reports impact that rewards its own bidder."""
    if not (account and (principal.may_bid_for(account) or principal.may_offer_for(account))):
        if staff := _staff(principal):
            return staff
        covered = principal.accounts | principal.providers
        if account or not covered:
            _forbid(principal, Scope.OFFER, account)
        account = _only(covered)
    # Before the command is applied the slot may be sold again, to other terms. Only by its provider, whose word on
    # impact counts anyway.
    fault = read(lambda state: _fault_of_report(state, principal, account, command, command_id))
    if fault:
        raise Forbidden(fault)
    return account


def _fault_of_report(state: State, principal: Principal, account: str, command: SettleAward, command_id: str) -> str:
    """Why this account may not report on this slot by this key, empty if it may or the engine will refuse it."""
    slot_id = command.slot_id
    slot = state.slots.get((command.provider_id, slot_id))
    if slot is None or (command_id and first_use(state, account, command_id, command, state.at_us)):
        return ""
    # Whichever of its accounts it names: a key that may bid for the winner would write its own cheque.
    if state.markets[slot.market_id].rules.pays_for_impact and slot.winner_id and principal.may_bid_for(slot.winner_id):
        return (
            f"market {slot.market_id!r} pays for impact, and key {principal.key_id} may bid for {slot.winner_id!r}, "
            f"who won slot {slot_id!r}: another key of its provider reports, or an operator"
        )
    if account == slot.winner_id:
        if not principal.may_bid_for(account) and account != slot.provider_id:
            return f"key {principal.key_id} may not bid for {account!r}, who won slot {slot_id!r}"
    elif account == slot.provider_id and not principal.may_offer_for(account):
        return f"key {principal.key_id} may not offer for {account!r}, who provides slot {slot_id!r}"
    return ""


def _judging(principal: Principal, account: str, command: _Judging, read: Read, command_id: str) -> str:
    """As whom a key freezes and settles an artifact: staff, or the arbiter, which is an account that acts as a bidder.

    No key judges what its accounts hold a part of (STL-8), whichever of them it names. Asks the state once.
    """
    if account and principal.may_bid_for(account):
        actor = account
    else:
        actor = _staff(principal) or _about_a_bid_or_hold(principal, account)
    fault = read(lambda state: _fault_of_judge(state, principal, actor, command, command_id))
    if fault:
        raise Forbidden(fault)
    return actor


def _fault_of_judge(state: State, principal: Principal, actor: str, command: _Judging, command_id: str) -> str:
    """Why this key may not judge this artifact, empty if it may or the engine will refuse it. O(its accounts)."""
    market = state.capital.markets.get(command.artifact_id)
    if market is None or (command_id and first_use(state, actor, command_id, command, state.at_us)):
        return ""
    # An account with a position or an order there has committed something.
    committed = market.committed
    holder = next(iter(committed), "") if ANY in principal.accounts else _first_in(principal.accounts, committed)
    if not holder:
        return ""
    return (
        f"key {principal.key_id} acts for {holder!r}, who has a part of artifact {command.artifact_id!r}: "
        "another key judges it, whose accounts have none"
    )


def _first_in(accounts: Iterable[str], committed: Container[str]) -> str:
    return min((account for account in accounts if account in committed), default="")


def _staff(principal: Principal) -> str:
    """The actor of a staff key, empty for others. As the operator where that is enough."""
    return OPERATOR if Scope.OPERATE in principal.scopes else _admin(principal)


def _admin(principal: Principal) -> str:
    return ADMIN if Scope.ADMIN in principal.scopes else ""


def _only(covered: Iterable[str]) -> str:
    """The account of a key that has but one. Raises `Invalid`."""
    accounts = sorted(covered)
    if len(accounts) == 1 and accounts[0] != ANY:
        return accounts[0]
    shown = ", ".join(accounts[:_ACCOUNTS_SHOWN_MAX]) + (", ..." if len(accounts) > _ACCOUNTS_SHOWN_MAX else "")
    raise Invalid(ACCOUNT_HEADER, "", f"the account to act for{f' ({shown})' if shown else ''}")


def _forbid(principal: Principal, scope: Scope, account: str = "") -> NoReturn:
    """Say no, by the scope that is missing."""
    raise Forbidden(f"key {principal.key_id} may not {scope}{f' for {account!r}' if account else ''}")
