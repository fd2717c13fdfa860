"""What a log line looks like, and what is never in one.

Goal: programs can read every line of every logger, and no secret is in any of them.
"""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from callmarket.bridge.access import key_text
from callmarket.bridge.config import Config
from callmarket.bridge.telemetry.logs import blot, configure

# A key as it is made for a caller.
KEY, KEY_ID, _ = key_text.make()
SECRET = KEY.rpartition(f"{KEY_ID}_")[2]


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Where lines go; the loggers are as they were at the end."""
    root, stream = logging.getLogger(), io.StringIO()
    before = root.level, list(root.handlers)
    yield stream
    root.handlers[:] = before[1]
    root.setLevel(before[0])
    for name in ("uvicorn", "asyncio"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def fail(words: str) -> None:
    raise ValueError(words)


def lines(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_lines_of_every_logger_are_objects_with_time_level_logger_and_event(written: io.StringIO) -> None:
    configure(Config(), written)
    logging.getLogger("callmarket.persistence.journal.protocol").warning("%d rows wait", 3)
    logging.getLogger("somebody.else").info("a word", extra={"seq": 7})
    one, two = lines(written)
    assert list(one)[:4] == ["time", "level", "logger", "event"]
    assert one["time"].endswith("Z")
    assert (one["level"], one["logger"], one["event"]) == (
        "warning",
        "callmarket.persistence.journal.protocol",
        "3 rows wait",
    )
    assert (two["level"], two["event"], two["seq"]) == ("info", "a word", 7)


def test_a_failure_is_one_line_with_its_trace(written: io.StringIO) -> None:
    configure(Config(log_format="json"), written)
    try:
        fail("on purpose\nin two lines")
    except ValueError:
        logging.getLogger("x").exception("it failed")
    (line,) = lines(written)
    assert "ValueError: on purpose" in line["exception"]


def test_lines_of_a_request_have_its_id(written: io.StringIO) -> None:
    configure(Config(log_format="json"), written)
    with structlog.contextvars.bound_contextvars(request_id="id-1"):
        logging.getLogger("x").warning("inside")
    logging.getLogger("x").warning("outside")
    assert [line.get("request_id") for line in lines(written)] == ["id-1", None]


def test_the_level_is_that_of_the_settings_and_to_configure_again_doubles_nothing(written: io.StringIO) -> None:
    configure(Config(log_level="debug"), written)
    configure(Config(log_level="warning"), written)
    logging.getLogger("x").info("not told")
    logging.getLogger("x").warning("told")
    assert [line["event"] for line in lines(written)] == ["told"]


def test_a_person_gets_words(written: io.StringIO) -> None:
    configure(Config(log_format="console"), written)
    logging.getLogger("x").warning("told", extra={"seq": 7})
    assert "told" in written.getvalue()
    assert "seq=7" in written.getvalue()
    assert "{" not in written.getvalue()


LEAKS = {
    "a key": f"the key {KEY} was sent",
    "a header": f"Authorization: Bearer {SECRET}",
    "a URL": f"postgresql://market:{SECRET}@db/market is away",
    "a connection string": f"host=db password={SECRET} user=market",
    "one with quotes": f"host=db password='{SECRET} more' user=market",
    "in JSON": json.dumps({"url": f"postgresql://market:{SECRET}@db/market"}),
}


@pytest.mark.parametrize("name", LEAKS)
@pytest.mark.parametrize("form", ["json", "console"])
def test_what_looks_like_a_secret_is_blotted_out(written: io.StringIO, name: str, form: str) -> None:
    configure(Config(log_format=form), written)  # type: ignore[arg-type]
    logger = logging.getLogger("x")
    logger.warning(LEAKS[name])
    logger.warning("%s", LEAKS[name], extra={"field": LEAKS[name]})
    try:
        fail(LEAKS[name])
    except ValueError:
        logger.exception("it failed")
    assert SECRET not in written.getvalue()
    assert SECRET[:12] not in written.getvalue(), "nor a part of it, broken over lines"
    assert written.getvalue().count("***") >= 4


def test_what_is_no_secret_stays() -> None:
    for text in (
        "http://here:8080/x and me@there",
        f"key {KEY_ID} is revoked",
        "postgresql://market@db/market",
        "the password is wrong",
        "2026-01-31T12:00:00Z",
    ):
        assert blot(text) == text


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_what_strangers_send_is_text_in_a_line(written: io.StringIO, log_format: str) -> None:
    """A path may hold what a terminal obeys, or the end of a line: neither gets as far as the terminal."""
    configure(Config(log_format=log_format), written)  # type: ignore[arg-type]
    logging.getLogger("x").warning(
        "asked by %s", "\x1b[31m\x9b", extra={"path": "/\x1b]0;title\x07\r\x7f\nroot: all well"}
    )
    text = written.getvalue()
    assert text.count("\n") == 1
    assert all(character.isprintable() for character in text.rstrip("\n")), text
    assert "root: all well" in text
