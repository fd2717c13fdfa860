"""What changes about artifacts, claims and spending: checked here, made in one transaction each.

Rule of this file: every change may be made again with the same result; what contradicts it is a `Conflict` that says
what is there instead.
"""

from collections.abc import Sequence
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from bridge.api import units, verbs
from bridge.api.artifacts import AllocationDetail, ArtifactDetail, BountyDetail, unknown_artifact, unknown_bounty
from bridge.api.change import Change, Place
from bridge.api.commitments import ARTIFACT, BOUNTY, STAKE
from bridge.api.errors import Conflict, Invalid, NotFound
from bridge.api.messages import Reply, Request
from bridge.api.names import LINE_PATTERN, check_path_name, expected_in_words
from bridge.api.reads import check_name
from bridge.api.units import Number
from engine.limits import TOKENS_MAX
from persistence import artifacts, resource_budgets
from persistence.artifacts import ArtifactRow, BountyRow
from persistence.reader_pool import positions
from persistence.resource_budgets import AllocationRow, Spending

R = TypeVar("R", bound=msgspec.Struct)

# One line of a list.
TITLE_CHARS_MAX: Final = 200
Title = Annotated[str, Meta(max_length=TITLE_CHARS_MAX, pattern=LINE_PATTERN)]


def put_artifact(artifact_id: str, artifact_type: str, title: str = "") -> Change[ArtifactDetail]:
    """Add an artifact, priced at 0.5 until somebody prices it; or change its type and title."""
    check_name("artifact_id", artifact_id)
    check_path_name("artifact_id", artifact_id)
    check_name("artifact_type", artifact_type)
    _check_title(title)

    def make(at: Place) -> ArtifactDetail:
        row = artifacts.put_artifact(at.connection, at.shard_id, artifact_id, artifact_type, title, at.by)
        return _detail(ArtifactDetail, row, at)

    return Change(make)


def set_market_price(artifact_id: str, market_price: Number) -> Change[ArtifactDetail]:
    """Say what an artifact is worth, from 0 to 1, kept to six decimal places.

    Raises `NotFound` if there is none of this id.
    """
    check_name("artifact_id", artifact_id)
    price_micros = units.micros("market_price", market_price, most=1)

    def make(at: Place) -> ArtifactDetail:
        row = artifacts.set_market_price(at.connection, at.shard_id, artifact_id, price_micros, at.by)
        if row is None:
            raise unknown_artifact(artifact_id)
        return _detail(ArtifactDetail, row, at)

    return Change(make)


def claim_bounty(bounty_id: str, account_id: str, claimant_id: str) -> Change[BountyDetail]:
    """Say that `claimant_id` works for the bounty of an account, so that no other does, until it ends.

    Raises `NotFound` for a bounty or an account that there is not, `Conflict` if the bounty has ended, is the
    claimant's own, or another has claimed it.
    """
    check_name("bounty_id", bounty_id)
    check_name("account_id", account_id)
    check_name("claimant_id", claimant_id)

    def make(at: Place) -> BountyDetail:
        found = artifacts.bounty(at.connection, at.shard_id, bounty_id, account_id)
        if found is not None:
            artifacts.claim_bounty(at.connection, at.shard_id, found.posted_seq, claimant_id)
            found = artifacts.bounty(at.connection, at.shard_id, bounty_id, account_id)
        if found is None:
            raise unknown_bounty(bounty_id, account_id)
        if found.claimant_id != claimant_id:
            raise _not_claimed(found, claimant_id)
        return _detail(BountyDetail, found, at)

    return Change(make, decides_by_tables=True)


def spending_of(
    artifact_id: str, tokens: int, reference_type: str, reference_id: str, impact: Number | None = None
) -> Spending:
    """A checked spending. Raises `Invalid`."""
    for field, name in (
        ("artifact_id", artifact_id),
        ("reference_type", reference_type),
        ("reference_id", reference_id),
    ):
        check_name(field, name)
    if type(tokens) is not int or not 1 <= tokens <= TOKENS_MAX:
        raise Invalid("tokens", tokens, f"whole tokens, 1 to {TOKENS_MAX}")
    impact_micros = None if impact is None else units.micros("impact", impact)
    return Spending(artifact_id, tokens, reference_type, reference_id, impact_micros)


