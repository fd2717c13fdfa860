"""The command `callmarket`: the demo, and commands on a market, whether it is running or not.

Rule of this file: arguments in, tables or JSON out. Commands that read use only committed data, never take the place
of the engine, and can run beside it. Exit codes: 0 success; 1 something was not found, or a check failed; 2 invalid
arguments; 3 it could not be done.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from callmarket.bridge.api.clock import system_clock
from callmarket.bridge.api.errors import ExchangeError, Invalid, NotFound
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.cli import tables
from callmarket.bridge.cli.artifacts.commands import artifact
from callmarket.bridge.cli.artifacts.portfolios import leaderboard, portfolio
from callmarket.bridge.cli.budgets import budgets
from callmarket.bridge.cli.clock import clock
from callmarket.bridge.cli.cycle import cycle
from callmarket.bridge.cli.database import CLI_NAME, connected, market_database
from callmarket.bridge.cli.earning import earnings
from callmarket.bridge.cli.history import (
    ArchiveFolder,
    AsOfSeq,
    book_then,
    prune,
    rebuild_projections,
    rounds_then,
    wallet_then,
)
from callmarket.bridge.cli.keys import keys
from callmarket.bridge.cli.leadership import hand_over
from callmarket.bridge.cli.leadership import status as shard_status
from callmarket.bridge.cli.ledger.export import export
from callmarket.bridge.cli.ledger.import_chain import import_chain
from callmarket.bridge.cli.loss import accept_loss, replay_lost
from callmarket.bridge.cli.mcp import mcp
from callmarket.bridge.cli.output import (
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    EXIT_WRONG,
    AsJson,
    RowsMax,
    Url,
    config_of,
    console,
    fail,
    forgetting_what_nobody_reads,
    json_is_asked_for,
    one_market,
    open_what_is_closed,
    print_json,
    printing_anything,
    show,
)
from callmarket.bridge.cli.serve import serve
from callmarket.bridge.cli.settings import print_settings
from callmarket.bridge.cli.snapshots import (
    end_with_standard_input,
    listed,
    lower_priority,
    rehearsed,
    take_forever,
    take_one,
    taken_row,
)
from callmarket.bridge.cli.studies.arena import arena
from callmarket.bridge.cli.studies.economy import economy
from callmarket.bridge.config import FILE_VARIABLE, with_changes
from callmarket.bridge.market.app import database_url, insist_on_assertions
from callmarket.bridge.studies.demo.options import MINUTES_MAX, SEED, DemoOptions
from callmarket.engine.ids import BidId
from callmarket.engine.limits import SEQ_MAX
from callmarket.persistence import queries
from callmarket.persistence.database.connections import connect
from callmarket.persistence.database.migrate import ensure_schema, pending
from callmarket.persistence.errors import Archived, Corrupt, Damaged, Diverged, PersistenceError
from callmarket.persistence.snapshot_follower import Taken
from callmarket.persistence.verify import verify as verify_journal

app = typer.Typer(
    name="callmarket",
    help="A call market for agent compute: agents bid tokens for slots, and the best bids win.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line. An error of the market becomes one line on stderr and an exit code."""
    open_what_is_closed()
    try:
        with printing_anything(), forgetting_what_nobody_reads():
            insist_on_assertions()
            _check_arguments(sys.argv[1:])
            _run()
    except NotFound as error:
        fail(error, EXIT_WRONG)
    except (Invalid, Archived) as error:
        fail(error, EXIT_USAGE)
    except (Corrupt, Diverged, Damaged) as error:
        fail(error, EXIT_WRONG)
    except (ExchangeError, PersistenceError, psycopg.Error) as error:
        fail(error, EXIT_UNAVAILABLE)


def _check_arguments(arguments: Sequence[str]) -> None:
    """Refuse arguments that are not text, which no table can be searched for. Raises `Invalid`."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise Invalid("argument", ascii(argument), "text in UTF-8") from None


def _run() -> None:
    """Parse the command line and run it. Typer prints parse errors, unless JSON is asked for."""
    if not json_is_asked_for(sys.argv[1:]):
        app()
    try:
        code = app(standalone_mode=False)
    except Exception as error:
        # Typer has no public name for the errors of its parser.
        if not hasattr(error, "format_message"):
            raise
        fail(error.format_message(), EXIT_USAGE)
    raise SystemExit(code if isinstance(code, int) else 0)


@app.callback()
def settings_file(
    config: Annotated[
        Path | None, typer.Option(help=f"The settings, as TOML; the environment wins. Default: {FILE_VARIABLE}.")
    ] = None,
) -> None:
    """A call market for agent compute: agents bid tokens for slots, and the best bids win."""
    if config is not None:
        # Processes that this one starts read it there too.
        os.environ[FILE_VARIABLE] = str(config.absolute())


@app.command(epilog="Example: callmarket demo --seed 7 --report report.html")
def demo(
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")] = SEED,
    minutes: Annotated[int, typer.Option(min=1, max=MINUTES_MAX, help="Minutes of the trace to use.")] = MINUTES_MAX,
    slots: Annotated[
        int | None, typer.Option(min=1, help="Slots to share. Default: as many as make the load 1.6.")
    ] = None,
    report: Annotated[Path, typer.Option(help="Where to write the HTML report.")] = Path("callmarket-demo.html"),
    no_kill: Annotated[bool, typer.Option("--no-kill", help="Do not kill the engine.")] = False,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Run the market on a real trace, kill its engine in the middle, recover, and compare it with other policies."""
    # Imported here: numpy takes a tenth of a second to import, which no other command should pay.
    from callmarket.bridge.studies.demo.run import run_demo  # noqa: PLC0415

    config = config_of(url)
    options = DemoOptions(
        seed=seed,
        minutes=minutes,
        slots=slots,
        report=report,
        kill=not no_kill,
        home=config.home_path,
        url=config.database_url or None,
    )
    # With --json the tables go to stderr, so that stdout has only the result.
    result = run_demo(options, console(to_stderr=as_json))
    if as_json:
        print_json(result)
    if not result.ok:
        raise typer.Exit(EXIT_WRONG)


