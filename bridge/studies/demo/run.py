"""The demo from beginning to end: draw, play every policy, crash the auction on the way, audit, compare, report.

Rule of this file: it only orders the steps; each step lives in a file of its own.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median

import numpy as np
from rich.console import Console

from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.studies.demo import audit
from callmarket.bridge.studies.demo.compare import verdicts
from callmarket.bridge.studies.demo.metrics import Metrics, measure
from callmarket.bridge.studies.demo.options import SHARD_ID, DemoOptions
from callmarket.bridge.studies.demo.other_seeds import compare_seeds, policies_without_prices
from callmarket.bridge.studies.demo.process.database import fresh_database
from callmarket.bridge.studies.demo.process.engine_client import EngineClient, Kill
from callmarket.bridge.studies.demo.result import (
    AUCTION,
    DemoResult,
    Economy,
    FigureInputs,
    KillFacts,
    Scenario,
    episodes,
)
from callmarket.bridge.studies.demo.scenario.auction import Auction
from callmarket.bridge.studies.demo.scenario.policies import Policy
from callmarket.bridge.studies.demo.scenario.selective import play_selective
from callmarket.bridge.studies.demo.scenario.simulation import CYCLE_US, Run, Simulation, load_of, slots_for
from callmarket.bridge.studies.demo.scenario.workload import WINDOW_STARTS_AT, Workload, make_workload
from callmarket.bridge.studies.demo.terminal import Stage, print_result
from callmarket.engine.commands import TREASURY
from callmarket.engine.reject import Reject
from callmarket.persistence.tables.table_writer import bring_level
from callmarket.persistence.verify import verify

__all__ = ["DemoOptions", "DemoResult", "run_demo"]


class _Auctioned:
    """What came out of the auction and its audit."""

    def __init__(self, auction: Auction, run: Run, kill: Kill | None, proofs: list[audit.Proof]) -> None:
        self.auction = auction
        self.run = run
        self.kill = kill
        self.proofs = proofs


def run_demo(options: DemoOptions, console: Console) -> DemoResult:
    """Run the demo, show it on the console, write the report, and return the result; `ok` is the verdict.

    Takes some seconds and the time that PostgreSQL needs to start. Raises `Invalid` for a wrong option, and where it
    could not be run at all `DemoRunning`, `EngineFailed` or `persistence.errors.PersistenceError`.
    """
    seconds: dict[str, float] = {}
    with Stage(console) as stage:
        workload = make_workload(options.seed, options.minutes)
        slots = slots_for(workload) if options.slots is None else options.slots
        if slots < 1:
            raise Invalid("slots", slots, "1 or more")
        if options.report is not None and not options.report.parent.is_dir():
            raise Invalid("report", str(options.report), "a file in a folder that exists")
        others = policies_without_prices(workload, slots)
        with _timed(seconds, "policies"):
            runs = [_play(workload, policy, name, slots, stage) for name, policy in others.items()]
            selective = play_selective(workload, slots)
        auctioned = _auction(options, workload, slots, stage, seconds)
        runs.insert(0, auctioned.run)
        proofs = [*auctioned.proofs, audit.audit_tasks(runs, len(workload.tasks))]
        with _timed(seconds, "other seeds"), stage.progress("other seeds", options.other_seeds) as advance:
            seeds = range(options.seed + 1, options.seed + 1 + options.other_seeds)
            other_seeds = compare_seeds(seeds, options.minutes, options.slots, advance)
        rows = _rows(workload, runs, auctioned.auction)
        result = DemoResult(
            ok=all(proof.ok for proof in proofs),
            scene=_scene(workload, slots),
            policies=rows,
            selective=selective,
            verdicts=tuple(verdicts(rows[0], rows[1:])),
            other_seeds=other_seeds,
            proofs=tuple(proofs),
            economy=_economy(workload, auctioned.auction),
            kill=None if auctioned.kill is None else _kill_facts(workload, auctioned.kill),
            seconds=seconds,
            report=None if options.report is None else str(options.report),
        )
        if options.report is not None:
            killed_at_us = None if auctioned.kill is None else auctioned.kill.at_us
            with _timed(seconds, "report"), stage.step("drawing the report"):
                # Only here, because matplotlib takes half a second that no other command should pay.
                from callmarket.bridge.studies.demo.report import write_report  # noqa: PLC0415

                played = FigureInputs(workload, tuple(runs), auctioned.auction.cycles, killed_at_us)
                write_report(options.report, result, played)
    print_result(console, result)
    return result


def _play(workload: Workload, policy: Policy, name: str, slots: int, stage: Stage) -> Run:
    with stage.progress(name, workload.minutes * 60_000_000 // CYCLE_US) as advance:
        return Simulation(workload, policy, name, slots).run(advance)


def _auction(
    options: DemoOptions, workload: Workload, slots: int, stage: Stage, seconds: dict[str, float]
) -> _Auctioned:
    # The middle by work, not by the clock: half of the tasks have arrived, and the trace has pauses.
    kill_from_us = workload.tasks[len(workload.tasks) // 2].arrived_us if options.kill else None
    with ExitStack() as stack:
        with _timed(seconds, "database"), stage.step("starting PostgreSQL"):
            url = stack.enter_context(fresh_database(options))
        with _timed(seconds, "engine start"), stage.step("starting the engine"):
            client = stack.enter_context(EngineClient(url, kill_from_us=kill_from_us))
        with _timed(seconds, "auction"):
            auction = Auction(workload, client, slots)
            run = _play(workload, auction, AUCTION, slots, stage)
        with _timed(seconds, "audit"), stage.step("auditing the journal"):
            proofs = _proofs(options, client, auction, url)
        return _Auctioned(auction, run, client.kill, proofs)


def _proofs(options: DemoOptions, client: EngineClient, auction: Auction, url: str) -> list[audit.Proof]:
    # The tables follow the journal: they are judged when they have all of it.
    bring_level(url, SHARD_ID)
    journal = audit.read_journal(url)
    proofs = [
        audit.audit_acknowledged(client.acknowledged, journal),
        audit.audit_once(client.acknowledged, journal, client.kill),
    ]
    if client.kill is not None:
        proofs.append(audit.audit_recovery(client.kill, journal))
    elif options.kill:
        proofs.append(audit.Proof("the engine was killed with a batch in flight", False, "no batch was large enough"))
    proofs += [
        audit.audit_balances(auction.books, client.balances()),
        audit.audit_tokens(auction.books),
        audit.audit_journal(verify(url, SHARD_ID)),
    ]
    return proofs


def _rows(workload: Workload, runs: Sequence[Run], auction: Auction) -> tuple[Metrics, ...]:
    revenue = auction.books.balances[TREASURY]
    return tuple(measure(workload, run, revenue if run.policy == AUCTION else 0) for run in runs)


def _scene(workload: Workload, slots: int) -> Scenario:
    kinds = [bidder.kind for bidder in workload.bidders]
    return Scenario(
        seed=workload.seed,
        minutes=workload.minutes,
        slots=slots,
        load=load_of(workload, slots),
        tasks=len(workload.tasks),
        quests=kinds.count("quest"),
        agents=kinds.count("agent"),
        cycle_s=CYCLE_US / 1e6,
        arrivals_first=_clock_time(workload.tasks[0].arrived_us),
        arrivals_last=_clock_time(workload.tasks[-1].arrived_us),
    )


def _economy(workload: Workload, auction: Auction) -> Economy:
    prices = [cycle.price_tokens for cycle in auction.cycles if cycle.price_tokens is not None]
    stretches = episodes(auction.cycles)
    return Economy(
        commands=auction.commands,
        tasks_declined=len(workload.tasks) - len(auction.tasks_wanted),
        minted_tokens=auction.books.minted_tokens,
        burned_tokens=auction.books.burned_tokens,
        compute_unpaid_tokens=auction.compute_unpaid_tokens,
        wages_tokens=auction.wages_tokens,
        price_median_tokens=round(median(prices)) if prices else 0,
        price_max_tokens=max(prices, default=0),
        refused_for_funds=auction.refusals.get(Reject.FUNDS_INSUFFICIENT.value, 0),
        bidders_priced_out=len({bidder for bidder, _, _, _ in stretches}),
        episodes=len(stretches),
        episodes_won_after=sum(won_after for _, _, _, won_after in stretches),
    )


def _kill_facts(workload: Workload, kill: Kill) -> KillFacts:
    return KillFacts(
        at_virtual_s=(kill.at_us - workload.starts_at_us) / 1e6,
        acknowledged=kill.acknowledged,
        in_flight=kill.requests_in_flight,
        found_journaled=kill.found_journaled,
        rows_recovered=kill.rows_recovered,
        recovery_s=kill.recovery_seconds,
        outage_s=kill.outage_seconds,
    )


def _clock_time(at_us: int) -> str:
    seconds = at_us / 1e6 - WINDOW_STARTS_AT.timestamp()
    return str(np.datetime64(WINDOW_STARTS_AT.replace(tzinfo=None), "ms") + np.timedelta64(round(seconds * 1e3), "ms"))


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - begun, 3)
