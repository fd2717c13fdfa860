"""API keys: making, listing and revoking them, and what one's own may do.

Rule of this file: that of its folder.
"""

from litestar import delete, get, post
from litestar.params import JSONBody
from msgspec import Struct

from bridge.access.issue import Issued, KeyView, NewKey
from bridge.access.principal import Scope, require
from bridge.server.routes.common import QUESTION, GivenCaller, GivenService, Limit, PathId, problems


class Me(Struct, frozen=True):
    """What a key may do."""

    key_id: str
    name: str
    scopes: tuple[str, ...]
    accounts: tuple[str, ...]
    providers: tuple[str, ...]
    rate_per_s: int
    burst: int


class Keys(Struct, frozen=True):
    """The keys of a shard, newest first."""

    items: tuple[KeyView, ...]


@get("/me", operation_id="whoami", summary="What this key may do", responses=QUESTION)
async def whoami(caller: GivenCaller) -> Me:
    """What the key of this request may do."""
    principal = caller.principal
    return Me(
        key_id=principal.key_id,
        name=principal.name,
        scopes=tuple(sorted(principal.scopes)),
        accounts=tuple(sorted(principal.accounts)),
        providers=tuple(sorted(principal.providers)),
        rate_per_s=principal.rate_per_s,
        burst=principal.burst,
    )


@post("/keys", operation_id="create_key", summary="Make a key", responses=problems(408, 413))
async def create_key(data: JSONBody[NewKey], caller: GivenCaller, service: GivenService) -> Issued:
    """Make a key. Its text is in this answer and nowhere else. Needs the scope `admin`."""
    require(caller.principal, Scope.ADMIN)
    return await service.in_thread(lambda: service.keyring.issue(data, f"key {caller.principal.key_id}"))


@get("/keys", operation_id="list_keys", summary="List keys", responses=QUESTION)
async def list_keys(caller: GivenCaller, service: GivenService, limit: Limit = 100) -> Keys:
    """List the keys, newest first, also those that work no longer; not their texts. Needs the scope `admin`."""
    require(caller.principal, Scope.ADMIN)
    return Keys(await service.in_thread(lambda: service.keyring.views(limit)))


@delete(
    "/keys/{key_id:str}", operation_id="revoke_key", summary="Revoke a key", status_code=200, responses=problems(404)
)
async def revoke_key(key_id: PathId, caller: GivenCaller, service: GivenService) -> KeyView:
    """Take a key away, for good: here at once, in other processes within a second. Needs the scope `admin`."""
    require(caller.principal, Scope.ADMIN)
    return await service.in_thread(lambda: service.keyring.revoke(key_id))


HANDLERS = (whoami, create_key, list_keys, revoke_key)
