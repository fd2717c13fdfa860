"""Artifacts: what they are called and worth, what research on them may cost, and what it has.

Rule of this file: that of its folder.
"""

from litestar import get, post, put
from litestar.params import JSONBody

from callmarket.bridge.access.principal import Scope
from callmarket.bridge.api import artifact_changes as changes
from callmarket.bridge.api.artifacts import (
    AllocationDetail,
    AllocationRow,
    ArtifactDetail,
    ArtifactRow,
    ResourceBudget,
    ResourceBudgetDetail,
)
from callmarket.bridge.api.bodies import ArtifactSetting, NewSpending, PriceSetting
from callmarket.bridge.api.results import Page
from callmarket.bridge.server.routes.common import (
    COMMAND,
    QUESTION,
    After,
    GivenCaller,
    GivenService,
    Limit,
    NameQuery,
    PathId,
)


@put("/artifacts/{artifact_id:str}", operation_id="put_artifact", summary="Put an artifact", responses=COMMAND)
async def put_artifact(
    artifact_id: PathId, data: JSONBody[ArtifactSetting], caller: GivenCaller, service: GivenService
) -> ArtifactDetail:
    """Add an artifact, priced at 0.5 until somebody prices it; or change its type and title. Needs `operate`."""
    change = changes.put_artifact(artifact_id, data.artifact_type, data.title)
    return await service.change(caller, Scope.OPERATE, change)


@put(
    "/artifacts/{artifact_id:str}/price",
    operation_id="set_market_price",
    summary="Price an artifact",
    responses=COMMAND,
)
async def set_market_price(
    artifact_id: PathId, data: JSONBody[PriceSetting], caller: GivenCaller, service: GivenService
) -> ArtifactDetail:
    """Say what an artifact is worth: one that is neither sure nor hopeless gets most. Needs the scope `operate`."""
    return await service.change(caller, Scope.OPERATE, changes.set_market_price(artifact_id, data.market_price))


@post(
    "/artifacts/{artifact_id:str}/spending",
    operation_id="record_resource_spending",
    summary="Record what work has cost",
    status_code=200,
    responses=COMMAND,
)
async def record_resource_spending(
    artifact_id: PathId, data: JSONBody[NewSpending], caller: GivenCaller, service: GivenService
) -> AllocationDetail:
    """Deduct what work on an artifact has cost from its budget, once for each reference. Needs the scope `operate`.

    Beyond what is left it is a conflict; of two at once that would overspend together, one is. Who placed the stakes
    and bounties that gave the budget can end them when this is a week ago.
    """
    return await service.record_spending(caller, artifact_id, data)


@get("/artifacts", operation_id="artifacts", summary="List artifacts", responses=QUESTION)
async def list_artifacts(
    service: GivenService, artifact_type: NameQuery = None, limit: Limit = 100, after: After = None
) -> Page[ArtifactRow]:
    """Artifacts of a type, or all, by id."""
    return await service.market.artifacts(artifact_type, limit=limit, after=after)


@get("/artifacts/{artifact_id:str}", operation_id="artifact", summary="Look at an artifact", responses=QUESTION)
async def get_artifact(artifact_id: PathId, service: GivenService) -> ArtifactDetail:
    """An artifact, with its price and who set that."""
    return await service.market.artifact(artifact_id)


@get(
    "/artifacts/{artifact_id:str}/budget",
    operation_id="compute_resource_budget",
    summary="What research on it may cost",
    responses=QUESTION,
)
async def get_resource_budget(artifact_id: PathId, service: GivenService) -> ResourceBudgetDetail:
    """The budget of an artifact, with all parts of its formula, and what is left of it."""
    return await service.market.compute_resource_budget(artifact_id)


@get(
    "/artifacts/{artifact_id:str}/spending",
    operation_id="resource_allocations",
    summary="What research on it has cost",
    responses=QUESTION,
)
async def list_spending(
    artifact_id: PathId, service: GivenService, limit: Limit = 100, after: After = None
) -> Page[AllocationRow]:
    """What was spent on an artifact, the newest first."""
    return await service.market.resource_allocations(artifact_id, limit=limit, after=after)


@get("/resource-budgets", operation_id="get_resource_budget_rankings", summary="Rank budgets", responses=QUESTION)
async def list_resource_budgets(
    service: GivenService, artifact_type: NameQuery = None, limit: Limit = 100
) -> Page[ResourceBudget]:
    """The artifacts with most left to spend, on one page. One that nothing is committed to is not among them."""
    return await service.market.get_resource_budget_rankings(artifact_type, limit)


HANDLERS = (
    put_artifact,
    set_market_price,
    record_resource_spending,
    list_artifacts,
    get_artifact,
    get_resource_budget,
    list_spending,
    list_resource_budgets,
)