@app.command(epilog="Example: callmarket book scidex-agent --rows 20")
def book(
    market: Annotated[str, typer.Argument(help="The market. Optional if there is only one.")] = "",
    rows: RowsMax = 20,
    as_of_seq: AsOfSeq = None,
    archive: ArchiveFolder = None,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Show the order book: the best open bids and the slots on offer."""
    if as_of_seq is not None:
        book_then(config_of(url), archive, market, rows, as_of_seq, as_json=as_json)
        return
    with connected(url) as (connection, shard_id):
        market_id = _one_market(connection, shard_id, market)
        bids = queries.open_bids(connection, shard_id, market_id, rows)
        asks = queries.offers(connection, shard_id, market_id, rows)
    show({"market_id": market_id, "bids": bids, "asks": asks}, as_json, lambda: tables.book(market_id, bids, asks))


@app.command(epilog="Example: callmarket wallet quest-alpha")
def wallet(
    account: Annotated[str, typer.Argument(help="The account. Default: list the richest.")] = "",
    rows: RowsMax = 20,
    as_of_seq: AsOfSeq = None,
    archive: ArchiveFolder = None,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Show a wallet with its latest movements, or the richest wallets."""
    if as_of_seq is not None:
        wallet_then(config_of(url), archive, account, rows, as_of_seq, as_json=as_json)
        return
    with connected(url) as (connection, shard_id):
        if not account:
            richest = queries.richest(connection, shard_id, rows)
            show({"accounts": richest}, as_json, lambda: tables.wallets(richest))
            return
        found = queries.wallet(connection, shard_id, account)
        if found is None:
            fail(f"no account {account!r}", EXIT_WRONG)
        movements = queries.statement(connection, shard_id, account, rows)
    show({"account": found, "statement": movements}, as_json, lambda: tables.wallet(found, movements))


@app.command(epilog="Example: callmarket rounds scidex-agent --rows 50")
def rounds(
    market: Annotated[str, typer.Argument(help="The market. Default: all markets.")] = "",
    rows: RowsMax = 20,
    as_of_seq: AsOfSeq = None,
    archive: ArchiveFolder = None,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Show the latest rounds with supply, demand, awards and price."""
    if as_of_seq is not None:
        rounds_then(config_of(url), archive, market, rows, as_of_seq, as_json=as_json)
        return
    with connected(url) as (connection, shard_id):
        market_id = _one_market(connection, shard_id, market) if market else None
        latest = queries.rounds(connection, shard_id, market_id, rows)
    show({"rounds": latest}, as_json, lambda: tables.rounds(latest))


@app.command(epilog="Example: callmarket why 4711")
def why(
    bid: Annotated[int, typer.Argument(help="The bid's id.", min=1, max=SEQ_MAX)],
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Show the status of a bid and why it won or lost."""
    with connected(url) as (connection, shard_id):
        found = queries.outcome(connection, shard_id, BidId(bid))
    if found is None:
        fail(f"no bid {bid}", EXIT_WRONG)
    show(found, as_json, lambda: tables.outcome(found))


@app.command(epilog="Example: callmarket verify --json")
def verify(archive: ArchiveFolder = None, url: Url = "", as_json: AsJson = False) -> None:
    """Verify the journal: digest chain, gaps, re-execution, SQL tables against the state. Exit code 1 if it fails."""
    config = config_of(url)
    with market_database(config) as resolved:
        report = verify_journal(resolved, config.shard_id, archive)
    told = {"ok": report.ok, **asdict(report)}
    show(told, as_json, lambda: tables.verification(report))
    if not report.ok:
        raise typer.Exit(EXIT_WRONG)


@app.command(epilog="Example: callmarket snapshot --every 300")
def snapshot(
    every: Annotated[
        float | None,
        typer.Option(
            "--every", min=0.1, max=86_400, help="Run until SIGTERM and take one at this interval, in seconds."
        ),
    ] = None,
    attached: Annotated[
        bool, typer.Option("--attached", help="End when standard input ends, as when the parent process ends.")
    ] = False,
    archive: ArchiveFolder = None,
    shard: Annotated[
        int | None, typer.Option("--shard", min=0, max=2**31 - 1, help="The shard. Default: CALLMARKET_SHARD_ID.")
    ] = None,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Take a snapshot, so that recovery need not begin at the first row. An engine may run and never waits for it.

    It recovers as the engine would, read-only, then writes the state, reads it back and compares.
    """
    config = with_changes(config_of(url), {} if shard is None else {"shard_id": shard})

    def show_taken(taken: Taken | None) -> None:
        show({"snapshot": None if taken is None else taken_row(taken)}, as_json, lambda: tables.taken(taken))
        sys.stdout.flush()

    lower_priority()
    if attached:
        end_with_standard_input()
    if every is None:
        show_taken(take_one(config, archive))
    else:
        # Imported here: it takes a tenth of a second to import, which no other command should pay.
        from callmarket.bridge.telemetry.logs import configure as configure_logs  # noqa: PLC0415

        configure_logs(config)
        take_forever(config, archive, every, show_taken)


@app.command(epilog="Example: callmarket snapshots --json")
def snapshots(url: Url = "", as_json: AsJson = False) -> None:
    """List the snapshots: rows behind the journal, age and size. Each is read to check that it is good."""
    rows = listed(config_of(url))
    show({"snapshots": rows}, as_json, lambda: tables.snapshots(rows, datetime_of(system_clock())))


@app.command(epilog="Example: callmarket recover --dry-run")
def recover(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Required: an exchange recovers by itself when it is opened.")
    ] = False,
    whole: Annotated[bool, typer.Option("--whole", help="Use no snapshot; begin at the first row.")] = False,
    archive: ArchiveFolder = None,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Rehearse a whole recovery, read-only, and report. An engine may run. Exit code 1 if it fails."""
    if not dry_run:
        raise Invalid("recover", "", "--dry-run: an exchange recovers by itself when it is opened")
    found = rehearsed(config_of(url), archive, whole=whole)
    show(found, as_json, lambda: tables.rehearsal(found))


@app.command(epilog="Example: callmarket status --json")
def status(url: Url = "", as_json: AsJson = False) -> None:
    """Show the leader, the standbys, and when recovery was last proved. Exit code 1 if there is no live leader."""
    with connected(url, asks_tables=False) as (connection, shard_id):
        found = shard_status(connection, shard_id)
    show(found, as_json, lambda: tables.status(found))
    if not found.led:
        raise typer.Exit(EXIT_WRONG)


@app.command(epilog="Example: callmarket handover --wait 30")
def handover(
    wait: Annotated[
        float, typer.Option("--wait", min=0.1, max=3_600, help="How many seconds to wait for the new leader.")
    ] = 60.0,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Hand over to a standby: the leader drains, commits, releases its lease, ends. Exit code 3 without a standby."""
    with connected(url, writes=True, asks_tables=False) as (connection, shard_id):
        done = hand_over(connection, shard_id, wait)
    show(done, as_json, lambda: tables.handover(done))


@app.command(epilog="Example: callmarket migrate --url postgresql://localhost/market")
def migrate(url: Url = "", as_json: AsJson = False) -> None:
    """Create the tables or bring them up to date. Idempotent."""
    with database_url(config_of(url)) as resolved, connect(resolved, CLI_NAME) as connection:
        names = pending(connection)
        ensure_schema(connection)
    show({"applied": names}, as_json, lambda: tables.migrated(names))


app.command(epilog="Example: callmarket arena --seeds 20 --bidders 3")(arena)
app.command(epilog="Example: callmarket cycle agents --every 60s")(cycle)
app.command(epilog="Example: callmarket clock --accept 2026-11-30T12:00:00Z --reason 'the VM was paused'")(clock)
app.command(epilog="Example: callmarket accept-loss --from 26")(accept_loss)
app.command(epilog="Example: callmarket replay-lost marks/lost-...-26-66.jsonl")(replay_lost)
app.command(epilog="Example: callmarket earnings alpha")(earnings)
app.command(epilog="Example: callmarket economy --days 14 --report economy.html")(economy)
app.command(epilog="Example: callmarket budgets hypothesis --rows 10")(budgets)
app.command("rebuild-projections", epilog="Example: callmarket rebuild-projections --json")(rebuild_projections)
app.add_typer(artifact)
app.command(epilog="Example: callmarket portfolio alpha --days 90")(portfolio)
app.command(epilog="Example: callmarket leaderboard --by bits")(leaderboard)
app.command(epilog="Example: callmarket export --format beancount --out books")(export)
app.command("import-chain", epilog="Example: callmarket import-chain logs.jsonl --chain base --apply")(import_chain)
app.add_typer(keys)
app.command(epilog="Example: callmarket serve --port 8321")(serve)
app.command(epilog="Example: CALLMARKET_URL=http://127.0.0.1:8321 CALLMARKET_KEY=cmk_... callmarket mcp")(mcp)
app.command("config", epilog="Example: callmarket --config market.toml config")(print_settings)
app.command(epilog="Example: callmarket prune --archive /backup/journal --dry-run")(prune)


def _one_market(connection: psycopg.Connection, shard_id: int, market: str) -> str:
    return one_market(market, queries.market_ids(connection, shard_id))
