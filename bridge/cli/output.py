"""Shared by all commands: options, settings, and the output of results and errors.

Rule of this file: results go to stdout, as tables or as JSON alone. An error is one line on stderr, in JSON with
`--json`, and an exit code. Names are untrusted: the console that prints them as plain text is made only here.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Final, NoReturn

import msgspec
import typer
from rich.console import Console, RenderableType

from callmarket.bridge.api.errors import Invalid, Refused
from callmarket.bridge.config import Config, from_environment

EXIT_WRONG: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNAVAILABLE: Final = 3

JSON_OPTION: Final = "--json"

Url = Annotated[
    str, typer.Option("--url", help="The PostgreSQL URL. Default: CALLMARKET_DATABASE_URL, else a private server.")
]
AsJson = Annotated[bool, typer.Option(JSON_OPTION, help="Print JSON; errors too, on stderr.")]
RowsMax = Annotated[int, typer.Option("--rows", min=1, max=10_000, help="The maximum number of rows.")]

# Wider than any table, so that a row is one line in a pipe.
_PIPE_COLUMNS: Final = 10_000
# The narrowest width in which every table can show its unbreakable cells; a narrower terminal wraps lines by itself.
_COLUMNS_MIN: Final = 72
_KIND_OF_CODE: Final = {EXIT_WRONG: "not-found", EXIT_USAGE: "usage", EXIT_UNAVAILABLE: "unavailable"}


def config_of(url: str) -> Config:
    """The settings of the environment, with the database `url` if it is given."""
    config = from_environment(os.environ)
    return msgspec.structs.replace(config, database_url=url) if url else config


def console(*, to_stderr: bool = False, columns: int | None = None) -> Console:
    """A console that prints plain text: no name is read as markup or an emoji, or highlighted."""
    return Console(stderr=to_stderr, markup=False, emoji=False, highlight=False, width=columns)


def show(data: object, as_json: bool, render: Callable[[], RenderableType]) -> None:
    """Print a result as JSON, or as `render` gives it. In a pipe, lines are not wrapped."""
    if as_json:
        print_json(data)
        return
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    with _writing():
        console(columns=_PIPE_COLUMNS if piped else max(_COLUMNS_MIN, console().width)).print(render())


def print_json(data: object) -> None:
    """Print a result as JSON and flush it: a program may wait for it in a pipe while this process goes on.

    JSON is UTF-8 (RFC 8259), whatever the locale.
    """
    with _writing():
        sys.stdout.flush()
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n")


def write_out(parts: Iterable[str]) -> None:
    """Write text to stdout as it comes, in UTF-8, whatever the locale."""
    sys.stdout.flush()
    for part in parts:
        with _writing():
            sys.stdout.buffer.write(part.encode())


@contextmanager
def _writing() -> Iterator[None]:
    """Within this block a result is written. A failed write (disk full) ends with `EXIT_UNAVAILABLE`."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # the reader has gone, as with `| head`
    except OSError as error:
        # Python flushes the rest again when the process ends; that would fail again and change the exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        fail(f"the result cannot be written to stdout: {error.strerror}", EXIT_UNAVAILABLE)


def open_what_is_closed() -> None:
    """Open the null device as stdin, stdout or stderr if it is closed (`>&-`), so that nothing else takes its place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))


@contextmanager
def forgetting_what_nobody_reads() -> Iterator[None]:
    """Within this block log lines that cannot be written, as on a closed terminal, do not change the exit code."""
    try:
        yield
    finally:
        try:
            sys.stderr.flush()
        except OSError:
            # Python flushes the rest again when the process ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def json_is_asked_for(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for JSON. Known before it is parsed, as parse errors are printed as JSON too."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return JSON_OPTION in options


def fail(error: object, code: int) -> NoReturn:
    """End with one line on stderr and an exit code."""
    line = " ".join(str(error).split())
    if json_is_asked_for(sys.argv[1:]):
        sys.stderr.flush()
        sys.stderr.buffer.write(msgspec.json.encode({"error": _told(error, line, code)}) + b"\n")
        sys.stderr.buffer.flush()
    else:
        console(to_stderr=True).print(f"callmarket: {line}", style="red", soft_wrap=True)
    raise SystemExit(code)


@contextmanager
def printing_anything() -> Iterator[None]:
    """Within this block characters that the locale cannot encode are printed as escapes instead of an error."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if hasattr(stream, "reconfigure")]
    before = [stream.errors for stream in streams]
    for stream in streams:
        stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for stream, errors in zip(streams, before, strict=True):
            stream.reconfigure(errors=errors)


def one_market(market: str, market_ids: Sequence[str], when: str = "") -> str:
    """The market of this name, or the only market if none is named.

    Ends the process if there is no market of this name. Raises `Invalid` if none is named and there is not just one.
    """
    if market:
        if market not in market_ids:
            fail(f"no market {market!r}{when}", EXIT_WRONG)
        return market
    if len(market_ids) == 1:
        return market_ids[0]
    raise Invalid("market", "", f"one of the markets {', '.join(market_ids)}" if market_ids else "an open market")


def _told(error: object, line: str, code: int) -> dict[str, object]:
    """An error as JSON: its type, its message and, where they are known, the field, value and bound."""
    kind = type(error).__name__ if isinstance(error, Exception) else ""
    slug = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in kind).lstrip("-")
    told: dict[str, object] = {"type": slug or _KIND_OF_CODE[code], "message": line, "exit_code": code}
    match error:
        case Invalid():
            told |= {"field": error.field, "value": f"{error.value!s:.200}", "expected": error.expected}
        case Refused():
            told |= {"reason": error.reason.value, "field": error.field, "value": error.value, "bound": error.bound}
        case _:
            pass
    return told
