"""What the tables say of named holds.

Rule of this file: that of `bridge.api.questions`.
"""

from datetime import datetime
from typing import get_args

import msgspec

from callmarket.bridge.api.errors import Invalid, NotFound
from callmarket.bridge.api.pages import Order
from callmarket.bridge.api.questions import Durable, check_one_of, numbered, page_of, weight_of_page
from callmarket.bridge.api.reads import check_name
from callmarket.bridge.api.results import Page
from callmarket.engine.events import HoldStatus
from callmarket.persistence import queries
from callmarket.persistence.database.reader_pool import Snapshot
from callmarket.persistence.queries import HoldFilter, HoldRow

__all__ = ["HoldDetail", "HoldRow", "hold", "holds"]


class HoldDetail(HoldRow, frozen=True):
    """A named hold, as the tables have it at `seq`."""

    seq: int
    durable_seq: int


def hold(hold_id: str, account_id: str) -> Durable[HoldDetail]:
    """An account's latest named hold of this id and how it ended. Raises `NotFound` if there is none."""
    check_name("hold_id", hold_id)
    check_name("account_id", account_id)

    def answer(at: Snapshot, _: datetime) -> HoldDetail:
        found = queries.hold(at.connection, at.shard_id, hold_id, account_id)
        if found is None:
            raise NotFound("hold_id", hold_id, f"a hold of {account_id!r} that was placed")
        return HoldDetail(**msgspec.structs.asdict(found), seq=at.seq, durable_seq=at.durable_seq)

    return Durable(answer)


def holds(
    account_id: str | None = None,
    reference_type: str | None = None,
    reference_id: str | None = None,
    reason: str | None = None,
    status: HoldStatus | None = None,
    *,
    limit: int = 100,
    after: str | None = None,
    order: Order = "newest",
) -> Durable[Page[HoldRow]]:
    """Named holds in the order in which they were placed, page after page: those that all of these say, or all.

    A reference is named whole; a status or a type alone needs an account or a reason. Costs one walk of an index, which
    passes over what the others leave out: of the account's holds, else of the reference's, else of those for a reason.
    """
    wanted = HoldFilter(account_id, reference_type, reference_id, reason, status)
    _check_filter(wanted)
    kind, page = numbered("holds", limit, after, order)

    def answer(at: Snapshot, _: datetime) -> Page[HoldRow]:
        rows = queries.holds_page(at.connection, at.shard_id, wanted, page)
        return page_of(rows, limit, kind, lambda row: row.placed_seq, at)

    return Durable(answer, weight_of_page(limit))


def _check_filter(wanted: HoldFilter) -> None:
    for field in ("account_id", "reference_type", "reference_id", "reason"):
        name = getattr(wanted, field)
        if name is not None:
            check_name(field, name)
    whole = wanted.account_id or wanted.reference_id or wanted.reason
    if wanted.reference_id is not None and wanted.reference_type is None:
        raise Invalid("reference_id", wanted.reference_id, "a reference_type with it")
    if wanted.reference_type is not None and not whole:
        raise Invalid("reference_type", wanted.reference_type, "a reference_id, an account_id or a reason with it")
    if wanted.status is not None:
        check_one_of("status", wanted.status, get_args(HoldStatus))
        if not whole:
            raise Invalid("status", wanted.status, "an account_id, a reference or a reason with it")
