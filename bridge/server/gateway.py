"""The gateway: every HTTP request passes here, and needs a valid key to go further, unless its path is public.

A request that changes something must show a valid key that may change something, and then send all of its body. Only
then does it take a place, which it keeps until it is answered. So a client that sends half a request blocks no other.
Rule of this file: closed by default. A new route needs a key without declaring that. Behind the gateway, the endpoint
does the work.
"""

import itertools
import logging
import secrets
import time
from http import HTTPStatus
from typing import Final, Protocol

import msgspec
from structlog.contextvars import bind_contextvars

from callmarket.bridge.api.errors import ExchangeError, Invalid, Unauthorized, Unavailable
from callmarket.bridge.api.http.headers import MIN_SEQ_HEADER, REQUEST_ID_HEADER, SEQ_HEADER
from callmarket.bridge.api.http.problem import Problem
from callmarket.bridge.api.seen import Seen as SeenRows
from callmarket.bridge.config import CHANGES_WAITING_MAX
from callmarket.bridge.server.answer import answer_problem, answer_whole
from callmarket.bridge.server.endpoint import Answer, Asked
from callmarket.bridge.server.fairness.places import Place, Places
from callmarket.bridge.server.fairness.reading import ASKING
from callmarket.bridge.server.fairness.shares import Shares
from callmarket.bridge.server.http.asgi import PLACE, PRINCIPAL, Message, Receive, Scope, Send
from callmarket.bridge.server.http.glance import Glanced
from callmarket.bridge.server.http.http_error import HttpError
from callmarket.bridge.server.http.intake import Bounded, Gone, check_length, whole_body
from callmarket.bridge.server.http_app import router
from callmarket.bridge.server.pages.docs import DOCUMENT_PATH, PAGE_PATH
from callmarket.bridge.server.pages.resources import RESOURCES_PATH
from callmarket.bridge.server.problems import problem_of
from callmarket.bridge.server.requests.caller import (
    Caller,
    Headers,
    account_name,
    idempotency_key,
    min_seq_of,
    read_headers,
    request_id_of,
)
from callmarket.bridge.server.requests.paths import check_path
from callmarket.bridge.server.service import Service

logger: Final = logging.getLogger(__name__)

# Paths that need no key: liveness, readiness, problem types, the API document, and the pages without their data.
PUBLIC: Final = ("/healthz", "/readyz", "/problems", DOCUMENT_PATH, PAGE_PATH, RESOURCES_PATH)
_BELOW_PUBLIC: Final = tuple(path + "/" for path in PUBLIC)

_HEADER: Final = REQUEST_ID_HEADER.lower().encode()
_SEQ: Final = SEQ_HEADER.lower().encode()
LOOKING: Final = frozenset(("GET", "HEAD", "OPTIONS"))
# Incomplete bodies of one key. Agents send a request in one piece; a body in several pieces holds a connection for up
# to `BODY_S_MAX`.
BODIES_PER_KEY_MAX: Final = 64


class RequestObserver(Protocol):
    """Counts and logs requests."""

    def __call__(self, scope: Scope, caller: Caller | None, status: int, seconds: float, request_id: str) -> None:
        """One request was answered with this status after `seconds`. Status 0: the client had gone."""


