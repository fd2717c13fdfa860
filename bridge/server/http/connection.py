"""One connection of the HTTP server: where each message ends, and bounds in number, in time and in size.

Rule of this file: a message ends where the standard says (RFC 9112), and no part of one is ever taken for another. If
its end is not certain, the connection is closed after one error response, or after the responses that are still owed.
A client that sends nothing, or a head in small pieces, costs a file descriptor for some seconds and then nothing.
"""

import asyncio
import math
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from callmarket.bridge.api.http.problem import Problem
from callmarket.bridge.server.answer import Crowded, problem_bytes
from callmarket.bridge.server.http import heads
from callmarket.bridge.server.http.admission import Admission
from callmarket.bridge.server.http.asgi import PRINCIPAL, Message, Receive, Scope, Send
from callmarket.bridge.server.http.connection_table import ConnectionTable
from callmarket.bridge.server.http.glance import glance
from callmarket.bridge.server.http.heads import BadMessage, Framing
from callmarket.bridge.server.http.inbox import Inbox
from callmarket.bridge.server.http.one_write import OneWrite

# From the start of the connection, or the first byte of a head, to the head's end.
HEAD_S_MAX: Final = 10.0
HEAD_BYTES_MAX: Final = heads.HEAD_BYTES_MAX
# Pipelined requests that wait for the responses before theirs. Each costs some kB.
PIPELINE_MAX: Final = 64
# Unparsed bytes of one connection in the inbox, beyond which reading from the socket is paused: the same bound as
# uvicorn's for a body that the application has not read yet.
UNREAD_BYTES_MAX: Final = 65_536
# A body whose request is answered already is read and discarded up to this size; beyond it the connection is closed.
UNWANTED_BYTES_MAX: Final = 65_536
# If a client is reset while it still sends, it may lose the last response. So its bytes are discarded for this long.
LINGER_S_MAX: Final = 2.0
_HEAD_END: Final = b"\r\n\r\n"
_crowded: Final = Crowded()


