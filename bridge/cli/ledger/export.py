"""The command that writes the ledger for others: `export`.

Rule of this file: it reads part by part and writes what it has read, so no ledger is in memory as a whole. A file takes
its name when it is complete, in the place of the one before.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import msgspec
import psycopg
import typer
from msgspec import Struct
from rich.text import Text

from callmarket.bridge.api.clock import system_clock
from callmarket.bridge.api.contract.operation import Operation
from callmarket.bridge.api.contract.paging import all_rows
from callmarket.bridge.api.contract.queries import TableQuery, Tables
from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.operations.ledger.exports import (
    export_ledger_for_chain,
    export_ledger_month,
    ledger_months,
)
from callmarket.bridge.api.operations.ledger.parts import TOOLS
from callmarket.bridge.api.operations.ledger.reading import logs_of
from callmarket.bridge.api.units import at_us, datetime_of
from callmarket.bridge.cli.database import CLI_NAME, connected, reading
from callmarket.bridge.cli.output import AsJson, Url, config_of, show, write_out
from callmarket.bridge.ledger_export import etherscan
from callmarket.bridge.ledger_export.addresses import Chain
from callmarket.bridge.ledger_export.logs import ChainLog
from callmarket.persistence.database.connections import connect
from callmarket.persistence.database.reader_pool import positions
from callmarket.persistence.durable_file import appearing
from callmarket.persistence.journal.protocol import Journal, StoredRow
from callmarket.persistence.postings import Posting, postings_of

Format = Literal["logs", "csv", "beancount", "hledger"]
T = TypeVar("T")

# Postings from the archive whose addresses are looked up together.
_TOGETHER: Final = 1_000


class Exported(Struct, frozen=True):
    """What was written: the files, and the rows of the journal up to which they go."""

    files: tuple[str, ...]
    seq: int


def export(
    format: Annotated[  # noqa: A002 -- the usual name of this option
        Format, typer.Option(help="logs: JSON lines as eth_getLogs gives them. csv: the columns of Etherscan.")
    ] = "logs",
    chain: Annotated[Chain, typer.Option(help="Whose addresses are written, with logs and csv.")] = "ethereum",
    since: Annotated[str, typer.Option(help="With logs and csv: only from this time on. ISO 8601 with a zone.")] = "",
    month: Annotated[str, typer.Option(help="With beancount and hledger: this month alone, as 2026-11.")] = "",
    out: Annotated[
        Path | None, typer.Option("--out", file_okay=False, help="With beancount and hledger: a folder for all months.")
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option("--archive", file_okay=False, help="With logs and csv: where `prune` has moved old rows."),
    ] = None,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Write the ledger for others, from the journal: logs of a token, or text for accounting tools.

    Logs and CSV go to stdout, and so does one month of text. With --out each month of UTC is a file of its own there,
    and a file `ledger` includes them all: for `bean-check ledger.beancount`, or `hledger -f ledger.journal check`. A
    file is replaced, never added to, and that of a month that is over is the same each time. With --json stdout has the
    names of the files.
    """
    since_at = _check(format, since, month, out, archive)
    config = config_of(url)
    if archive is not None:
        with reading(config, archive) as (resolved, journal, _), connect(resolved, CLI_NAME, read_only=True) as line:
            write_out(_lines(_archived(_Asking(line, config.shard_id), journal, chain, since_at), format))
        return
    with connected(url) as (connection, shard_id):
        asking = _Asking(connection, shard_id)
        if out is not None:
            done = Exported(tuple(_write_months(asking, format, out)), asking.tables().seq)
            show(done, as_json, lambda: Text("\n".join(done.files)))
        elif format in TOOLS:
            write_out(asking.each(export_ledger_month, month, format))
        else:
            write_out(_lines(asking.each(export_ledger_for_chain, since_at, chain), format))


class _Asking:
    """The questions of operations, answered from a connection."""

    def __init__(self, connection: psycopg.Connection, shard_id: int) -> None:
        self._connection: Final = connection
        self._shard_id: Final = shard_id

    def tables(self) -> Tables:
        """The tables as they are now."""
        seq, durable_seq = positions(self._connection, self._shard_id)
        return Tables(self._connection, self._shard_id, seq, durable_seq, datetime_of(system_clock()), 1)

    def ask(self, operation: Operation[..., T], *args: object, **options: object) -> T:
        """The answer to one question."""
        plan = operation.plan(*args, **options)
        assert isinstance(plan, TableQuery), operation.name
        answer: T = plan.answer(self.tables())
        return answer

    def each(self, operation: Operation[..., Page[T]], *args: object) -> Iterator[T]:
        """The items of all pages, each read when the iteration comes to it."""
        return all_rows(lambda after, limit: self.ask(operation, *args, limit=limit, after=after))


def _check(form: Format, since: str, month: str, out: Path | None, archive: Path | None) -> datetime | None:
    """Check that the options go together, and return the time that `since` names. Raises `Invalid`."""
    is_text = form in TOOLS
    if is_text and bool(month) == (out is not None):
        raise Invalid("month", month, f"with {form} a month, which goes to stdout, or --out with a folder for all")
    for name, given in (("since", since), ("archive", archive)):
        if given and is_text:
            raise Invalid(name, str(given), "nothing with text for accounting tools, which is by month")
    for name, given in (("month", month), ("out", out)):
        if given and not is_text:
            raise Invalid(name, str(given), f"nothing with {form}: its beginning is --since")
    if not since:
        return None
    try:
        at = datetime.fromisoformat(since)
        at_us("since", at)
    except ValueError:
        raise Invalid("since", since, "a time with its zone, as 2026-11-30T12:00:00Z") from None
    return at


def _lines(logs: Iterable[ChainLog], form: Format) -> Iterator[str]:
    if form == "csv":
        yield etherscan.HEAD
        yield from map(etherscan.line_of, logs)
    else:
        yield from (msgspec.json.encode(log).decode() + "\n" for log in logs)


def _write_months(asking: _Asking, form: Format, folder: Path) -> Iterator[str]:
    """Write a file for each month, and the one that includes them; their names, as they are written."""
    tool = TOOLS[form]
    months = asking.ask(ledger_months).months
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for month in months:
            yield _written(folder / f"{month}.{tool.suffix}", asking.each(export_ledger_month, month, form))
        yield _written(folder / f"ledger.{tool.suffix}", [tool.included(months)])
    except OSError as error:
        raise Invalid("out", str(folder), f"a folder that can be written ({error.strerror})") from None


def _written(path: Path, text: Iterable[str]) -> str:
    with appearing(path) as file:
        for part in text:
            file.write(part.encode())
    return str(path)


def _archived(asking: _Asking, journal: Journal, chain: Chain, since: datetime | None) -> Iterator[ChainLog]:
    """The logs of all rows from the first one on, wherever they are, each checked by its digest."""
    since_us = 0 if since is None else at_us("since", since)
    together: list[Posting] = []
    with closing(journal.read()) as rows:
        for row in rows:
            if row.entry.at_us >= since_us:
                together += postings_of(StoredRow.of(row, epoch=1), row.digest_before)
            if len(together) >= _TOGETHER:
                yield from logs_of(asking.tables(), chain, together)
                together = []
    yield from logs_of(asking.tables(), chain, together)
