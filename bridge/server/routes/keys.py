"""Routes of API keys: creating, listing and revoking them, and what the key of a request may do.

Rule of this file: that of its folder.
"""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from callmarket.bridge.access.issue import BURST, RATE_PER_S, Accounts, Issued, KeyName, KeyView, NewKey, Rate
from callmarket.bridge.access.principal import Scope, require
from callmarket.bridge.api.contract.fields import Limit, PathName
from callmarket.bridge.api.contract.results import Page, detail
from callmarket.bridge.server.requests.caller import Caller
from callmarket.bridge.server.routes.route import route
from callmarket.bridge.server.service import Service


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
    """A new key. `key` is shown only here: it is stored nowhere and cannot be read again."""

    seq: int
    durable_seq: int


class KeyDetail(KeyView, frozen=True):
    """A key without its secret. `seq` is the row of the market's history at that moment; keys are not part of it."""

    seq: int
    durable_seq: int


@route("GET", "/me", "Keys", "What this key may do", problems=(404,))
async def whoami(service: Service, caller: Caller) -> Me:
    """Show what the key of this request may do."""
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


@route(
    "POST",
    "/keys",
    "Keys",
    "Create a key",
    status=201,
    problems=(408, 413),
    example={"name": "alpha's agent", "bid": ["alpha"]},
)
async def create_key(
    service: Service,
    caller: Caller,
    name: KeyName,
    bid: Accounts = (),
    offer: Accounts = (),
    operate: bool = False,
    admin: bool = False,
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None,
    rate_per_s: Rate = RATE_PER_S,
    burst: Rate = BURST,
) -> NewKeyIssued:
    """Create a key with the scope `read` and those that are named. Its text is in this response and nowhere else.

    Needs the scope `admin`.
    """
    require(caller.principal, Scope.ADMIN)
    wanted = NewKey(
        name=name,
        bid=bid,
        offer=offer,
        operate=operate,
        admin=admin,
        expires_at=expires_at,
        rate_per_s=rate_per_s,
        burst=burst,
    )
    issued = await service.in_thread(lambda: service.keyring.issue(wanted, f"key {caller.principal.key_id}"))
    return NewKeyIssued(issued.key, issued.view, *service.position())


@route("GET", "/keys", "Keys", "List keys", problems=(404,))
async def list_keys(service: Service, caller: Caller, limit: Limit = 100) -> Page[KeyView]:
    """List the newest keys, also revoked and expired ones, without their texts. There is only one page.

    Needs the scope `admin`.
    """
    require(caller.principal, Scope.ADMIN)
    views = await service.in_thread(lambda: service.keyring.views(limit))
    return Page(views, None, *service.position())


@route("DELETE", "/keys/{key_id}", "Keys", "Revoke a key", problems=(404,))
async def revoke_key(service: Service, caller: Caller, key_id: PathName) -> KeyDetail:
    """Revoke a key for good: in this process at once, in others within a second. Needs the scope `admin`."""
    require(caller.principal, Scope.ADMIN)
    view = await service.in_thread(lambda: service.keyring.revoke(key_id))
    return detail(KeyDetail, view, *service.position())


ENDPOINTS = (whoami, create_key, list_keys, revoke_key)
