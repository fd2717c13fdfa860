"""A month of the ledger as text, part by part: the accounts opened in it, its movements, the balances at its end.

Rule of this file: each part reads a bounded number of rows, and the parts of one file are of one ledger: all end at the
movement that was the month's last when the first part was read.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, Literal, NamedTuple, get_args

from callmarket.bridge.api.contract.pages import cursor, names_after, two_names
from callmarket.bridge.api.contract.queries import Tables
from callmarket.bridge.api.contract.results import Page
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.operations.ledger.reading import logs_of, postings
from callmarket.bridge.api.spelling import whole
from callmarket.bridge.ledger_export import etherscan
from callmarket.bridge.ledger_export.accounting import Tool, bounds_of, day_of
from callmarket.bridge.ledger_export.addresses import Chain
from callmarket.bridge.ledger_export.beancount import BEANCOUNT
from callmarket.bridge.ledger_export.hledger import HLEDGER
from callmarket.engine.limits import SEQ_MAX
from callmarket.persistence.queries.months import MonthAccount, month_accounts, movements_between, movements_page

TextFormat = Literal["beancount", "hledger", "csv"]
# The years that the market can be in.
MONTH_PATTERN: Final = r"^(19[7-9]\d|2[01]\d\d|22[0-4]\d|225[0-4])-(0[1-9]|1[0-2])\Z"

TOOLS: Final[dict[str, Tool]] = {"beancount": BEANCOUNT, "hledger": HLEDGER}

Section = Literal["accounts", "movements", "balances"]


class _Place(NamedTuple):
    """Where a part begins: behind an account or movement of a section, in a file that ends with movement `last_id`."""

    last_id: int
    section: Section
    after: str

    def cursor(self, kind: str) -> str:
        # Neither of the two is empty.
        return cursor(kind, two_names(f"{self.last_id}/{self.section}", f"={self.after}"))


class _Part(NamedTuple):
    """Some text, and what it ends with; None at the end of its section."""

    text: list[str]
    after: str | None


def part_of_month(
    month: str, form: TextFormat, chain: Chain, limit: int, after: str | None
) -> Callable[[Tables], Page[str]]:
    """The answer that is one part of a month. Raises `Invalid` for a cursor of another file."""
    kind = f"ledger-{form}-{month}-{chain}"
    begun = _place(kind, after)

    def answer(at: Tables) -> Page[str]:
        first, end = bounds_of(month)
        first_id, last_id = movements_between(at.connection, at.shard_id, first, end)
        place = begun or _Place(last_id, "movements" if form == "csv" else "accounts", "")
        if form == "csv":
            part = _csv(at, chain, place, first_id, limit)
        elif place.section == "accounts":
            part = _openings(at, TOOLS[form], place, (first, end), limit)
        elif place.section == "movements":
            part = _movements(at, TOOLS[form], place, first_id, limit)
        else:
            part = _balances(at, TOOLS[form], place, first_id, end, limit)
        following = _following(place, part, form)
        return Page(tuple(part.text), None if following is None else following.cursor(kind), at.seq, at.durable_seq)

    return answer


def _place(kind: str, after: str | None) -> _Place | None:
    names = names_after(kind, after)
    if names is None:
        return None
    number, _, section = names[0].partition("/")
    last_id = whole(number, SEQ_MAX)
    position = names[1].removeprefix("=")
    is_number = section != "movements" or whole(position, SEQ_MAX) is not None or not position
    for known in get_args(Section):
        if section == known and last_id is not None and names[1].startswith("=") and is_number:
            return _Place(last_id, known, position)
    raise Invalid("after", after, "a cursor that the same file gave as `next`")


def _following(place: _Place, part: _Part, form: TextFormat) -> _Place | None:
    """Where the next part begins; None at the end of the file."""
    if part.after is not None:
        return place._replace(after=part.after)
    if place.section == "accounts":
        return place._replace(section="movements", after="")
    if place.section == "movements" and form == "beancount":
        return place._replace(section="balances", after="")
    return None


def _openings(at: Tables, tool: Tool, place: _Place, bounds: tuple[datetime, datetime], limit: int) -> _Part:
    rows = month_accounts(at.connection, at.shard_id, place.after, 1, 0, limit + 1)
    opened = [row for row in rows[:limit] if bounds[0] <= row.opened_at < bounds[1]]
    return _Part([tool.opening(row.account_id, day_of(row.opened_at)) for row in opened], _last(rows, limit))


def _movements(at: Tables, tool: Tool, place: _Place, first_id: int, limit: int) -> _Part:
    after_id = max(first_id - 1, int(place.after or 0))
    rows = movements_page(at.connection, at.shard_id, after_id, place.last_id, limit + 1)
    after = str(rows[limit - 1].transfer_id) if len(rows) > limit else None
    return _Part([tool.transaction(row) for row in rows[:limit]], after)


def _csv(at: Tables, chain: Chain, place: _Place, first_id: int, limit: int) -> _Part:
    after_id = max(first_id - 1, int(place.after or 0))
    rows = postings(at, after_id, place.last_id, limit + 1)
    lines: Iterable[str] = map(etherscan.line_of, logs_of(at, chain, rows[:limit]))
    after = str(rows[limit - 1].event.transfer_id) if len(rows) > limit else None
    return _Part([*([] if place.after else [etherscan.HEAD]), *lines], after)


def _balances(at: Tables, tool: Tool, place: _Place, first_id: int, end: datetime, limit: int) -> _Part:
    rows = month_accounts(at.connection, at.shard_id, place.after, first_id, place.last_id, limit + 1)
    # An assertion is about the morning of its day.
    text = [
        tool.assertion(row.account_id, row.balance_tokens, day_of(end))
        for row in rows[:limit]
        if row.balance_tokens is not None
    ]
    return _Part(text, _last(rows, limit))


def _last(rows: list[MonthAccount], limit: int) -> str | None:
    return rows[limit - 1].account_id if len(rows) > limit else None