class Gateway:
    """The ASGI application that the server runs."""

    def __init__(self, service: Service, seen: RequestObserver, changes_waiting_max: int = CHANGES_WAITING_MAX) -> None:
        """Serve a service. Up to `changes_waiting_max` requests that change something are under way at a time."""
        self._router = router()
        self._service = service
        self._seen = seen
        self.turned_away = 0
        self.places: Final = Places(changes_waiting_max)
        self._bodies = Shares("incomplete bodies", BODIES_PER_KEY_MAX, retry_after_s=1.0)
        # A random prefix and a counter: ids that no other process gives, without a system call for each.
        self._process = secrets.token_hex(6)
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request. WebSockets are refused."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            # Closing it before accepting it is answered with 403.
            await send({"type": "websocket.close", "code": 1008, "reason": "WebSockets are not supported"})

    def admit(self, scope: Scope, *, is_whole: bool) -> Problem | None:
        """Find the principal of a request and, if it is whole, take a place for it. None if it may begin.

        If there is no place, the problem to answer with. Whatever takes more than some microseconds is left to
        `__call__`: keys that are not in memory, and bodies that are not complete.
        """
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(values) != 1:
            return None
        try:
            principal = self._service.authenticator.known(values[0])
        except Unauthorized:
            return None
        scope[PRINCIPAL] = principal
        if not is_whole or scope["method"] in LOOKING or not principal.may_change:
            return None
        try:
            scope[PLACE] = self.places.take(principal, scope["path"])
        except Unavailable as full:
            request_id = self.new_id()
            self._seen(scope, Caller(principal, "", "", request_id), 503, 0.0, request_id)
            return problem_of(full, request_id, self._service.durable_seq())
        return None

    @property
    def is_crowded(self) -> bool:
        """Whether some key may get no more places."""
        return self.places.is_crowded

    def turns_away(self, glanced: Glanced, *, is_late: bool) -> bool:
        """Whether a request is refused unread: a change without a free place, or any request that comes too late.

        Requests of staff, and those that show nothing like a key, are always read. The secret of the key is not
        checked, as the only result can be a refusal.
        """
        key_id, is_of_staff = self._service.authenticator.shown(glanced.authorization)
        is_full = glanced.is_change and not self.places.has_room_for(key_id)
        if not key_id or is_of_staff or not (is_late or is_full):
            return False
        self.turned_away += 1
        return True

    def new_id(self) -> str:
        """A new id, for a request without one."""
        return f"{self._process}-{next(self._numbers):x}"

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        began_s = time.perf_counter()
        caller: Caller | None = None
        taken: Place | None = scope.pop(PLACE, None)
        request_id = self.new_id()
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_more(caller, request_id)]
            await send(message)

        try:
            headers = read_headers(scope["headers"])
            if headers.request_id:
                request_id = request_id_of(headers.request_id) or request_id
            # So that every log line of this request has it.
            bind_contextvars(request_id=request_id)
            check_path(scope["raw_path"])
            if not _is_public(scope["path"]):
                caller = await self._admit(headers, scope, request_id)
                check_length(headers.content_length)
            # A pipelined request may be started in the context of the one before it, so the variable is reset.
            ASKING.set(None)
            # A key that may change nothing is refused by the endpoint, before any body is read.
            if caller is None or scope["method"] in LOOKING or not caller.principal.may_change:
                ASKING.set(caller)
                await self._answer(scope, caller, b"", Bounded(receive), answer)
                return
            # A change begins only when its whole body is there, so one that is refused for its body has done nothing.
            body = await self._whole_body(caller, receive, is_there=taken is not None)
            self._service.still_lets_in(caller)
            taken = taken or self.places.take(caller.principal, scope["path"])
            await self._answer(scope, caller, body, receive, answer)
        except Gone:
            pass
        except (ExchangeError, HttpError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            await self._refuse(error, request_id, answer)
        except Exception as error:
            if status:
                logger.exception("a request failed")
                raise  # part of the response is sent: the server has to close the connection
            await self._refuse(error, request_id, answer)
        finally:
            if taken is not None:
                self.places.give_back(taken)
            self._seen(scope, caller, status, time.perf_counter() - began_s, request_id)

    async def _answer(self, scope: Scope, caller: Caller | None, body: bytes, receive: Receive, send: Send) -> None:
        """Send the response of the endpoint at the path. HEAD is served as GET, without the body."""
        is_head = scope["method"] == "HEAD"
        endpoint, values = self._router.find("GET" if is_head else scope["method"], scope["path"])
        scope["path_template"] = endpoint.template
        answer = await endpoint.serve(self._service, Asked(scope, values, caller, body))
        if isinstance(answer, Answer):
            await answer_whole(send, answer, is_head=is_head)
        else:
            await answer(scope, receive, _only_head(send) if is_head else send)

    async def _refuse(self, error: Exception, request_id: str, send: Send) -> None:
        problem = problem_of(error, request_id, self._service.durable_seq())
        if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("request %s failed", request_id, exc_info=error)
        await answer_problem(send, problem, error.allow if isinstance(error, HttpError) else ())

    async def _whole_body(self, caller: Caller, receive: Receive, *, is_there: bool) -> bytes:
        """The body of a change. Unless it is there already, it is one of up to `BODIES_PER_KEY_MAX` of its key.

        Raises `TooManyRequests`, and as `whole_body`.
        """
        if is_there:
            return await whole_body(receive)
        with self._bodies.one(caller.principal.key_id):
            return await whole_body(receive)

    async def _admit(self, headers: Headers, scope: Scope, request_id: str) -> Caller:
        peer = scope["client"][0] if scope["client"] else ""
        authenticator, principal = self._service.authenticator, scope.pop(PRINCIPAL, None)
        if principal is None:
            principal = await authenticator.enter(headers.authorization, peer)
        else:
            authenticator.charge(principal, 1)
        return Caller(
            principal,
            account_name(headers.account) if headers.account is not None else "",
            idempotency_key(headers.idempotency_key) if headers.idempotency_key is not None else "",
            request_id,
            SeenRows(self._known(headers.min_seq)),
        )

    def _known(self, min_seq: bytes | None) -> int:
        """The row that the caller's Callmarket-Min-Seq names. Raises `Invalid` if it is not durable here."""
        if min_seq is None:
            return 0
        seq, durable_seq = min_seq_of(min_seq), self._service.durable_seq()
        if durable_seq is not None and seq > durable_seq:
            raise Invalid(MIN_SEQ_HEADER, seq, f"at most {durable_seq}, the last row that is durable")
        return seq


def _only_head(send: Send) -> Send:
    """A `send` that sends the head of a response and ends it."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_head


def _more(caller: Caller | None, request_id: str) -> list[tuple[bytes, bytes]]:
    """The headers of every response: the request id and, if known, the row up to which the response is complete."""
    more = [(_HEADER, request_id.encode())]
    if caller is not None and caller.seen.seq:
        more.append((_SEQ, b"%d" % caller.seen.seq))
    return more


def _is_public(path: str) -> bool:
    return path in PUBLIC or path.startswith(_BELOW_PUBLIC)
