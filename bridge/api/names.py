"""Which names may be given to new things: those that can be used through every kind of market.

Rule of this file: pure. The engine accepts any visible ASCII, and existing names of that kind stay usable. New names
must fit into the path of a URL and must not have a special meaning there.
"""

import re
from typing import Any, Final, get_args

from callmarket.bridge.api.errors import Invalid
from callmarket.engine.capital.commands import OpenArtifactMarket
from callmarket.engine.commands import Command, OfferSlot, OpenAccount, OpenMarket, PlaceHold
from callmarket.engine.fields import Memo, Name, Reason, Reference

# Without `/`, and not `.` or `..`, which clients and proxies resolve as path segments. Other ASCII can be escaped.
PATH_NAME_PATTERN: Final = r"^(?!\.{1,2}\Z)[!-.0-~]+\Z"
_PATH_NAME: Final = re.compile(PATH_NAME_PATTERN)

EVERY_ACCOUNT: Final = "*"
"""In a key: every account, also those opened later. So no account may have this name."""
OWN: Final = "~"
"""As the provider of a slot: the caller, or the treasury for staff. So no account may have this name either."""
# The same as `PATH_NAME_PATTERN`, without these two names.
ACCOUNT_PATTERN: Final = r"^(?!\.{1,2}\Z|[*~]\Z)[!-.0-~]+\Z"

# Titles and labels: text without control characters, which a terminal and a table show on one line.
LINE_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f]*\Z"

_NAME: Final = "visible ASCII without spaces"


def _pattern(kind: Any) -> str:
    pattern: str = get_args(kind)[1].pattern
    return pattern


# What each pattern means, for error messages.
_IN_WORDS: Final = {
    PATH_NAME_PATTERN: f"{_NAME} and without `/`, and not `.` or `..`",
    ACCOUNT_PATTERN: f"{_NAME} and without `/`, and not `.`, `..`, `*` or `~`",
    _pattern(Name): _NAME,
    _pattern(Reference): f"{_NAME}, or nothing",
    _pattern(Reason): "lower-case words in parts, as `earn:review`",
    _pattern(Memo): "a text without NUL",
    LINE_PATTERN: "a text of one line, without control characters",
}

_KINDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "datetime": "a time",
    "timedelta": "a duration",
}
# One of them, or several of which it may be any, as the decoder writes them.
_KIND: Final = re.compile("`((?:{0})(?: \\| (?:{0}))*)`".format("|".join((*_KINDS, "null"))))


def in_words(told: str) -> str:
    """A message of the decoder with its patterns replaced by their meanings; other text is unchanged."""
    for pattern, words in _IN_WORDS.items():
        # Schemas of tools spell the end of the text as `$`.
        for spelling in (pattern, pattern.replace(r"\Z", "$")):
            told = told.replace(f"`str` matching regex {spelling!r}", words)
    return told


def expected(told: str) -> str:
    """What was expected, as a message of the decoder says it. The type it got is cut off: `Invalid` shows the value."""
    return told.removeprefix("Expected ").partition(", got ")[0]


def expected_in_words(told: str) -> str:
    """What was expected, in words, from a message of the decoder."""
    return _KIND.sub(_kinds_in_words, in_words(expected(told)))


def _kinds_in_words(match: re.Match[str]) -> str:
    return " or ".join(_KINDS.get(kind, kind) for kind in match[1].split(" | "))


def check_new(command: Command) -> None:
    """Check the name that a command gives to a new thing, if it does so. Raises `Invalid`. Under 1 us."""
    match command:
        case OpenAccount(account_id=name):
            if name == EVERY_ACCOUNT:
                raise Invalid("account_id", name, "another name: in a key it stands for every account")
            if name == OWN:
                raise Invalid("account_id", name, "another name: as a slot's provider it stands for the caller")
            check_path_name("account_id", name)
        case OpenMarket(market_id=name):
            check_path_name("market_id", name)
        case OfferSlot(slot_id=name):
            check_path_name("slot_id", name)
        case PlaceHold(hold_id=name):
            check_path_name("hold_id", name)
        case OpenArtifactMarket(artifact_id=name):
            check_path_name("artifact_id", name)
        case _:
            pass


def check_path_name(field: str, name: str) -> None:
    """Check that a name fits into the path of a URL. Raises `Invalid`."""
    if _PATH_NAME.match(name) is None:
        raise Invalid(field, name, "a name without `/` that is not `.` or `..`: it is used in URLs")
