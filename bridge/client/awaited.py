"""The client for asyncio.

Rule of this file: the same as `blocking`, line by line.
"""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from copy import copy
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx2

from callmarket.bridge.api.contract.operation import Operation
from callmarket.bridge.api.contract.queries import TableQuery
from callmarket.bridge.api.contract.requests import check_actor
from callmarket.bridge.api.contract.workflows import run_async
from callmarket.bridge.api.errors import Invalid, Refused, Unavailable, UnknownOutcome
from callmarket.bridge.api.market import AsyncMarket
from callmarket.bridge.api.messages import Ack, Request, check_ack
from callmarket.bridge.api.one_process import OneProcess
from callmarket.bridge.api.operations.bids import PlacedBid
from callmarket.bridge.api.seen import Seen
from callmarket.bridge.client import batches, wire
from callmarket.bridge.client.answers import Answer, TransportFailure
from callmarket.bridge.client.attempts import ATTEMPT_S_MAX, Attempts, Done, RetryAfter
from callmarket.bridge.client.call import Call, call_of
from callmarket.bridge.client.doubt import InDoubt
from callmarket.bridge.client.streaming import Listening
from callmarket.bridge.feed.messages import Message

T = TypeVar("T")


class AsyncClient(AsyncMarket):
    """A market over HTTP, for asyncio: the same as `Client`, awaited. Use it as an asynchronous context manager.

    Each command is sent with an id: `command_id`, or a new one. It is retried with the same id and growing pauses until
    its outcome is known or `timeout_s` has passed. Then the client raises `Unavailable` if nothing can have happened,
    else `InDoubt`, which `resolve` settles. Refusals are raised at once. The market remembers commands that moved
    tokens for a day, and of all others the last 65,536; a retry after that is a new command.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        account: str = "",
        timeout_s: float = wire.TIMEOUT_S,
        ack: Ack = "durable",
    ) -> None:
        """Ask the market at `url` with the API key `key`, by default CALLMARKET_URL and CALLMARKET_KEY.

        `url` may be several addresses, separated by commas: the leader and its standbys, in any order. Over http:// the
        key is sent only to this machine, unless CALLMARKET_ALLOW_PLAIN_HTTP is set. `account` is the account to act for
        if the key has several and the operation names none. Raises `Invalid`; connects at the first call.
        """
        check_ack(ack)
        if account:
            check_actor(account)
        self._process: Final = OneProcess("client")
        self._settings: Final = wire.settings_of(url, key, timeout_s)
        self._http: Final = httpx2.AsyncClient(**wire.options(self._settings))
        # Shared with the clients of `acting_as`, so that each reads the writes of all of them.
        self._seen: Final = Seen()
        self.account = account
        self.ack: Ack = ack

    def __repr__(self) -> str:
        """The addresses and the account, without the key."""
        return f"AsyncClient({','.join(self._settings.endpoints.urls)!r}, account={self.account!r})"

    async def __aenter__(self) -> Self:
        """Return the client itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the client."""
        await self.close()

    def acting_as(self, account: str) -> Self:
        """A client on the same connections that acts for this account if an operation names none."""
        check_actor(account)
        other = copy(self)
        other.account = account
        return other

    async def place_bids(self, requests: Sequence[Request]) -> list[PlacedBid | Refused]:
        """Place many bids in this order (`place_bid.request` makes each); one outcome for each.

        Adjacent bids of the same market and bidder are sent together, up to 1,000 in a request. A bid with a command id
        of its own is sent alone.
        """
        return await run_async(batches.place_bids(batches.calls_of(requests, uuid.uuid4().hex, self.ack)), self.send)

    async def resolve(self, error: UnknownOutcome) -> Any:
        """The outcome of a command in doubt: its result or its error. It is done now if it was not done before."""
        if not isinstance(error, InDoubt):
            raise Invalid("error", type(error).__name__, "an InDoubt that a client has raised")
        return await run_async(error.again(), self.send)

    async def events(
        self,
        after_seq: int | None = None,
        *,
        market_ids: Collection[str] = (),
        kinds: Collection[str] = (),
        bidder_id: str = "",
        artifact_ids: Collection[str] = (),
    ) -> AsyncGenerator[Message, None]:
        """An endless stream of what becomes durable after this row, by default from now on: each message once, ordered.

        A broken connection is resumed where it broke. Raises `Unavailable` if that fails for `timeout_s`; `Gone` if the
        row to resume after was lost (HST-1), so that what was received since is invalid; and `Unauthorized` when the
        key is revoked or expires.
        """
        if after_seq is None:
            after_seq = (await self.markets()).durable_seq
        listening = Listening(after_seq, market_ids, kinds, bidder_id, artifact_ids)
        attempts = self._attempts(listening.call())
        while True:
            began_s = time.monotonic()
            outcome: Answer | TransportFailure = wire.STREAM_ENDED
            self._process.check()
            try:
                async with self._http.sse(
                    attempts.url + listening.target, headers=listening.headers(), **wire.stream_options()
                ) as source:
                    if source.response.is_success:
                        async for event in source:
                            messages = listening.on_event(event)
                            self._seen.note(listening.seen_seq)
                            for message in messages:
                                yield message
                    else:
                        outcome = await _whole(source.response, began_s + ATTEMPT_S_MAX)
            except httpx2.TransportError as error:
                outcome = wire.fault_of(error)
            if time.monotonic() - began_s > wire.STEADY_S:
                attempts = self._attempts(listening.call())
            step = attempts.on_response(outcome, time.monotonic())
            await asyncio.sleep(step.pause_s if isinstance(step, RetryAfter) else 0.0)

    async def close(self) -> None:
        """Close the connections, which the clients of `acting_as` share. Idempotent."""
        if self._process.is_here:
            await self._http.aclose()

    async def perform(self, operation: Operation[..., T], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> T:
        """Perform one operation and return its result. The arguments are checked before anything is sent."""
        plan = operation.plan(*args, **kwargs)
        patience_s = plan.wait_s if isinstance(plan, TableQuery) else 0.0
        return await self.send(call_of(operation, operation.given(args, kwargs), self.account, self.ack, patience_s))

    async def send(self, call: Call[T]) -> T:
        """Send a call, with retries, and return its result."""
        attempts = self._attempts(call)
        while True:
            outcome = await self._attempt(attempts)
            if isinstance(outcome, Answer):
                # Refusals count too: they reveal, for example, that a name is taken.
                self._seen.note(outcome.seq)
            step = attempts.on_response(outcome, time.monotonic())
            if isinstance(step, Done):
                return step.value
            await asyncio.sleep(step.pause_s)

    def _attempts(self, call: Call[T]) -> Attempts[T]:
        settings = self._settings
        return Attempts(call, settings.endpoints, settings.timeout_s, time.monotonic(), random.random)

    async def _attempt(self, attempts: Attempts[T]) -> Answer | TransportFailure:
        self._process.check()
        if self._http.is_closed:
            raise Unavailable("this client is closed")
        call, now_s = attempts.call, time.monotonic()
        within_s = attempts.attempt_s(now_s)
        try:
            async with self._http.stream(
                call.method,
                attempts.url + call.target,
                content=call.body,
                headers=wire.headers_of(call, self._seen.seq),
                timeout=wire.timeouts(within_s),
            ) as response:
                return await _whole(response, now_s + within_s)
        except httpx2.TransportError as error:
            return wire.fault_of(error)


async def _whole(response: httpx2.Response, until_s: float) -> Answer | TransportFailure:
    parts, size = [], 0
    async for part in response.aiter_raw():
        size += len(part)
        if size > wire.ANSWER_BYTES_MAX:
            return wire.TOO_LARGE
        if time.monotonic() > until_s:
            return wire.TOO_LATE
        parts.append(part)
    return wire.answer_of(response.status_code, response.headers, b"".join(parts))
