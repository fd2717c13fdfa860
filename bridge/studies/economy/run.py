"""The simulation from beginning to end: a fresh database, the days, the audit, the report.

Rule of this file: it only orders the steps; each step lives in a file of its own.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
from rich.console import Console

from callmarket.bridge.api.clock import ManualClock
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.config import Config
from callmarket.bridge.fleet.earning.demurrage import Demurrage
from callmarket.bridge.market.app import open_with
from callmarket.bridge.studies.demo.audit import audit_journal, read_journal
from callmarket.bridge.studies.demo.options import DemoOptions
from callmarket.bridge.studies.demo.process.database import fresh_database
from callmarket.bridge.studies.demo.terminal import Stage
from callmarket.bridge.studies.economy import audit
from callmarket.bridge.studies.economy.bidders import Bidder
from callmarket.bridge.studies.economy.ledger import (
    DEMURRAGE,
    GRANT,
    REVIEW,
    REWARD,
    SLOT,
    Movement,
    Return,
    balances_by_day,
    days_of,
    read_ledger,
    read_refused,
    returns_of,
    sums_of,
)
from callmarket.bridge.studies.economy.options import DAYS_MAX, SHARD_ID, EconomyOptions
from callmarket.bridge.studies.economy.play import BEGINS_US, DAY_US, HOURS, SLOTS, Play
from callmarket.bridge.studies.economy.result import AccountFacts, EconomyResult
from callmarket.bridge.studies.economy.terminal import print_result
from callmarket.persistence.tables.table_writer import bring_level
from callmarket.persistence.verify import verify

# This many idle tokens are free of demurrage.
EXEMPT_TOKENS = 500


def run_economy(options: EconomyOptions, console: Console) -> EconomyResult:
    """Run it, show it on the console, write the report, and return the result; `ok` is the verdict.

    Takes some hundredths of a second for each day, and the time that PostgreSQL needs to start. Raises `Invalid` for a
    wrong option, and what `open_exchange` raises.
    """
    _check(options)
    seconds: dict[str, float] = {}
    with Stage(console) as stage, fresh_database(_place(options)) as url:
        with _timed(seconds, "days"):
            play, engine = _play(options, url, stage)
        with _timed(seconds, "audit"), stage.step("auditing the journal"):
            # The tables follow the journal: a question to them needs all of it.
            bring_level(url, SHARD_ID)
            movements, refused = read_ledger(url), read_refused(url)
            names = [bidder.account_id for bidder in play.everybody]
            ends = balances_by_day(movements, options.days)
            days, returns = days_of(movements, refused, options.days, names), returns_of(movements, refused)
            proofs = (
                audit.audit_every_step(read_journal(url)),
                audit.audit_supply(days, engine),
                audit.audit_wallets(ends[-1], engine),
                audit.audit_demurrage(movements),
                audit.audit_returns(returns),
                audit_journal(verify(url, SHARD_ID)),
            )
        result = EconomyResult(
            ok=all(proof.ok for proof in proofs),
            seed=options.seed,
            slots=SLOTS,
            demurrage_ppm=options.demurrage_ppm,
            days=tuple(days),
            accounts=_accounts(play.everybody, movements, ends[-1], returns),
            returns=tuple(returns),
            wallets={name: tuple(end.get(name, 0) for end in ends) for name in names},
            proofs=proofs,
            seconds=seconds,
            report=None if options.report is None else str(options.report),
        )
        if options.report is not None:
            with _timed(seconds, "report"), stage.step("drawing the report"):
                # Only here, because matplotlib takes half a second that no other command should pay.
                from callmarket.bridge.studies.economy.report import write_report  # noqa: PLC0415

                write_report(options.report, result)
    print_result(console, result)
    return result


def _play(options: EconomyOptions, url: str, stage: Stage) -> tuple[Play, dict[str, int]]:
    """The days, and what the engine then says of every account."""
    clock = ManualClock(BEGINS_US)
    terms = Demurrage(options.demurrage_ppm, DAY_US, EXEMPT_TOKENS, "burn")
    config = msgspec.structs.replace(Config(), database_url=url, shard_id=SHARD_ID)
    with open_with(config, clock=clock) as market, stage.progress("the days", options.days * HOURS) as advance:
        play = Play(market, clock, options.seed, terms)
        play.run(options.days, lambda: advance(1))
        return play, market.read(
            lambda state: {name: account.balance_tokens for name, account in state.ledger.accounts.items()}
        )


def _accounts(
    everybody: Sequence[Bidder], movements: Sequence[Movement], ends: dict[str, int], returns: Sequence[Return]
) -> tuple[AccountFacts, ...]:
    sums = sums_of(movements)

    def facts(bidder: Bidder) -> AccountFacts:
        name = bidder.account_id
        out = [one for one in returns if one.account_id == name]
        return AccountFacts(
            account_id=name,
            habit=bidder.habit,
            granted_tokens=sums.get((name, GRANT), 0),
            rewarded_tokens=sums.get((name, REWARD), 0),
            earned_tokens=sums.get((name, REVIEW), 0),
            paid_tokens=-sums.get((name, SLOT), 0),
            demurrage_tokens=-sums.get((name, DEMURRAGE), 0),
            balance_tokens=ends.get(name, 0),
            priced_out=len(out),
            came_back=sum(one.back_at is not None for one in out),
        )

    return tuple(facts(bidder) for bidder in everybody)


def _check(options: EconomyOptions) -> None:
    if not 1 <= options.days <= DAYS_MAX:
        raise Invalid("days", options.days, f"1 to {DAYS_MAX}")
    if not 0 <= options.demurrage_ppm <= 1_000_000:
        raise Invalid("demurrage_ppm", options.demurrage_ppm, "0 to 1000000")
    if options.report is not None and not options.report.parent.is_dir():
        raise Invalid("report", str(options.report), "a file in a folder that exists")


def _place(options: EconomyOptions) -> DemoOptions:
    return DemoOptions(home=options.home, url=options.url, database=options.database)


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - begun, 3)
