"""An engine with one artifact market and some accounts, for tests that need little more than orders.

Rule of this file: each command is applied once, the state checks itself after it, and a refusal that was not expected
is a failure.
"""

from callmarket.engine.capital.commands import SUBSIDY_POOL, ClosePosition, OpenArtifactMarket, OpenPosition, Side
from callmarket.engine.capital.events import SharesTraded
from callmarket.engine.capital.market import ArtifactMarket
from callmarket.engine.commands import ADMIN, Command, Entry, Mint, OpenAccount
from callmarket.engine.core import Engine
from callmarket.engine.events import Events, Rejected

ARTIFACT = "artifact"
FAR_US = 10**12


class Floor:
    """Accounts `a` to `e` with tokens, and a market for an artifact with this subsidy."""

    def __init__(self, subsidy_tokens: int = 70, tokens: int = 1_000_000, exit_fee_ppm: int = 0) -> None:
        self.engine = Engine()
        self.at_us = 1_000
        for name in "abcde":
            self.do(OpenAccount(name, "agent"))
            self.do(Mint(name, tokens, "grant:first"))
        self.do(Mint(SUBSIDY_POOL, subsidy_tokens, "fund:liquidity"))
        self.do(
            OpenArtifactMarket(ARTIFACT, subsidy_tokens, FAR_US, exit_fee_ppm=exit_fee_ppm, exposure_limit_ppm=10**6)
        )

    @property
    def market(self) -> ArtifactMarket:
        """The market of the artifact."""
        return self.engine.state.capital.markets[ARTIFACT]

    def told(self, command: Command) -> Events:
        """Apply a command, and check the state; it may be refused."""
        events = self.engine.apply(Entry(self.engine.state.seq + 1, self.at_us, ADMIN, command))
        self.engine.state.check()
        return events

    def do(self, command: Command) -> Events:
        """Apply a command that is not refused."""
        events = self.told(command)
        assert not isinstance(events[0], Rejected), events
        return events

    def open(
        self, account: str, side: Side, tokens: int, limit: int | None = None, until_us: int | None = None
    ) -> Events:
        """Open a position; with a time, what is left rests until then."""
        in_force = "ioc" if until_us is None else "gtd"
        return self.do(OpenPosition(ARTIFACT, account, side, tokens, limit, in_force, until_us))  # type: ignore[arg-type]

    def close(self, position_id: int, microshares: int | None = None, limit: int | None = None) -> Events:
        """Close a position, or some of it."""
        return self.do(ClosePosition(position_id, microshares, limit))  # type: ignore[arg-type]

    def funds(self, account: str) -> int:
        """Return all that an account has, in microtokens: balance and purse."""
        state = self.engine.state
        return state.ledger.accounts[account].balance_tokens * 10**6 + state.capital.purses.get(account, 0)


def receipt(events: Events) -> SharesTraded:
    """Return the receipt among the events of an order."""
    (found,) = [event for event in events if isinstance(event, SharesTraded)]
    return found