class Connection(HttpToolsProtocol):
    """A connection of uvicorn that enforces the bounds of each message."""

    def __init__(self, *args: Any, table: ConnectionTable, inbox: Inbox, admission: Admission, **options: Any) -> None:
        """As uvicorn creates it. It is in `table`, is read through `inbox`, and begins only what `admission` admits."""
        super().__init__(*args, **options)
        self._table = table
        self._inbox = inbox
        self._admission = admission
        self.key_id = self.waits_as = ""
        self.unread_bytes = 0
        self._is_held = False
        self._turned_away_s = -math.inf
        # The client has closed its half of the connection, after bytes that are not parsed yet.
        self._has_ended = False
        self._is_lost = False
        self.url = b""
        # A request that begins once all received bytes are parsed, when it is known whether its body is complete.
        self._due: tuple[RequestResponseCycle, Any] | None = None
        self._is_parsing = False
        self._deadline: asyncio.TimerHandle | None = None
        self._one_write: OneWrite | None = None
        # Bytes that belong to no request under way: those of a head, or of a body that is answered already.
        self._loose_bytes = 0
        self._in_head = False
        self._in_body = False
        self._framing = Framing()
        self._bad: BadMessage | None = None
        self._running: RequestResponseCycle | None = None
        # No more requests are read: the connection ends after the responses that are owed.
        self._is_ending = False
        self._has_heard_all = False
        self._is_lingering = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head, for up to `HEAD_S_MAX`."""
        self._one_write = OneWrite(transport, self._close)
        super().connection_made(self._one_write)  # type: ignore[arg-type]
        self._deadline = self.loop.call_later(HEAD_S_MAX, self._hang_up)

    def data_received(self, data: bytes) -> None:
        """Put the bytes into the inbox, which calls `read`; or refuse the request unread if too much waits there."""
        if self._is_ending:
            if not self._is_lingering:
                # No request is read any more: leave the bytes in the socket while responses are sent.
                self.flow.pause_reading()
            return
        if self._inbox.is_late_for(self.key_id) and self._turns_away(data, is_late=True):
            return
        self._unset_keepalive_if_required()
        self._inbox.put(self, data)
        if self.unread_bytes > UNREAD_BYTES_MAX:
            self._is_held = True
            self.transport.pause_reading()

    def _turns_away(self, data: bytes, *, is_late: bool) -> bool:
        """Refuse a request unread, if admission says so, at a fifth of the cost of parsing it. Whether it did."""
        if self._in_head or self._in_body or self._loose_bytes or self.flow.write_paused or not self.is_idle:
            return False
        glanced = glance(data)
        if glanced is None or not self._admission.turns_away(glanced, is_late=is_late):
            return False
        self.transport.write(_crowded.answer(self.server_state.default_headers, self._admission.new_id()))
        self._wait_no_longer()
        self._turned_away_s = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._wait_for_more(self.timeout_keep_alive)
        return True

    def _wait_for_more(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def read(self, data: bytes) -> None:
        """Parse bytes from the inbox."""
        if self._is_lost or self._is_ending or self.transport.is_closing():
            return  # the client has gone, or no more requests are read
        if self._is_held and not self.unread_bytes:
            self._is_held = False
            if not self.flow.read_paused:
                self.transport.resume_reading()
        if not (self._admission.is_crowded and self._turns_away(data, is_late=False)):
            self._parse(data)
        if self._has_ended and not self.unread_bytes and not self._end_of_requests():
            self.transport.close()

    def _parse(self, data: bytes) -> None:
        # A response that ended while these bytes waited has set the time-out again.
        self._unset_keepalive_if_required()
        wrong: BadMessage | None = None
        self._is_parsing = True
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            wrong = self._bad or heads.wrong("request", str(error), "HTTP/1.1")
        self._is_parsing = False
        if self._due is not None:
            due, self._due = self._due, None
            self._begin(*due)
        if wrong is not None:
            self._refuse(wrong)
        elif not self._is_ending:
            self._bound_what_is_loose(len(data))

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client has closed its half of the connection. It still gets the responses that it is owed.

        A stream is ended: most clients that close one half have closed both.
        """
        if self.unread_bytes:
            self._has_ended = True
            return True
        return self._end_of_requests()

    def _end_of_requests(self) -> bool:
        """End the connection after the responses that are owed. Returns whether there are any."""
        last = self._last_owed()
        if self._is_lingering or last is None or self._is_streaming():
            return False
        self._has_heard_all = True
        self._drop_what_is_not_whole()
        self._end_after(last)
        return True

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header. Trailers, which follow a chunked body, are refused: a proxy may not have checked them."""
        if not self._in_head:
            self._bad = heads.wrong("trailers", name, "none")
            raise self._bad
        # Spaces and tabs around a value are no part of it (RFC 9110, 5.5); the parser strips only those before it.
        super().on_header(name, value.rstrip(b" \t"))

    def on_message_begin(self) -> None:
        """A message begins."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """The head is complete; the body has bounds of its own. Raises `BadMessage` for a head that is refused."""
        try:
            self._framing = self._check_head()
        except BadMessage as bad:
            self._bad = bad
            raise
        self._in_head = False
        self._wait_no_longer()
        if self.parser.should_upgrade():
            return
        self._in_body = True
        self.expect_100_continue = self._framing.continues
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A message is complete."""
        if self.parser.should_upgrade():
            return
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """A response has ended."""
        assert self._one_write is not None
        self._one_write.flush()
        if not self._is_lingering:
            super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, for all requests on it that are under way or wait."""
        self._wait_no_longer()
        self._is_lost = True
        self._table.remove(self)
        for cycle in self._owed():
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        """No request has come for the keep-alive time. A client that has not read its last response is cut off."""
        left_s = self._turned_away_s + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            # A request was turned away meanwhile, which did not reset the timer.
            self._wait_for_more(left_s)
        elif self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    @property
    def is_idle(self) -> bool:
        """Whether no request on it waits for a response. False until the connection is made."""
        return self._one_write is not None and not self._owed() and not self.unread_bytes

    def evict(self) -> None:
        """Close it at once, to make room for another one."""
        self.transport.abort()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        if self._is_parsing:
            self._due = cycle, app
        else:
            self._begin(cycle, app)

    def _begin(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Begin a request; or refuse it here, which costs a fifth of a refusal by the application."""
        scope: Scope = cycle.scope  # type: ignore[assignment]
        problem = self._admission.admit(scope, is_whole=not cycle.more_body)
        principal = scope.get(PRINCIPAL)
        if principal is not None:
            self.key_id = principal.key_id
            if not self._table.prove(self, principal):
                cycle.keep_alive = False
        # If the client does not read its responses, the application refuses it, as that waits until they are read.
        if problem is not None and not self.flow.write_paused:
            self._answer_at_once(cycle, problem)
            return
        is_long = self._in_body and cycle is self.cycle and _is_long(self._framing)
        super()._start_asgi_task(cycle, _closing(cycle, app) if is_long else app)

    def _answer_at_once(self, cycle: RequestResponseCycle, problem: Problem) -> None:
        """Answer without the application, as the server would."""
        headers, closes = self.server_state.default_headers, not cycle.keep_alive
        self.transport.write(problem_bytes(problem, headers, closes=closes))
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _check_head(self) -> Framing:
        if len(self.pipeline) >= PIPELINE_MAX:
            raise heads.wrong("request", "another", f"at most {PIPELINE_MAX} that wait for an answer")
        method = self.parser.get_method()
        self.url = heads.origin_form(method, self.url)
        return heads.check_head(self.parser.get_http_version(), self.url, self.headers, HEAD_BYTES_MAX)

    def _feed(self, data: bytes) -> None:
        """Parse it. No other protocol is supported, so an Upgrade header is ignored (RFC 9110, 7.8)."""
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offer:
                # The parser takes all that follows for the other protocol. A new one parses the head without the offer.
                data = self._head_without_offer() + data[offer.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def _head_without_offer(self) -> bytes:
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % (name, value) for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _bound_what_is_loose(self, size: int) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        is_answered = cycle is None or cycle.response_complete
        if self._in_head or (self._in_body and is_answered):
            self._loose_bytes += size
        if self._in_head and self._loose_bytes > HEAD_BYTES_MAX:
            self._refuse(heads.TOO_LARGE)
        elif self._loose_bytes > UNWANTED_BYTES_MAX:
            self._linger()
        elif is_answered and self._deadline is None:
            # Uvicorn's own time-out ended with the first byte, which may not be the beginning of a request.
            self._deadline = self.loop.call_later(HEAD_S_MAX, self._hang_up)

    def _owed(self) -> list[RequestResponseCycle]:
        """The requests without a complete response, in order."""
        running = [] if self._running is None or self._running.response_complete else [self._running]
        return running + [cycle for cycle, _ in reversed(self.pipeline)]

    def _last_owed(self) -> RequestResponseCycle | None:
        """The last complete request without a complete response."""
        owed = [cycle for cycle in self._owed() if not (self._in_body and cycle is self.cycle)]
        return owed[-1] if owed else None

    def _is_streaming(self) -> bool:
        """Whether a response under way has no known end."""
        return any(cycle.chunked_encoding for cycle in self._owed())

    def _drop_what_is_not_whole(self) -> None:
        """Disconnect an incomplete request from its client, as its rest will not come. It does not begin any more."""
        if not self._in_body:
            return
        if self.pipeline and self.pipeline[0][0] is self.cycle:
            self.pipeline.popleft()
        self.cycle.disconnected = True
        self.cycle.waiting_for_100_continue = False
        self.cycle.message_event.set()

    def _end_after(self, last: RequestResponseCycle) -> None:
        """End the connection after this response."""
        self._is_ending = True
        last.keep_alive = False

    def _refuse(self, bad: BadMessage) -> None:
        """Answer invalid bytes, unless responses are owed before that, and end the connection."""
        self.logger.warning("Invalid HTTP request received: %s", bad)
        last = self._last_owed()
        is_begun = last is not None or (self._in_body and self.cycle.response_started)
        self._drop_what_is_not_whole()
        if last is not None and not self._is_streaming():
            self._end_after(last)
            return
        if not is_begun:
            is_head = self.url != b"" and self.parser.get_method() == b"HEAD"
            whole = problem_bytes(bad.problem, self.server_state.default_headers, closes=True)
            self.transport.write(whole[: whole.index(_HEAD_END) + len(_HEAD_END)] if is_head else whole)
        self._linger()

    def _close(self) -> None:
        """Close. If the client may still be sending, so that it could lose the last response, linger first."""
        assert self._one_write is not None
        is_sent_to = self._is_ending or (self._in_body and _is_long(self._framing))
        if is_sent_to and not (self._is_lingering or self._has_heard_all or self.transport.is_closing()):
            self._linger()
        else:
            self._one_write.hang_up()

    def _linger(self) -> None:
        """Send no more, and discard what still arrives for up to `LINGER_S_MAX`; then close."""
        self._is_ending = self._is_lingering = True
        self._wait_no_longer()
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        assert self._one_write is not None
        self._one_write.flush()
        self.flow.resume_reading()
        self.transport.write_eof()
        self._deadline = self.loop.call_later(LINGER_S_MAX, self._hang_up)

    def _wait_no_longer(self) -> None:
        self._loose_bytes = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _hang_up(self) -> None:
        self._wait_no_longer()
        assert self._one_write is not None
        self._one_write.hang_up()


def _is_long(framing: Framing) -> bool:
    """Whether the rest of a refused body is not worth discarding, or may never come (Expect: 100-continue)."""
    return framing.chunked or framing.continues or framing.body_bytes > UNWANTED_BYTES_MAX


def _closing(cycle: RequestResponseCycle, app: Any) -> Any:
    """The application for a request with a long body: a response before its end has `Connection: close`."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and cycle.more_body:
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await app(scope, receive, answer)

    return serve
