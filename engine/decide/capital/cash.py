"""From millionths of a token to whole ones: purses, and the transfers between wallets and escrow (CAP-3).

Rule of this file: every flow of a command goes through one `Cash`, so nothing is rounded and nothing is lost.
"""

from collections.abc import Sequence

from callmarket.engine.capital.commands import ESCROW
from callmarket.engine.capital.events import PursesSet
from callmarket.engine.capital.limits import MICRO
from callmarket.engine.events import Event, TransferPosted
from callmarket.engine.state import State


class Cash:
    """What a command pays to accounts, and they to it, by account and artifact."""

    __slots__ = ("_before", "_flows", "_reason", "_state")

    def __init__(self, state: State, reason: str, before: Sequence[Event] = ()) -> None:
        """Begin with none; `reason` is that of the transfers. `before` is what the command has caused already."""
        self._state = state
        self._before = [event for event in before if isinstance(event, TransferPosted)]
        self._reason = reason
        self._flows: dict[tuple[str, str], int] = {}

    def pay(self, account_id: str, artifact_id: str, microtokens: int) -> None:
        """Pay to an account; below 0 it is the account that pays."""
        key = account_id, artifact_id
        if microtokens:
            self._flows[key] = self._flows.get(key, 0) + microtokens

    def events(self) -> list[Event]:
        """The purses, then the transfers: first those into escrow."""
        purses: dict[str, int] = {}
        moves: list[tuple[str, str, int]] = []
        flows = list(self._flows.items())
        for flow in [flow for flow in flows if flow[1] < 0] + [flow for flow in flows if flow[1] > 0]:
            (account_id, artifact_id), microtokens = flow
            purse = purses.get(account_id)
            if purse is None:
                purse = self._state.capital.purses.get(account_id, 0)
            tokens, purses[account_id] = divmod(purse + microtokens, MICRO)
            if tokens:
                moves.append((account_id, artifact_id, tokens))
        return self._purses(purses) + self._transfers(moves)

    def _purses(self, purses: dict[str, int]) -> list[Event]:
        before = self._state.capital.purses
        changed = {account_id: after for account_id, after in purses.items() if after != before.get(account_id, 0)}
        return [PursesSet(tuple(changed), tuple(changed.values()))] if changed else []

    def _transfers(self, moves: list[tuple[str, str, int]]) -> list[Event]:
        ledger = self._state.ledger
        first = ledger.transfers_posted + len(self._before) + 1
        balances: dict[str, int] = {}
        for earlier in self._before:
            balances[earlier.debit_account_id] = earlier.debit_balance_tokens
            balances[earlier.credit_account_id] = earlier.credit_balance_tokens
        transfers: list[Event] = []
        for number, (account_id, artifact_id, tokens) in enumerate(moves, first):
            debit_id, credit_id = (ESCROW, account_id) if tokens > 0 else (account_id, ESCROW)
            for one_id, more in ((debit_id, -abs(tokens)), (credit_id, abs(tokens))):
                if one_id not in balances:
                    balances[one_id] = ledger.accounts[one_id].balance_tokens
                balances[one_id] += more
            transfers.append(
                TransferPosted(
                    transfer_id=number,
                    debit_account_id=debit_id,
                    credit_account_id=credit_id,
                    amount_tokens=abs(tokens),
                    reason=self._reason,
                    reference_type="artifact",
                    reference_id=artifact_id,
                    memo="",
                    debit_balance_tokens=balances[debit_id],
                    credit_balance_tokens=balances[credit_id],
                )
            )
        return transfers
