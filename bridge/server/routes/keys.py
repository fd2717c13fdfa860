"""API keys: making, listing and revoking them, and what one's own may do.

Rule of this file: that of its folder.
"""

import msgspec
from litestar import delete, get, post
from litestar.params import JSONBody
from msgspec import Struct

from callmarket.bridge.access.issue import Issued, KeyView, NewKey
from callmarket.bridge.access.principal import Scope, require
from callmarket.bridge.api.results import Page
from callmarket.bridge.server.routes.common import QUESTION, GivenCaller, GivenService, Limit, PathId, problems


class Me(Struct, frozen=True):
    """What a key may do."""

    key_id: str
    name: str
    scopes: tuple[str, ...]
    accounts: tuple[str, ...]
    providers: tuple[str, ...]
    rate_per_s: int
    burst: int
    seq: int
    durable_seq: int


class NewKeyIssued(Issued, frozen=True):
    """A new key. `key` is shown this once: nobody can read it anywhere afterwards."""

    seq: int
    durable_seq: int


class KeyDetail(KeyView, frozen=True):
    """A key as its owner and the admin see it, at `seq` of the market's history, which keys are no part of."""

    seq: int
    durable_seq: int


@get("/me", operation_id="whoami", summary="What this key may do", responses=QUESTION)
async def whoami(caller: GivenCaller, service: GivenService) -> Me:
    """What the key of this request may do."""
    principal = caller.principal
    seq, durable_seq = service.position()
    return Me(
        key_id=principal.key_id,
        name=principal.name,
        scopes=tuple(sorted(principal.scopes)),
        accounts=tuple(sorted(principal.accounts)),
        providers=tuple(sorted(principal.providers)),
        rate_per_s=principal.rate_per_s,
        burst=principal.burst,
        seq=seq,
        durable_seq=durable_seq,
    )


@post("/keys", operation_id="create_key", summary="Make a key", responses=problems(408, 413))
async def create_key(data: JSONBody[NewKey], caller: GivenCaller, service: GivenService) -> NewKeyIssued:
    """Make a key. Its text is in this answer and nowhere else. Needs the scope `admin`."""
    require(caller.principal, Scope.ADMIN)
    issued = await service.in_thread(lambda: service.keyring.issue(data, f"key {caller.principal.key_id}"))
    return NewKeyIssued(issued.key, issued.view, *service.position())


@get("/keys", operation_id="list_keys", summary="List keys", responses=QUESTION)
async def list_keys(caller: GivenCaller, service: GivenService, limit: Limit = 100) -> Page[KeyView]:
    """The newest keys, also those that work no longer; not their texts, and no page after. Needs the scope `admin`."""
    require(caller.principal, Scope.ADMIN)
    views = await service.in_thread(lambda: service.keyring.views(limit))
    return Page(views, None, *service.position())


@delete(
    "/keys/{key_id:str}", operation_id="revoke_key", summary="Revoke a key", status_code=200, responses=problems(404)
)
async def revoke_key(key_id: PathId, caller: GivenCaller, service: GivenService) -> KeyDetail:
    """Take a key away, for good: here at once, in other processes within a second. Needs the scope `admin`."""
    require(caller.principal, Scope.ADMIN)
    view = await service.in_thread(lambda: service.keyring.revoke(key_id))
    seq, durable_seq = service.position()
    return KeyDetail(**msgspec.structs.asdict(view), seq=seq, durable_seq=durable_seq)


HANDLERS = (whoami, create_key, list_keys, revoke_key)
