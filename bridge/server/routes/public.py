"""Routes that need no key: liveness, readiness and the meaning of problem types.

Rule of this file: that of its folder.
"""

from http import HTTPStatus
from typing import Annotated

from msgspec import Meta, Struct

from callmarket.bridge.api.errors import NotFound
from callmarket.bridge.api.http.meanings import MEANINGS
from callmarket.bridge.api.http.problem import TYPE_PREFIX
from callmarket.bridge.api.status import Readiness
from callmarket.bridge.server.endpoint import Answer, encode
from callmarket.bridge.server.problems import every_type
from callmarket.bridge.server.routes.route import public_route
from callmarket.bridge.server.service import Service

Slug = Annotated[str, Meta(min_length=1, max_length=100)]


class Alive(Struct, frozen=True):
    """The process responds."""

    alive: bool = True


class ProblemType(Struct, frozen=True):
    """One type of problem."""

    type: str
    status: int
    meaning: str


@public_route("/healthz", "Liveness")
async def healthz(_: Service) -> Alive:
    """Whether the process responds. It does not check the database, which a restart would not repair."""
    return Alive()


@public_route("/readyz", "Readiness", more={HTTPStatus.SERVICE_UNAVAILABLE: "It takes no commands; `reason` says why."})
async def readyz(service: Service) -> Annotated[Answer, Readiness]:
    """Whether this process takes commands: it leads, and its journal is not behind. Responds 503 if it does not."""
    readiness = service.node.readiness()
    return Answer(encode(readiness), HTTPStatus.OK if readiness.ready else HTTPStatus.SERVICE_UNAVAILABLE)


@public_route(TYPE_PREFIX.rstrip("/"), "List problem types")
async def problem_types(_: Service) -> list[ProblemType]:
    """List all problem types of this service with their statuses and meanings."""
    return [ProblemType(TYPE_PREFIX + slug, status, MEANINGS[slug]) for slug, status in every_type().items()]


@public_route(TYPE_PREFIX + "{slug}", "Explain a problem type", problems=(404,))
async def problem_type(_: Service, slug: Slug) -> ProblemType:
    """The status and the meaning of a problem's `type`."""
    status = every_type().get(slug)
    if status is None:
        raise NotFound("slug", slug, "one of the types that /problems lists")
    return ProblemType(TYPE_PREFIX + slug, status, MEANINGS[slug])


ENDPOINTS = (healthz, readyz, problem_types, problem_type)
