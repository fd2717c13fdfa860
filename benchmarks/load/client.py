"""The client's process: `python -m benchmarks.load.client`, a plan on its input and what became of it on its output.

Rule of this file: requests are made before the clock runs and replies are read after it has stopped.
"""

import gc
import random
import sys
import time
from collections import Counter
from typing import Final, Literal

import msgspec
from msgspec import Struct

from benchmarks.load.wire import Measured, drive

SEED: Final = 20_261_122
BIDDERS: Final = 1_000
MARKET: Final = "load-{}"
BIDDER: Final = "agent-{}"
_PLACED: Final = frozenset((200, 201))


class Plan(Struct, frozen=True, kw_only=True):
    """What to send. A batch counts as one request; `first_task` keeps the tasks of several plans apart."""

    host: str
    port: int
    kind: Literal["bid", "batch", "empty", "command", "read"]
    connections: int
    count: int = 0
    phases: tuple[tuple[float, float], ...] = ()
    """Requests a second, and for how many seconds, one after the other. None: `count`, as fast as they are answered."""
    key: str = ""
    batch: int = 100
    first_task: int = 0
    market: int = 0
    """In which market the bids are placed."""
    commands: tuple[tuple[str, str], ...] = ()
    """Paths and bodies of other requests, for the furnishing; of a read the path that is asked for again and again."""


class Told(Struct, frozen=True):
    """What the client was told of a bid that it may rely on."""

    task: int
    bid_id: int


class Result(Struct, frozen=True, kw_only=True):
    """What became of a plan. Times are in seconds; latencies from when a request was due to the end of its reply."""

    elapsed_s: float
    processor_s: float
    backlog_max: int
    statuses: dict[str, int]
    retry_after: int
    """How many of the refusals (429 and 503) said when to come back."""
    latencies_s: tuple[float, ...]
    """Of those that were answered as they wished."""
    refused_s: tuple[float, ...]
    """Of the others."""
    told: tuple[Told, ...]
    not_durable: int
    """Bids that were said to be placed and not said to be durable: there must be none."""
    seconds: tuple[tuple[float, int, int], ...]
    """For each second, what was due in it: the worst latency of good answers, how many were due, how many good."""

    @property
    def good_per_s(self) -> float:
        """Requests that were answered as they wished, a second."""
        return len(self.latencies_s) / self.elapsed_s

    def quantile_s(self, share: float) -> float:
        """The latency that this share of the good answers did not exceed."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class _Stamp(Struct):
    seq: int
    durable_seq: int


class _Placed(Struct):
    bid_id: int = 0
    stamp: _Stamp | None = None


def due_of(plan: Plan) -> list[float] | None:
    """When each request is due, in seconds from the start; None: at once."""
    due: list[float] = []
    begin_s = 0.0
    for rate_per_s, lasting_s in plan.phases:
        due += [begin_s + number / rate_per_s for number in range(int(rate_per_s * lasting_s))]
        begin_s += lasting_s
    return due or None


def requests_of(plan: Plan, count: int) -> list[bytes]:
    """The bytes of every request."""
    draw = random.Random(SEED + plan.first_task)
    if plan.kind == "empty":
        return [_post(plan, "/", "", b"")] * count
    if plan.kind == "read":
        return [_post(plan, plan.commands[0][0], "", b"", "GET")] * count
    if plan.kind == "command":
        return [_post(plan, path, "", body.encode()) for path, body in plan.commands]
    if plan.kind == "bid":
        path = f"/api/v1/markets/{MARKET.format(plan.market)}/bids"
        return [
            _post(plan, path, _bidder(draw), _bid(draw, task).encode())
            for task in range(plan.first_task, plan.first_task + count)
        ]
    path = f"/api/v1/markets/{MARKET.format(plan.market)}/bids/batch"
    requests = []
    for number in range(count):
        first = plan.first_task + number * plan.batch
        bids = ",".join(_bid(draw, task) for task in range(first, first + plan.batch))
        requests.append(_post(plan, path, _bidder(draw), f'{{"bids":[{bids}]}}'.encode()))
    return requests


def _bidder(draw: random.Random) -> str:
    return BIDDER.format(draw.randrange(BIDDERS))


def _bid(draw: random.Random, task: int) -> str:
    return f'{{"task_id":"task-{task}","max_price_tokens":{draw.randrange(1_000, 100_001)}}}'


def _post(plan: Plan, path: str, account: str, body: bytes, method: str = "POST") -> bytes:
    """One request, with the headers that a client library would send."""
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {plan.host}:{plan.port}",
        "Accept: */*",
        "User-Agent: callmarket-load",
    ]
    if plan.key:
        lines.append(f"Authorization: Bearer {plan.key}")
    if account:
        lines.append(f"Callmarket-Account: {account}")
    if body:
        lines.append("Content-Type: application/json")
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def result_of(plan: Plan, measured: Measured, processor_s: float) -> Result:
    """What the replies say."""
    told: list[Told] = []
    not_durable = retry_after = 0
    for number, (status, reply) in enumerate(zip(measured.statuses, measured.replies, strict=True)):
        head, _, body = reply.partition(b"\r\n\r\n")
        if status in (429, 503):
            retry_after += b"\r\nretry-after:" in head.lower()
        if status not in _PLACED or plan.kind not in ("bid", "batch"):
            continue
        for task, placed in enumerate(_placed(plan, body), plan.first_task + number * _bids_each(plan)):
            if placed.stamp is None:
                continue
            not_durable += placed.stamp.seq > placed.stamp.durable_seq
            told.append(Told(task, placed.bid_id))
    numbered = list(zip(measured.statuses, measured.latencies_s, strict=True))
    return Result(
        elapsed_s=measured.elapsed_s,
        processor_s=processor_s,
        backlog_max=measured.backlog_max,
        statuses={str(status): count for status, count in sorted(Counter(measured.statuses).items())},
        retry_after=retry_after,
        latencies_s=tuple(latency_s for status, latency_s in numbered if status in _PLACED),
        refused_s=tuple(latency_s for status, latency_s in numbered if status not in _PLACED),
        told=tuple(told),
        not_durable=not_durable,
        seconds=_by_second(measured),
    )


def _bids_each(plan: Plan) -> int:
    return plan.batch if plan.kind == "batch" else 1


def _placed(plan: Plan, body: bytes) -> list[_Placed]:
    if plan.kind == "bid":
        return [msgspec.json.decode(body, type=_Placed)]
    return msgspec.json.decode(body, type=list[_Placed])


def _by_second(measured: Measured) -> tuple[tuple[float, int, int], ...]:
    rows = [[0.0, 0, 0] for _ in range(int(measured.elapsed_s) + 1)]
    for status, latency_s, ended_s in zip(measured.statuses, measured.latencies_s, measured.ended_s, strict=True):
        row = rows[max(0, int(ended_s - latency_s))]
        row[1] += 1
        if status in _PLACED:
            row[0] = max(row[0], latency_s)
            row[2] += 1
    return tuple((worst_s, int(answered), int(good)) for worst_s, answered, good in rows)


def main() -> None:
    """Do what the plan on the input says."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    due_s = due_of(plan)
    requests = requests_of(plan, plan.count if due_s is None else len(due_s))
    # Nothing here makes cycles; to look for them costs the server its processor.
    gc.disable()
    before_s = time.process_time()
    measured = drive((plan.host, plan.port), plan.connections, requests, due_s)
    processor_s = time.process_time() - before_s
    sys.stdout.buffer.write(msgspec.msgpack.encode(result_of(plan, measured, processor_s)))


if __name__ == "__main__":
    main()
