"""Requests at their times over plain sockets, whatever the server does: an open loop.

If no connection is free when a request is due then it waits here, and its latency counts from when it was due: a server
that stalls is charged for all that it kept waiting, not for one request (coordinated omission).
Rule of this file: as little work for each request as Python allows, so that the server is what is measured. Requests
are bytes before the clock runs, replies are kept as bytes until it has stopped. Sleeping is by whole milliseconds, so
what is due together is sent together.
"""

import contextlib
import selectors
import socket
import time
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import Final

# A reply that takes longer is not waited for: the service's own bound is half of it.
ANSWER_S_MAX: Final = 60.0
_READ_BYTES: Final = 65_536
_CONNECT_S_MAX: Final = 10.0


class Measured:
    """What became of each request, by its number. Status 0: the connection was lost, or there was no answer."""

    def __init__(self, count: int) -> None:
        """Nothing is known yet."""
        self.statuses = array("h", bytes(2 * count))
        self.latencies_s = array("d", bytes(8 * count))
        """From when it was due to the last byte of the reply."""
        self.ended_s = array("d", bytes(8 * count))
        """When that was, since the start."""
        self.replies: list[bytes] = [b""] * count
        self.elapsed_s = 0.0
        self.backlog_max = 0
        """The most requests that were due and had no connection."""

    def note(self, number: int, status: int, due_s: float, now_s: float, start_s: float, reply: bytes) -> None:
        """One request was answered, or lost."""
        self.statuses[number] = status
        self.latencies_s[number] = now_s - due_s
        self.ended_s[number] = now_s - start_s
        self.replies[number] = reply


class _Line:
    """One connection, with at most one request under way."""

    __slots__ = ("_address", "due_s", "number", "received", "size", "sock")

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self.number = -1
        self.due_s = 0.0
        self.open()

    def open(self) -> None:
        """A connection, also in place of one that was lost."""
        self.sock = socket.create_connection(self._address, timeout=_CONNECT_S_MAX)
        self.sock.settimeout(None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest()

    def rest(self) -> None:
        """Nothing is under way."""
        self.number, self.received, self.size = -1, b"", 0

    def send(self, number: int, request: bytes, due_s: float) -> None:
        """Begin. If the connection is lost then that is heard when it is read."""
        self.number, self.due_s = number, due_s
        with contextlib.suppress(OSError):
            self.sock.sendall(request)

    def read(self) -> int | None:
        """The status of a reply that is whole now; 0 if the server has hung up, None if more is to come."""
        try:
            data = self.sock.recv(_READ_BYTES)
        except OSError:
            return 0
        if not data:
            return 0
        received = self.received = self.received + data if self.received else data
        if not self.size:
            head = received.find(b"\r\n\r\n")
            if head < 0:
                return None
            self.size = head + 4 + _content_length(received[:head])
        return int(received[9:12]) if len(received) >= self.size else None


def drive(
    address: tuple[str, int], connections: int, requests: Sequence[bytes], due_s: Sequence[float] | None
) -> Measured:
    """Send these when they are due, in seconds from the start, in order. None: each as soon as a connection is free.

    In the second case a latency counts from when the request was sent.

    It ends when all are answered, or when there was nothing to hear for `ANSWER_S_MAX`.
    """
    lines = [_Line(address) for _ in range(connections)]
    try:
        with selectors.DefaultSelector() as selector:
            for line in lines:
                selector.register(line.sock, selectors.EVENT_READ, line)
            return _run(selector, lines, requests, due_s)
    finally:
        for line in lines:
            line.sock.close()


def _run(
    selector: selectors.BaseSelector, lines: Sequence[_Line], requests: Sequence[bytes], due_s: Sequence[float] | None
) -> Measured:
    clock, free = time.perf_counter, deque(lines)
    count, sent, ended = len(requests), 0, 0
    measured = Measured(count)
    start_s = now_s = heard_s = clock()
    while ended < count and (now_s - heard_s < ANSWER_S_MAX or len(free) == len(lines)):
        due = sent + len(free) if due_s is None else bisect_right(due_s, now_s - start_s, sent)
        while sent < min(due, count) and free:
            # The one that has rested longest: the service hangs up on who has never sent anything.
            free.popleft().send(sent, requests[sent], now_s if due_s is None else start_s + due_s[sent])
            sent += 1
        measured.backlog_max = max(measured.backlog_max, min(due, count) - sent)
        wait_s = ANSWER_S_MAX
        if free and sent < count and due_s is not None:
            wait_s = max(0.0, start_s + due_s[sent] - clock())
        for key, _ in selector.select(wait_s):
            line: _Line = key.data
            now_s = clock()
            status = line.read()
            if status is None:
                continue
            if line.number >= 0:
                measured.note(line.number, status, line.due_s, now_s, start_s, line.received)
                ended += 1
                free.append(line)
                heard_s = now_s
            if status:
                line.rest()
            else:
                selector.unregister(line.sock)
                line.sock.close()
                line.open()
                selector.register(line.sock, selectors.EVENT_READ, line)
        now_s = clock()
    measured.elapsed_s = now_s - start_s
    return measured


def _content_length(head: bytes) -> int:
    """The size of the body. Every server here says it."""
    at = head.lower().find(b"\r\ncontent-length:")
    assert at >= 0, head
    return int(head[at + 17 :].split(b"\r\n", 1)[0])
