"""Artifacts: the subjects of research, with their types, titles and prices.

Rule of this file: the operations on artifacts and their result types. Artifacts are rows of plain SQL tables, not of
the journal, and every change to them is idempotent.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from callmarket.bridge.api import units
from callmarket.bridge.api.checks import check_limit, check_name
from callmarket.bridge.api.contract.change import Change, WriteContext
from callmarket.bridge.api.contract.declaration import Wire
from callmarket.bridge.api.contract.fields import After, Limit, Named, PathName
from callmarket.bridge.api.contract.operation import operation
from callmarket.bridge.api.contract.pages import name_after, page_of
from callmarket.bridge.api.contract.queries import TableQuery, Tables, weight_of_page
from callmarket.bridge.api.contract.results import Page, detail
from callmarket.bridge.api.errors import Conflict, Invalid, NotFound
from callmarket.bridge.api.names import LINE_PATTERN, check_path_name, expected_in_words
from callmarket.bridge.api.units import Number
from callmarket.persistence.stores import artifacts as rows_of
from callmarket.persistence.stores.artifacts import ArtifactRow

__all__ = ["ArtifactDetail", "ArtifactRow"]


# Fits on one line of a list.
TITLE_CHARS_MAX: Final = 200
Title = Annotated[
    str, Meta(max_length=TITLE_CHARS_MAX, pattern=LINE_PATTERN, description="A one-line title for display.")
]
MarketPrice = Annotated[
    Number, Wire(Annotated[float, Meta(ge=0, le=1, description="Kept to six decimal places.")], encode=float)
]


class ArtifactDetail(ArtifactRow, frozen=True):
    """An artifact, read from the tables at `seq`."""

    seq: int
    durable_seq: int


@operation(
    "PUT",
    "/artifacts/{artifact_id}",
    "Artifacts",
    "Create or update an artifact",
    needs="operate",
    example={"artifact_type": "hypothesis", "title": "Sleep clears amyloid"},
)
def put_artifact(
    artifact_id: PathName,
    artifact_type: Annotated[Named, Meta(description="The kind of artifact, for example `hypothesis`.")],
    title: Title = "",
) -> Change[ArtifactDetail]:
    """Create an artifact, or change its type and title. Its price is 0.5 until it is set. Needs the scope `operate`."""
    check_name("artifact_id", artifact_id)
    check_path_name("artifact_id", artifact_id)
    check_name("artifact_type", artifact_type)
    _check_title(title)

    def make(at: WriteContext) -> ArtifactDetail:
        row = rows_of.put_artifact(at.connection, at.shard_id, artifact_id, artifact_type, title, at.by)
        return detail(ArtifactDetail, row, *at.positions())

    return Change(make)


@operation(
    "PUT",
    "/artifacts/{artifact_id}/price",
    "Artifacts",
    "Set the price of an artifact",
    needs="operate",
    example={"market_price": 0.4},
)
def set_market_price(artifact_id: PathName, market_price: MarketPrice) -> Change[ArtifactDetail]:
    """Set the price of an artifact, from 0 to 1. Needs the scope `operate`.

    The price scales the research budget (BRG-3), which is largest at 0.5 and smallest at 0 and 1. Raises `NotFound` if
    there is no such artifact, and `Conflict` if it has a market: then the average price of the market is its price.
    """
    check_name("artifact_id", artifact_id)
    price_micros = units.micros("market_price", market_price, most=1)

    def make(at: WriteContext) -> ArtifactDetail:
        row = rows_of.set_market_price(at.connection, at.shard_id, artifact_id, price_micros, at.by)
        if row is None:
            raise unknown_artifact(artifact_id)
        if row.priced_by == rows_of.PRICED_BY_MARKET:
            raise Conflict("artifact_id", artifact_id, "an artifact that no market prices")
        return detail(ArtifactDetail, row, *at.positions())

    return Change(make, decides_by_tables=True)


@operation("GET", "/artifacts/{artifact_id}", "Artifacts", "Get an artifact")
def artifact(artifact_id: PathName) -> TableQuery[ArtifactDetail]:
    """An artifact, with its price and who set it, staff or its market. Raises `NotFound` if it does not exist."""
    check_name("artifact_id", artifact_id)

    def answer(at: Tables) -> ArtifactDetail:
        found = rows_of.artifact(at.connection, at.shard_id, artifact_id)
        if found is None:
            raise unknown_artifact(artifact_id)
        return detail(ArtifactDetail, found, at.seq, at.durable_seq)

    return TableQuery(answer)


@operation("GET", "/artifacts", "Artifacts", "List artifacts")
def artifacts(
    artifact_type: Named | None = None, *, limit: Limit = 100, after: After | None = None
) -> TableQuery[Page[ArtifactRow]]:
    """Artifacts of one type, or all, in order of their ids, in pages."""
    if artifact_type is not None:
        check_name("artifact_type", artifact_type)
    check_limit(limit)
    name = name_after("artifacts", after)

    def answer(at: Tables) -> Page[ArtifactRow]:
        rows = rows_of.artifacts_page(at.connection, at.shard_id, artifact_type, limit + 1, name)
        return page_of(rows, limit, "artifacts", lambda row: row.artifact_id, at)

    return TableQuery(answer, weight_of_page(limit))


def unknown_artifact(artifact_id: str) -> NotFound:
    """The error for an artifact that does not exist."""
    return NotFound("artifact_id", artifact_id, "an existing artifact")


def _check_title(title: str) -> None:
    if not isinstance(title, str):
        raise Invalid("title", title, "a text")
    try:
        # Through JSON, whose encoder rejects text that is not valid Unicode and so cannot be stored.
        msgspec.json.decode(msgspec.json.encode(title), type=Title)
    except (msgspec.ValidationError, TypeError, UnicodeEncodeError) as error:
        raise Invalid("title", title, expected_in_words(str(error))) from None


class Artifacts:
    """The operations on artifacts, as methods of a market."""

    put_artifact = put_artifact
    set_market_price = set_market_price
    artifact = artifact
    artifacts = artifacts
