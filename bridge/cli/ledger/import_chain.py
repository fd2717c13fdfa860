"""The command that imports what has moved on a chain: `import-chain`.

Rule of this file: it reads a few hundred lines at a time, and a line that is no log is refused like a log that is
wrong, so one bad line hides no other.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from msgspec import Struct
from rich.console import Group, RenderableType
from rich.text import Text

from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.market import Market
from callmarket.bridge.api.operations.ledger import ImportReport, RefusedLog
from callmarket.bridge.api.operations.ledger.imports import LOGS_MAX
from callmarket.bridge.cli.database import market_database
from callmarket.bridge.cli.output import EXIT_WRONG, AsJson, Url, config_of, show
from callmarket.bridge.cli.tables import table
from callmarket.bridge.config import client_from_environment
from callmarket.bridge.ledger_export.addresses import Chain
from callmarket.bridge.market.app import open_with

# A log is about a kilobyte; what is longer than this is none.
_LINE_BYTES_MAX: Final = 65_536
# Of one request, below what the service takes as a body.
_BATCH_BYTES_MAX: Final = 900_000
# Of the refused logs, those that are told one by one; the sums count all.
_TOLD_MAX: Final = 1_000


class Imported(Struct, frozen=True):
    """What came of all logs. `refused` are the first of them, with the line of the file as their index."""

    source_chain: str
    dry_run: bool
    logs: int
    applied: int
    known: int
    refused_count: int
    refused: tuple[RefusedLog, ...]
    tokens_in: int
    tokens_out: int


def import_chain(
    file: Annotated[Path, typer.Argument(help="Logs as eth_getLogs gives them, one JSON object a line.")],
    chain: Annotated[Chain, typer.Option(help="The chain that they are of.")] = "ethereum",
    apply: Annotated[bool, typer.Option("--apply", help="Do it. Without this only the report is made.")] = False,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Do here what Transfer logs of the token say was moved on a chain, each log once, however often it is imported.

    With CALLMARKET_KEY, the key of an admin, the service at CALLMARKET_URL does it; without, this process leads the
    market meanwhile, which it cannot while another does. Without --apply each batch of 500 logs is looked at by itself,
    so what spends tokens of an earlier batch is shown as refused. Exit code 1 if a log was refused.
    """
    with _opened(file) as lines, _market(url) as market:
        done = _imported(market, lines, chain, dry_run=not apply)
    show(done, as_json, lambda: _shown(done))
    if done.refused_count:
        raise typer.Exit(EXIT_WRONG)


@contextmanager
def _market(url: str) -> Iterator[Market]:
    """The served market, where there is a key for it, else the market in this process."""
    if not url and client_from_environment(os.environ).key:
        # Late, because no other command needs an HTTP client.
        from callmarket.bridge.client import Client  # noqa: PLC0415

        with Client() as client:
            yield client
    else:
        config = config_of(url)
        with market_database(config, writes=True), open_with(config) as market:
            yield market


@contextmanager
def _opened(file: Path) -> Iterator[Iterable[bytes]]:
    try:
        with file.open("rb") as stream:
            yield iter(lambda: stream.readline(_LINE_BYTES_MAX + 1), b"")
    except OSError as error:
        raise Invalid("file", str(file), f"a file that can be read ({error.strerror})") from None


def _imported(market: Market, lines: Iterable[bytes], chain: Chain, *, dry_run: bool) -> Imported:
    done = Imported(chain, dry_run, 0, 0, 0, 0, (), 0, 0)
    for batch in _batches(lines):
        report = market.import_chain_state([log for _, log in batch], chain, dry_run=dry_run)
        done = _added(done, report, [number for number, _ in batch])
    return done


def _batches(lines: Iterable[bytes]) -> Iterator[list[tuple[int, object]]]:
    """The logs with their lines, as many at a time as a request may have. Raises `Invalid` for too long a line."""
    batch: list[tuple[int, object]] = []
    size = 0
    for number, line in enumerate(lines, 1):
        if len(line) > _LINE_BYTES_MAX:
            raise Invalid("file", f"line {number}", f"lines of up to {_LINE_BYTES_MAX} bytes")
        if not line.strip():
            continue
        if batch and (len(batch) == LOGS_MAX or size + len(line) > _BATCH_BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append((number, _log(line)))
        size += len(line)
    if batch:
        yield batch


def _log(line: bytes) -> object:
    """The log in a line; the line itself where it is no JSON, which is then refused as no log."""
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return line.decode(errors="replace")


def _added(done: Imported, report: ImportReport, numbers: Sequence[int]) -> Imported:
    told = [msgspec.structs.replace(one, index=numbers[one.index]) for one in report.refused]
    return Imported(
        source_chain=done.source_chain,
        dry_run=done.dry_run,
        logs=done.logs + len(numbers),
        applied=done.applied + report.applied,
        known=done.known + report.known,
        refused_count=done.refused_count + len(told),
        refused=(*done.refused, *told)[:_TOLD_MAX],
        tokens_in=done.tokens_in + report.tokens_in,
        tokens_out=done.tokens_out + report.tokens_out,
    )


def _shown(done: Imported) -> RenderableType:
    would = "would be " if done.dry_run else ""
    lines = [
        f"{done.logs:,} logs of {done.source_chain}: {done.applied:,} {would}applied, {done.known:,} known, "
        f"{done.refused_count:,} {would}refused; {done.tokens_in:,} tokens in, {done.tokens_out:,} out"
    ]
    if done.dry_run:
        lines.append("nothing was done: --apply does it")
    parts: list[RenderableType] = [Text("\n".join(lines))]
    if done.refused:
        refused = table("refused", "#line", "reason", "field", "value", "expected")
        for one in done.refused:
            refused.add_row(str(one.index), one.reason, one.field, one.value, one.bound)
        parts += [Text(), refused]
    return Group(*parts)
