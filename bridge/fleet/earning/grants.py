"""The first tokens of an account, and the account with them.

Rule of this file: once for an account, for ever. A grant is an earning of the ledger (reason `earn:grant`, reference
`grant`, `initial`), because that is what the engine pays once (LED-4); a mint with any other reason it would repeat.
"""

from typing import Final

from callmarket.bridge.api.errors import Invalid, Refused
from callmarket.bridge.api.market import Market
from callmarket.bridge.api.operations.accounts import Wallet
from callmarket.bridge.fleet.earning.rates import GRANT
from callmarket.bridge.fleet.earning.rewards import Context, Reward, pay_once
from callmarket.engine.commands import AccountKind
from callmarket.engine.limits import TOKENS_MAX
from callmarket.engine.reject import Reject

INITIAL_TOKENS: Final = 1_000


def create_account(
    market: Market, agent_id: str, initial_balance: int = INITIAL_TOKENS, *, kind: AccountKind = "agent"
) -> Wallet:
    """An open account with its first tokens. Asked again, also after a failure in the middle: the account as it is.

    Needs to act as the admin. With `initial_balance` 0 it begins with nothing, and may be granted something later.
    Raises `Invalid` for an account that is open as another kind, and what `open_account` and `mint` raise.
    """
    _check(initial_balance, at_least=0, field="initial_balance")
    try:
        market.open_account(agent_id, kind)
    except Refused as refused:
        if refused.reason is not Reject.ACCOUNT_EXISTS:
            raise
        found = market.wallet(agent_id).kind
        if found != kind:
            raise Invalid("kind", kind, f"{found!r}, as which {agent_id} is open") from None
    if initial_balance:
        grant_initial(market, agent_id, initial_balance)
    return market.wallet(agent_id)


def grant_initial(market: Market, account_id: str, tokens: int = INITIAL_TOKENS) -> Reward:
    """Mint an account's first tokens, once, whatever amount is asked for again. Needs to act as the admin."""
    _check(tokens, at_least=1, field="tokens")
    return pay_once(market, Reward(account_id, GRANT, "paid", tokens), Context(GRANT, "initial"))


def _check(tokens: int, *, at_least: int, field: str) -> None:
    if type(tokens) is not int or not at_least <= tokens <= TOKENS_MAX:
        raise Invalid(field, tokens, f"a whole number from {at_least} to {TOKENS_MAX}")
