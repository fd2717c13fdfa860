"""The market in virtual time: commands go to the engine with a clock of our own, so thirty days take a second.

Rule of this file: it gives commands and reads the state; who trades why is in `traders.py`.
"""

from typing import Final

from callmarket.engine.capital.commands import (
    SUBSIDY_POOL,
    ClosePosition,
    OpenArtifactMarket,
    OpenPosition,
    SettleArtifact,
    Side,
)
from callmarket.engine.capital.limits import MICRO
from callmarket.engine.capital.positions import Position
from callmarket.engine.commands import ADMIN, Command, Entry, ExpireDue, Mint, OpenAccount
from callmarket.engine.core import Engine
from callmarket.engine.events import Rejected

HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US
_LONG: Final = 90 * DAY_US


class World:
    """One engine and its clock."""

    def __init__(self) -> None:
        """Begin at time 0 with nothing."""
        self.engine = Engine()
        self.now_us = 0

    def do(self, command: Command) -> bool:
        """Give a command now. Whether it was accepted."""
        state = self.engine.state
        events = self.engine.apply(Entry(state.seq + 1, self.now_us, ADMIN, command))
        return not isinstance(events[0], Rejected)

    def must(self, command: Command) -> None:
        """Give a command that cannot be refused."""
        assert self.do(command), command

    def open_account(self, account_id: str, tokens: int) -> None:
        """Open a wallet with so much in it."""
        self.must(OpenAccount(account_id, "agent"))
        self.must(Mint(account_id, tokens, "grant"))

    def open_markets(self, artifact_ids: list[str], subsidy_tokens: int) -> None:
        """Open a market for each artifact, after funding their subsidies."""
        self.must(Mint(SUBSIDY_POOL, subsidy_tokens * len(artifact_ids), "grant"))
        for artifact_id in artifact_ids:
            self.must(OpenArtifactMarket(artifact_id, subsidy_tokens, _LONG))

    def price(self, artifact_id: str) -> float:
        """The price of a long share."""
        return self.engine.state.capital.markets[artifact_id].maker.price_micros / MICRO

    def average(self, artifact_id: str) -> float:
        """The average price that budgets are made of (PRC-1)."""
        return self.engine.state.capital.markets[artifact_id].average_at(self.now_us).micros / MICRO

    def committed_tokens(self, artifact_id: str) -> float:
        """What all accounts have put into positions in an artifact."""
        return sum(self.engine.state.capital.markets[artifact_id].committed.values()) / MICRO

    def holders(self, artifact_id: str) -> int:
        """How many accounts have committed tokens to an artifact."""
        return len(self.engine.state.capital.markets[artifact_id].committed)

    def buy(self, account_id: str, artifact_id: str, side: Side, tokens: int, limit: float | None = None) -> bool:
        """Open a position, up to a price of this side. Whether anything was bought."""
        micros = None if limit is None else min(max(round(limit * MICRO), 1_000), MICRO - 1_000)
        return self.do(OpenPosition(artifact_id, account_id, side, tokens, micros))

    def close_all(self, account_id: str, artifact_id: str) -> None:
        """Close all positions of an account in an artifact, at the market."""
        for position in self.positions(account_id):
            if position.artifact_id == artifact_id:
                self.do(ClosePosition(position.position_id))

    def positions(self, account_id: str) -> list[Position]:
        """The open positions of an account."""
        return list(self.engine.state.capital.positions_by_account.get(account_id, {}).values())

    def settle(self, artifact_id: str, *, holds: bool) -> None:
        """Say whether an artifact held, and pay everybody."""
        self.must(SettleArtifact(artifact_id, "validated" if holds else "deprecated"))
        while self.engine.state.capital.paying:
            self.must(ExpireDue())

    def wealth_tokens(self, account_id: str) -> float:
        """The wallet and the started token of an account."""
        state = self.engine.state
        balance = state.ledger.accounts[account_id].balance_tokens
        return balance + state.capital.purses.get(account_id, 0) / MICRO