def recorded_spending(spending: Spending) -> Change[AllocationDetail | None]:
    """What was recorded for a spending; None where it is new and there is budget for it. It changes nothing.

    Asked first, so that nobody's holds are bound for what is not spent. Raises as `record_spending`.
    """

    def make(at: Place) -> AllocationDetail | None:
        found = resource_budgets.recorded(at.connection, at.shard_id, spending)
        if isinstance(found, int) and found >= spending.tokens:
            return None
        return _allocated(found, spending, at)

    return Change(make, decides_by_tables=True)


def record_spending(spending: Spending, bound: Sequence[Reply]) -> Change[AllocationDetail]:
    """Deduct what work on an artifact has cost from its budget, once for each reference (BRG-3).

    The holds that give the budget are bound by then, and that is durable: `bound` are the replies to `bindings_of`, and
    what was placed after them gives nothing. Raises `NotFound` for an artifact that there is not, `Conflict` beyond the
    budget, and where the reference is recorded with another cost or impact.
    """
    bound_seq = min(reply.seq for reply in bound)

    def make(at: Place) -> AllocationDetail:
        found = resource_budgets.record(at.connection, at.shard_id, spending, at.by, bound_seq)
        return _allocated(found, spending, at)

    return Change(make, decides_by_tables=True)


def bindings_of(artifact_id: str) -> list[Request]:
    """What binds the holds that give an artifact its budget (HLD-8)."""
    return [verbs.bind_holds(reason, ARTIFACT, artifact_id) for reason in (STAKE, BOUNTY)]


def _allocated(found: AllocationRow | int | None, spending: Spending, at: Place) -> AllocationDetail:
    if found is None:
        raise unknown_artifact(spending.artifact_id)
    if isinstance(found, int):
        raise Conflict("tokens", spending.tokens, f"at most {found}, what is left for {spending.artifact_id!r}")
    _check_same(found, spending)
    return _detail(AllocationDetail, found, at)


def _not_claimed(found: BountyRow, claimant_id: str) -> Invalid:
    """Why an account did not get a bounty."""
    if found.status == "claimed":
        return Conflict("bounty_id", found.bounty_id, f"an open bounty: {found.claimant_id!r} has claimed it")
    if found.status != "open":
        return Conflict("bounty_id", found.bounty_id, f"an open bounty: it is {found.status}")
    if claimant_id == found.bounty_source:
        return Conflict("claimant_id", claimant_id, "another account than the bounty's own")
    return NotFound("claimant_id", claimant_id, "an open account")


def _check_same(row: AllocationRow, asked: Spending) -> None:
    impact = None if row.impact is None else units.micros("impact", row.impact)
    if (row.tokens, impact) != (asked.tokens, asked.impact_micros):
        there = f"a reference that is not recorded yet: it is, with {row.tokens} tokens and impact {row.impact}"
        raise Conflict("reference_id", asked.reference_id, there)


def _check_title(title: str) -> None:
    if not isinstance(title, str):
        raise Invalid("title", title, "`str`")
    try:
        # By way of JSON, which says no to text that no database can hold.
        msgspec.json.decode(msgspec.json.encode(title), type=Title)
    except (msgspec.ValidationError, TypeError, UnicodeEncodeError) as error:
        raise Invalid("title", title, expected_in_words(str(error))) from None


def _detail(kind: type[R], row: ArtifactRow | BountyRow | AllocationRow, at: Place) -> R:
    """A row with the place in history at which it is so."""
    seq, durable_seq = positions(at.connection, at.shard_id)
    return kind(**msgspec.structs.asdict(row), seq=seq, durable_seq=durable_seq)
