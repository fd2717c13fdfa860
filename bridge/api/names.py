"""Which names can be given: those that every way to the market can say afterwards.

Rule of this file: pure. The engine takes any visible ASCII, and what has such a name from before keeps it. Here no new
one is made that a URL cannot hold in a path, or that means something else where it is typed.
"""

import re
from typing import Any, Final, get_args

from callmarket.bridge.api.errors import Invalid
from callmarket.engine.commands import (
    Command,
    Memo,
    Name,
    OfferSlot,
    OpenAccount,
    OpenMarket,
    PlaceHold,
    Reason,
    Reference,
)

# Without `/`, and not `.` or `..`, which clients and proxies take for steps. The rest of ASCII can be escaped.
PATH_NAME_PATTERN: Final = r"^(?!\.{1,2}\Z)[!-.0-~]+\Z"
_PATH_NAME: Final = re.compile(PATH_NAME_PATTERN)

EVERY_ACCOUNT: Final = "*"
"""In a key: every account, also those opened later. So no account can be opened under this name."""
OWN: Final = "~"
"""For a slot's provider: whoever asks, and the treasury where that is staff. So this is no account's name either."""
# The same, and neither of them.
ACCOUNT_PATTERN: Final = r"^(?!\.{1,2}\Z|[*~]\Z)[!-.0-~]+\Z"

# What people call things: all that a terminal and a table show in one line.
LINE_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f]*\Z"

_NAME: Final = "visible ASCII without spaces"


def _pattern(kind: Any) -> str:
    pattern: str = get_args(kind)[1].pattern
    return pattern


# What a text that matches is.
_IN_WORDS: Final = {
    PATH_NAME_PATTERN: f"{_NAME} and without `/`, and not `.` or `..`",
    ACCOUNT_PATTERN: f"{_NAME} and without `/`, and not `.`, `..`, `*` or `~`",
    _pattern(Name): _NAME,
    _pattern(Reference): f"{_NAME}, or nothing",
    _pattern(Reason): "lower-case words in parts, as `earn:review`",
    _pattern(Memo): "a text without NUL",
    LINE_PATTERN: "a text of one line, without control characters",
}


def in_words(told: str) -> str:
    """What the decoder says is expected of a text, as a person says it; anything else as it is."""
    for pattern, words in _IN_WORDS.items():
        # Tools write the end as every JSON Schema does.
        for spelling in (pattern, pattern.replace(r"\Z", "$")):
            told = told.replace(f"`str` matching regex {spelling!r}", words)
    return told


def expected_in_words(told: str) -> str:
    """What is expected, from what the decoder says is wrong. What it got is left out: that is told as it was sent."""
    return in_words(told.removeprefix("Expected ").partition(", got ")[0])


def check_new(command: Command) -> None:
    """Check the name of what a command makes, if it makes something that is named. Raises `Invalid`. Under 1 us."""
    match command:
        case OpenAccount(account_id=name):
            if name == EVERY_ACCOUNT:
                raise Invalid("account_id", name, "another name: in a key it stands for every account")
            if name == OWN:
                raise Invalid("account_id", name, "another name: for a slot's provider it stands for whoever asks")
            check_path_name("account_id", name)
        case OpenMarket(market_id=name):
            check_path_name("market_id", name)
        case OfferSlot(slot_id=name):
            check_path_name("slot_id", name)
        case PlaceHold(hold_id=name):
            check_path_name("hold_id", name)
        case _:
            pass


def check_path_name(field: str, name: str) -> None:
    """Check that a path can hold this name. Raises `Invalid`."""
    if _PATH_NAME.match(name) is None:
        raise Invalid(field, name, "a name without `/` that is not `.` or `..`: it has to stand in a URL")
