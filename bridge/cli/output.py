"""What all commands of the command line share: options, settings, and how results and errors are told.

Rule of this file: results go to stdout, as tables or as JSON alone; errors are one line on stderr and an exit code,
with `--json` in JSON too. Names come from strangers: here, and nowhere else, it is said that text is only text.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
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
    str, typer.Option("--url", help="PostgreSQL to use. Default: CALLMARKET_DATABASE_URL, else the private one.")
]
AsJson = Annotated[bool, typer.Option(JSON_OPTION, help="Print JSON, for programs: errors too, on stderr.")]
RowsMax = Annotated[int, typer.Option("--rows", min=1, max=10_000, help="How many rows at most.")]

# Wider than any table: a row of it is a line, whoever reads the pipe.
_PIPE_COLUMNS: Final = 10_000
# The narrowest in which every table has room for what must stay in one piece; a narrower terminal wraps by itself.
_COLUMNS_MIN: Final = 72
_KIND_OF_CODE: Final = {EXIT_WRONG: "not-found", EXIT_USAGE: "usage", EXIT_UNAVAILABLE: "unavailable"}


def config_of(url: str) -> Config:
    """The settings of the environment, with the database that the command line names, if it does."""
    config = from_environment(os.environ)
    return msgspec.structs.replace(config, database_url=url) if url else config


def console(*, to_stderr: bool = False, columns: int | None = None) -> Console:
    """Where a person reads: no name is taken for markup, for an emoji, or for something to be coloured."""
    return Console(stderr=to_stderr, markup=False, emoji=False, highlight=False, width=columns)


def show(data: object, as_json: bool, render: Callable[[], RenderableType]) -> None:
    """Print a result, for a program or for a person; in a pipe it is as wide as it needs to be."""
    if as_json:
        print_json(data)
        return
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    with _writing():
        console(columns=_PIPE_COLUMNS if piped else max(_COLUMNS_MIN, console().width)).print(render())


def print_json(data: object) -> None:
    """Print a result for a program, which may wait for it at the other end of a pipe while this process goes on.

    JSON is UTF-8 (RFC 8259), whatever the locale says of this machine's text.
    """
    with _writing():
        sys.stdout.flush()
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n")


@contextmanager
def _writing() -> Iterator[None]:
    """Within this block a result is written. One that finds no room is not one that is wrong: it has another code."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # nobody reads it any more, as behind `| head`
    except OSError as error:
        # What is left of it is tried once more when the process ends, and would change the code again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        fail(f"the result cannot be written to stdout: {error.strerror}", EXIT_UNAVAILABLE)


def open_what_is_closed() -> None:
    """Where a process is started without stdin, stdout or stderr (`>&-`), nothing else takes the place of one."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))


@contextmanager
def forgetting_what_nobody_reads() -> Iterator[None]:
    """Lines of the log that have no reader any more, as on a terminal that has closed, change no exit code."""
    try:
        yield
    finally:
        try:
            sys.stderr.flush()
        except OSError:
            # What is left of them is tried once more when the process ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def json_is_asked_for(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for JSON: known before it is understood, for its errors are told so too."""
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
    """Within this block a text that the locale cannot show is shown by its numbers, instead of failing the command."""
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
    """The market of this name, or the only one where none is named; ends or raises `Invalid` where that is none."""
    if market:
        if market not in market_ids:
            fail(f"no market {market!r}{when}", EXIT_WRONG)
        return market
    if len(market_ids) == 1:
        return market_ids[0]
    raise Invalid("market", "", f"one of the markets {', '.join(market_ids)}" if market_ids else "an open market")


def _told(error: object, line: str, code: int) -> dict[str, object]:
    """An error for a program: what kind it is, its words, and, where they are known, the field, value and bound."""
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
