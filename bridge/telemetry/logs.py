"""How log lines look and where they go: one handler for every logger of the process, ours and the libraries'.

Rule of this file: nothing secret leaves. Keys and passwords are not logged by anybody on purpose; what looks like one
is blotted out of every finished line all the same. Lines go to stderr, for stdout is for results.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import msgspec
import structlog

from callmarket.bridge.config import Config

Event = MutableMapping[str, Any]

# A key of ours; the password of a URL; the password of a connection string; any bearer.
_SECRET: Final = re.compile(
    r"(?P<key>cmk_[0-9A-Za-z]+_)[0-9A-Za-z_-]+"
    r"|(?P<url>://[^/@\s:\"']*:)[^@\s\"']+(?=@)"
    r"|(?P<word>(?i:password\s*=\s*|bearer\s+))(?!cmk_)('[^']*'|[^\s'\"\\]+)"
)
# But for the ends of lines, which traces have.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CONTROL_ABOVE: Final = re.compile(r"[\x7f-\x9f]")
_encode: Final = msgspec.json.Encoder(enc_hook=repr, order=None).encode


def configure(config: Config, to: TextIO | None = None) -> None:
    """Send everything that is logged in this process through one handler. Called again, it takes the new settings.

    `to` is where the lines go; None: stderr.
    """
    stream = sys.stderr if to is None else to
    on_terminal = stream.isatty()
    as_json = config.log_format == "json" or (config.log_format == "auto" and not on_terminal)
    before: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    if as_json:
        before.append(structlog.processors.format_exc_info)
        rendering: list[structlog.typing.Processor] = [_in_order, structlog.processors.JSONRenderer(_to_json)]
    else:
        # Its own traces show the values of variables, which may be secrets, and break them over lines.
        plain = structlog.dev.plain_traceback
        rendering = [
            _printable,
            structlog.dev.ConsoleRenderer(colors=on_terminal, timestamp_key="time", exception_formatter=plain),
        ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering, _blotted],
        )
    )
    root = logging.getLogger()
    for old in [one for one in root.handlers if isinstance(one.formatter, structlog.stdlib.ProcessorFormatter)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(config.log_level.upper())
    # Its `info` says what ours say, in other words.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    # The loop's `debug` is about selectors, a line for each wait; `info` of the others is a line for each call.
    for library in ("asyncio", "httpx2", "mcp"):
        logging.getLogger(library).setLevel(logging.WARNING)


def blot(text: str) -> str:
    """A text without what looks like a secret."""
    return _SECRET.sub(_stars, text)


def _stars(match: re.Match[str]) -> str:
    return (match["key"] or match["url"] or match["word"]) + "***"


def _blotted(_logger: object, _method: str, line: Any) -> str:
    return blot(str(line))


def _printable(_logger: object, _method: str, event: Event) -> Event:
    """What strangers send is text: a path may have bytes in it that a terminal would obey."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = _CONTROL.sub(lambda found: ascii(found[0])[1:-1], value)
    return event


def _in_order(_logger: object, _method: str, event: Event) -> Event:
    """The fields that are read first stand first."""
    first = {name: event.pop(name) for name in ("time", "level", "logger", "event") if name in event}
    return first | dict(event)


def _to_json(event: Event, **_options: object) -> str:
    # JSON escapes the others itself.
    return _CONTROL_ABOVE.sub(lambda found: f"\\u{ord(found[0]):04x}", _encode(event).decode())
