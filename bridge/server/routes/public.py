"""What anybody may ask without a key: is it alive, is it ready, and what do its problems mean.

Rule of this file: that of its folder.
"""

from http import HTTPStatus
from typing import Annotated, Final

from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter
from msgspec import Struct

from callmarket.bridge.api.errors import NotFound
from callmarket.bridge.api.meanings import MEANINGS
from callmarket.bridge.api.problem import TYPE_PREFIX
from callmarket.bridge.api.vitals import Readiness
from callmarket.bridge.server.problems import every_type
from callmarket.bridge.server.routes.common import GivenService, only_problems

# Nobody asks for a key here, so nobody is held to a rate either.
PUBLIC: Final = only_problems(400, 500)
NOT_READY: Final = ResponseSpec(Readiness, description="It does not, and says why.", generate_examples=False)

Slug = Annotated[str, PathParameter(min_length=1, max_length=100)]


class Alive(Struct, frozen=True):
    """The process answers."""

    alive: bool = True


class ProblemType(Struct, frozen=True):
    """One kind of problem."""

    type: str
    status: int
    meaning: str


@get("/healthz", operation_id="healthz", summary="Is it alive", security=[{}], responses=PUBLIC)
async def healthz() -> Alive:
    """Whether the process answers. It says nothing about the database: a restart would not help that."""
    return Alive()


@get("/readyz", operation_id="readyz", summary="Is it ready", security=[{}], responses={**PUBLIC, 503: NOT_READY})
async def readyz(service: GivenService) -> Response[Readiness]:
    """Whether this process takes commands: it leads, and its journal is not behind. 503 where it does not."""
    readiness = service.node.readiness()
    status = HTTPStatus.OK if readiness.ready else HTTPStatus.SERVICE_UNAVAILABLE
    return Response(readiness, status_code=status)


@get(TYPE_PREFIX.rstrip("/"), operation_id="problem_types", summary="All problems", security=[{}], responses=PUBLIC)
async def problem_types() -> list[ProblemType]:
    """Every kind of problem that this service tells, with its status."""
    return [ProblemType(TYPE_PREFIX + slug, status, MEANINGS[slug]) for slug, status in every_type().items()]


@get(
    TYPE_PREFIX + "{slug:str}",
    operation_id="problem_type",
    summary="One problem",
    security=[{}],
    responses={**PUBLIC, **only_problems(404)},
)
async def problem_type(slug: Slug) -> ProblemType:
    """What a problem's `type` means."""
    status = every_type().get(slug)
    if status is None:
        raise NotFound("slug", slug, "one of the types that /problems lists")
    return ProblemType(TYPE_PREFIX + slug, status, MEANINGS[slug])


HANDLERS = (healthz, readyz, problem_types, problem_type)
