"""Run it: `python -m examples.platform`, beside `callmarket serve` and with its CALLMARKET_URL and CALLMARKET_KEY.

Rule of this file: options in, everything wired, an exit code out: 0 when each task is done or has failed for good, 1
when time was up before, 3 when the market or the database was not to be had.
"""

import os
import signal
import time
from contextlib import ExitStack
from typing import Annotated

import typer
from rich.console import Console

from callmarket import Client
from callmarket.bridge.api.errors import ExchangeError, Invalid, Unavailable
from callmarket.bridge.cli.output import EXIT_UNAVAILABLE, EXIT_USAGE, EXIT_WRONG, fail, print_json
from callmarket.bridge.config import Config, from_environment, with_changes
from callmarket.bridge.fleet.agent import Fallback
from callmarket.bridge.fleet.fallback.services import FallbackServices
from callmarket.bridge.fleet.fallback.switch import FallbackSwitch
from callmarket.bridge.fleet.quest_budgets.daily import DailyBudgets
from callmarket.bridge.fleet.tasks.tables import WorkTables
from callmarket.bridge.market.app import database_url
from examples.platform.labour import working
from examples.platform.opening import MARKET, open_platform
from examples.platform.pace import Pace
from examples.platform.report import Summary, summarize, table_of
from examples.platform.rounds import Rounds

# The timeout of callers that have better things to do than to wait for an unavailable market.
CLIENT_TIMEOUT_S = 1.5


def run(
    seed: Annotated[int, typer.Option(min=0, max=2**32, help="Seed of the backlog and of what comes of it.")] = 1,
    tasks: Annotated[int, typer.Option(min=3, max=200, help="Tasks of each of the three quests.")] = 9,
    workers: Annotated[int, typer.Option(min=2, max=16, help="Workers, each with one slot; the second one fails.")] = 3,
    work_s: Annotated[float, typer.Option(min=0.0, max=60.0, help="Seconds that a piece of work takes.")] = 0.5,
    round_s: Annotated[float, typer.Option(min=0.05, max=60.0, help="Seconds from round to round, at least.")] = 1.0,
    budget_day_tokens: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="What all quests may spend in a day without the auction.")
    ] = 1_500,
    timeout_s: Annotated[float, typer.Option(min=1.0, max=86_400.0, help="Give up after this long.")] = 600.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON; the rounds go to stderr.")
    ] = False,
) -> None:
    """Run a small platform on a served market until its backlog is done."""
    # Ended by the system as by a person: the workers finish what they have in hand. A SIGKILL does no harm either.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(stderr=as_json, highlight=False, markup=False, emoji=False)
    try:
        config = _config(budget_day_tokens)
        summary = _played(
            config,
            console,
            seed=seed,
            tasks=tasks,
            workers=workers,
            work_s=work_s,
            round_s=round_s,
            timeout_s=timeout_s,
        )
    except Invalid as error:
        fail(error, EXIT_USAGE)
    except ExchangeError as error:
        fail(error, EXIT_UNAVAILABLE)
    if as_json:
        print_json(summary)
    else:
        console.print(table_of(summary))
    if not summary.is_over:
        raise typer.Exit(EXIT_WRONG)


def _config(budget_day_tokens: int) -> Config:
    """The settings of the environment, where the database is among them, and those that make a small world quick.

    A platform leaves them out: the defaults are for one.
    """
    return with_changes(
        from_environment(os.environ),
        {
            "ev_default_cost_tokens": 100,
            "ev_tokens_per_impact": 200,
            "budget_day_tokens": budget_day_tokens,
            "auction_look_s": 0.3,
            "auction_failures_max": 2,
            "auction_answers_min": 2,
        },
    )


def _played(
    config: Config,
    console: Console,
    *,
    seed: int,
    tasks: int,
    workers: int,
    work_s: float,
    round_s: float,
    timeout_s: float,
) -> Summary:
    """All rounds. The key of the environment is the admin's here, for one process does everything.

    A platform gives each of its own: `keys create --operate` to the one that calls the market, `--bid` with the quests'
    accounts to the scorer, `--offer` with its provider to a worker; only what opens accounts and pays rewards needs
    `--admin`.
    """
    end_s = time.monotonic() + timeout_s
    with ExitStack() as stack:
        # The service's own database: CALLMARKET_DATABASE_URL, or the private one, if that is what it serves from.
        url = stack.enter_context(database_url(config))
        work = stack.enter_context(WorkTables(url, config.shard_id))
        budgets = stack.enter_context(DailyBudgets(url, config.shard_id))
        with Client() as patient:
            open_platform(patient, work, tasks=tasks, workers=workers, seed=seed)
        market = stack.enter_context(Client(timeout_s=CLIENT_TIMEOUT_S))
        switch = stack.enter_context(FallbackSwitch(market, MARKET, config=config))
        services = FallbackServices(work, budgets, config=config)
        rounds = Rounds(market, work, switch, config, seed)
        played, pace = 0, Pace(round_s)
        with working(
            market, work, Fallback(switch, services, services), workers=workers, work_s=work_s, seed=seed
        ) as running:
            while not rounds.is_over and time.monotonic() < end_s:
                try:
                    told = str(rounds.play())
                except Unavailable as error:
                    # The tables of work are away, and so the market is too: the workers wait, as this does.
                    told = f"no round: {error}"
                console.print(told, soft_wrap=True)
                played += 1
                for failed in (one for one in running if one.done()):
                    failed.result()
                time.sleep(pace.next_s(rounds.ended_by))
        with Client() as patient:
            # A new one knows what the old one knew: all of it is in the tables.
            last = Rounds(patient, work, switch, config, seed)
            last.close()
            return summarize(patient, work, budgets, last.completions, rounds=played, is_over=rounds.is_over)


if __name__ == "__main__":
    typer.run(run)
