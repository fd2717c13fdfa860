"""The commands about the past: `--as-of-seq` of `book`, `wallet` and `rounds`, `rebuild-projections`, and `prune`.

Rule of this file: the past has the same shapes as the present. A past state is read by the queries of the live market.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from callmarket.bridge.api.contract.queries import Moment
from callmarket.bridge.api.operations.accounts import Wallet, wallet
from callmarket.bridge.api.operations.markets import get_order_book
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.cli import tables
from callmarket.bridge.cli.database import CLI_NAME, reading, wait_for_tables
from callmarket.bridge.cli.output import EXIT_WRONG, AsJson, Url, config_of, console, fail, one_market, print_json, show
from callmarket.bridge.config import Config
from callmarket.bridge.market.history import state_then
from callmarket.engine.limits import SEQ_MAX
from callmarket.engine.market import Market
from callmarket.engine.state import State
from callmarket.persistence.archive.prune import Pruned, carry_out, plan
from callmarket.persistence.database.connections import connect
from callmarket.persistence.journal.protocol import Archive
from callmarket.persistence.tables.rebuild import rebuild
from callmarket.persistence.time_travel import rounds_at, statement_at

AsOfSeq = Annotated[
    int | None,
    typer.Option("--as-of-seq", max=SEQ_MAX, help="Show the state after this row of the journal, by re-execution."),
]


ArchiveFolder = Annotated[
    Path | None,
    typer.Option("--archive", file_okay=False, help="The folder of rows that `prune` moved out of the journal."),
]


def prune(
    archive: Annotated[
        Path, typer.Option("--archive", file_okay=False, help="The folder to move the rows to. Keep it, and copies.")
    ],
    keep_rows: Annotated[
        int, typer.Option("--keep-rows", min=0, max=SEQ_MAX, help="Keep at least this many rows in the database.")
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, and show what would be moved; move nothing.")
    ] = False,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Move old rows of the journal out of the database into files: those before the oldest snapshot that is good.

    First the snapshot is proved: the rows before it lead to it, and it leads to the journal's end. Each file is on the
    disk, read back and compared before its rows are deleted. An engine may run. From then on `verify`,
    `rebuild-projections` and commands that look back beyond these rows need the folder: --archive. Keep a day of rows:
    the reply to a retry is read from them. Without them the client learns only which row it was.
    """
    config = config_of(url)
    # With --json stdout has only the result.
    told = console(to_stderr=as_json)

    def show_file(one: Archive) -> None:
        told.print(tables.archived(one), soft_wrap=True)

    with reading(config, archive, writes=True) as (resolved, journal, store):
        # Rows that the tables do not have yet are not moved.
        with connect(resolved, CLI_NAME, read_only=True) as connection:
            wait_for_tables(connection, config.shard_id)
        todo = plan(journal, store, config.shard_id, keep_rows)
        told.print(tables.planned(todo, archive), soft_wrap=True)
        pruned = Pruned(todo, ()) if dry_run else carry_out(resolved, journal, store, todo, archive, show_file)
    if as_json:
        print_json(_told(pruned, dry_run=dry_run))
    elif not dry_run:
        told.print(tables.pruned(pruned, archive), soft_wrap=True)


def _told(pruned: Pruned, *, dry_run: bool) -> dict[str, object]:
    """What was planned and done, as JSON."""
    todo = pruned.plan
    return {
        "shard_id": todo.shard_id,
        "dry_run": dry_run,
        "first_seq": todo.first_seq,
        "last_seq": todo.last_seq,
        "rows": todo.rows,
        "rows_kept": todo.end_seq - todo.last_seq,
        "snapshot": None if todo.snapshot is None else {"name": todo.snapshot.name, "seq": todo.snapshot.seq},
        "passed_over": todo.passed_over,
        "archives": [
            {
                "first_seq": one.first_seq,
                "last_seq": one.last_seq,
                "file_name": one.file_name,
                "file_bytes": one.file_bytes,
                "sha256": one.sha256.hex(),
            }
            for one in pruned.archives
        ],
    }


def rebuild_projections(archive: ArchiveFolder = None, url: Url = "", as_json: AsJson = False) -> None:
    """Delete the rows of the SQL tables and rebuild them from the journal, in one transaction.

    For tables that were changed by hand. An engine may write meanwhile; the tables then follow the journal from there.
    Run `callmarket verify` afterwards.
    """
    config = config_of(url)
    with reading(config, archive, writes=True) as (resolved, journal, _):
        rebuilt = rebuild(resolved, config.shard_id, journal)
    show(rebuilt, as_json, lambda: tables.rebuilt(rebuilt))


def book_then(config: Config, archive: Path | None, market: str, rows: int, as_of_seq: int, *, as_json: bool) -> None:
    """Show an order book of the past."""
    with _past(config, archive, as_of_seq) as (_, _, state):
        market_id = _one_market(state, market).rules.market_id
        found = get_order_book.state_query(market_id, rows).answer(_moment(state))
    told = _then(state) | {"market_id": market_id, "bids": found.bids, "asks": found.asks}
    show(told, as_json, lambda: tables.then(state, tables.book(market_id, found.bids, found.asks)))


def wallet_then(
    config: Config, archive: Path | None, account: str, rows: int, as_of_seq: int, *, as_json: bool
) -> None:
    """Show a wallet of the past with its movements up to then, or the wallets that were the richest."""
    with _past(config, archive, as_of_seq) as (connection, shard_id, state):
        accounts = state.ledger.accounts
        if not account:
            order = sorted(accounts.values(), key=lambda one: (-one.balance_tokens, one.account_id))
            richest = [_wallet(state, one.account_id) for one in order[:rows]]
            show(
                _then(state) | {"accounts": richest},
                as_json,
                lambda: tables.then(state, tables.wallets(richest)),
            )
            return
        if account not in accounts:
            fail(f"no account {account!r} as of row {as_of_seq}", EXIT_WRONG)
        found = _wallet(state, account)
        movements = statement_at(connection, shard_id, state, account, rows)
    told = _then(state) | {"account": found, "statement": movements}
    show(told, as_json, lambda: tables.then(state, tables.wallet(found, movements)))


def rounds_then(config: Config, archive: Path | None, market: str, rows: int, as_of_seq: int, *, as_json: bool) -> None:
    """Show the latest rounds of the past."""
    with _past(config, archive, as_of_seq) as (connection, shard_id, state):
        market_id = _one_market(state, market).rules.market_id if market else None
        latest = rounds_at(connection, shard_id, state, market_id, rows)
    show(_then(state) | {"rounds": latest}, as_json, lambda: tables.then(state, tables.rounds(latest)))


@contextmanager
def _past(config: Config, archive: Path | None, as_of_seq: int) -> Iterator[tuple[psycopg.Connection, int, State]]:
    with (
        reading(config, archive) as (url, journal, store),
        connect(url, CLI_NAME, read_only=True) as connection,
    ):
        yield connection, config.shard_id, state_then(journal, store, as_of_seq)


def _then(state: State) -> dict[str, object]:
    """The fields that every answer about the past begins with."""
    return {"as_of_seq": state.seq, "at": datetime_of(state.at_us)}


def _one_market(state: State, market: str) -> Market:
    """The market of this name, or the only market if none is named."""
    return state.markets[one_market(market, sorted(state.markets), f" as of row {state.seq}")]


def _wallet(state: State, account_id: str) -> Wallet:
    return wallet.state_query(account_id).answer(_moment(state))


def _moment(state: State) -> Moment:
    """A past state as a query needs it: all of it is durable."""
    return Moment(state, state.seq, state.at_us)
