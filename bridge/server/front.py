"""The front: every HTTP request passes here, and none gets further without a good key, unless its path is public.

Rule of this file: closed by default. A new route needs a key without saying so. What is done behind it is the hot
route's, or the framework's.
"""

import itertools
import logging
import secrets
import time
from typing import Final, Protocol

import msgspec
from litestar.exceptions import HTTPException
from structlog.contextvars import bind_contextvars

from bridge.config import CHANGES_WAITING_MAX
from bridge.errors import ExchangeError, Unavailable
from bridge.server.answer import answer_json, answer_problem
from bridge.server.asgi import Application, Message, Receive, Scope, Send
from bridge.server.caller import (
    REQUEST_ID_HEADER,
    Caller,
    Headers,
    account_name,
    idempotency_key,
    read_headers,
    request_id_of,
)
from bridge.server.docs import DOCUMENT_PATH, PAGE_PATH
from bridge.server.intake import Bounded, Gone, Read, check_length, whole_body
from bridge.server.paths import check_path
from bridge.server.placing import ROUTE as PLACING
from bridge.server.placing import market_of, place
from bridge.server.problems import problem_of
from bridge.server.resources import RESOURCES_PATH
from bridge.server.service import Service

logger: Final = logging.getLogger(__name__)

# What anybody may ask: is it alive, is it ready, what can it do, and the pages without what they show.
PUBLIC: Final = ("/healthz", "/readyz", "/problems", DOCUMENT_PATH, PAGE_PATH, RESOURCES_PATH)
_BELOW_PUBLIC: Final = tuple(path + "/" for path in PUBLIC)

# Where the framework finds them.
CALLER: Final = "callmarket.caller"
REQUEST_ID: Final = "callmarket.request_id"

_HEADER: Final = REQUEST_ID_HEADER.lower().encode()
_LOOKING: Final = frozenset(("GET", "HEAD", "OPTIONS"))


class Seen(Protocol):
    """Whoever counts and logs requests."""

    def __call__(self, scope: Scope, caller: Caller | None, status: int, seconds: float, request_id: str) -> None:
        """One request was answered with this status after so long; 0 if nobody was there to answer."""


class Front:
    """The ASGI application that the server runs."""

    def __init__(
        self, framework: Application, service: Service, seen: Seen, changes_waiting_max: int = CHANGES_WAITING_MAX
    ) -> None:
        """Stand in front of `framework`. So many requests that change something are under way at a time at most."""
        self._framework = framework
        self._service = service
        self._seen = seen
        self._changes_waiting_max = changes_waiting_max
        self._changes_waiting = 0
        # No other process gives such ids, and they cost no system call each.
        self._process = secrets.token_hex(6)
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; the server's own messages go straight through."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._framework(scope, receive, send)
        else:
            # No WebSockets here: to close before accepting is a 403.
            await send({"type": "websocket.close", "code": 1008, "reason": "there are no WebSockets here"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        began_s = time.perf_counter()
        caller: Caller | None = None
        request_id = f"{self._process}-{next(self._numbers):x}"
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (_HEADER, request_id.encode())]
            await send(message)

        # What only looks has bounds of its own, and what waits for news may wait for long.
        changes = 0 if scope["method"] in _LOOKING else 1
        self._changes_waiting += changes
        try:
            if changes:
                self._refuse_if_full()
            headers = read_headers(scope["headers"])
            if headers.request_id:
                request_id = request_id_of(headers.request_id) or request_id
            # Every line that is logged on the way has it.
            bind_contextvars(request_id=request_id)
            check_path(scope["raw_path"])
            if not _is_public(scope["path"]):
                caller = await self._admit(headers, scope, request_id)
                check_length(headers.content_length)
                market_id = market_of(scope)
                if market_id:
                    scope["path_template"] = PLACING
                    placed = await place(self._service, caller, market_id, receive)
                    status = 201
                    await answer_json(send, status, placed, (_HEADER, request_id.encode()))
                    return
            scope.setdefault("state", {}).update({CALLER: caller, REQUEST_ID: request_id})
            # What changes something begins when all of it is there: what is refused for its end has then done nothing.
            body: Receive = Bounded(receive)
            if caller is not None and changes:
                body = Read(await whole_body(receive), receive)
                self._service.still_lets_in(caller)
            await self._pass_on(scope, body, answer)
        except Gone:
            pass
        except (ExchangeError, HTTPException, msgspec.MsgspecError, UnicodeDecodeError) as error:
            await self._refuse(error, request_id, answer)
        except Exception as error:
            logger.exception("a request failed")
            if status:
                raise  # it was half answered: the server has to cut the connection
            await self._refuse(error, request_id, answer)
        finally:
            self._changes_waiting -= changes
            self._seen(scope, caller, status, time.perf_counter() - began_s, request_id)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """To the framework, for which HEAD is a GET whose answer ends with its head."""
        if scope["method"] != "HEAD":
            await self._framework(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        asked = {**scope, "method": "GET"}
        try:
            await self._framework(asked, receive, send_head)
        finally:
            scope["path_template"] = asked.get("path_template")

    async def _refuse(self, error: Exception, request_id: str, send: Send) -> None:
        await answer_problem(send, problem_of(error, request_id, self._service.durable_seq()))

    def _refuse_if_full(self) -> None:
        """Before the key is looked at, because to say no has to cost little when there is much to refuse."""
        if self._changes_waiting > self._changes_waiting_max:
            raise Unavailable(
                f"{self._changes_waiting_max} requests wait already: more would only wait longer", retry_after_s=1.0
            )

    async def _admit(self, headers: Headers, scope: Scope, request_id: str) -> Caller:
        peer = scope["client"][0] if scope["client"] else ""
        return Caller(
            await self._service.door.enter(headers.authorization, peer),
            account_name(headers.account) if headers.account is not None else "",
            idempotency_key(headers.idempotency_key) if headers.idempotency_key is not None else "",
            request_id,
        )


def _is_public(path: str) -> bool:
    return path in PUBLIC or path.startswith(_BELOW_PUBLIC)
