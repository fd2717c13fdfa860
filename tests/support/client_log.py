"""What clients know: a file of what they meant to ask and what they were told, and the audit of a journal against it.

Rule of this file: it shares nothing with the code that it judges but the names of fields. The digest is computed here
from its definition, and a line that a kill has torn counts as never delivered.
"""

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec
import psycopg
from msgspec import Raw, Struct

from callmarket.bridge.api.messages import Reply, Request
from callmarket.engine.codec import encode

PROBLEMS_MAX = 20


class Intent(Struct, frozen=True, tag="intent"):
    """Written before a request is sent: it may be sent again after a restart, with this id and nothing else changed."""

    actor: str
    command_id: str
    command: Raw


class Told(Struct, frozen=True, tag="told"):
    """Written after a reply has come: from here on it must never be otherwise."""

    actor: str
    command_id: str
    seq: int
    repeated: bool
    events: Raw
    # What was said to be durable with it, and when it came, by the machine's monotonic clock.
    durable_seq: int = 0
    at_ns: int = 0


class Failed(Struct, frozen=True, tag="failed"):
    """Written when something came that is no answer: which error, to whom."""

    who: str
    kind: str
    message: str
    at_ns: int


class Row(NamedTuple):
    """A row of the journal, as it lies there."""

    seq: int
    epoch: int
    at_us: int
    actor: str
    command_id: str
    rules: int
    command: bytes
    events: bytes
    digest: bytes


_decode = msgspec.json.Decoder(Intent | Told | Failed).decode


class ClientLog:
    """The file, for one process that may be killed at any instruction. Safe for many threads."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        # A process that was killed may have left half a line.
        os.write(self._descriptor, b"\n")

    def intend(self, requests: Iterable[Request]) -> None:
        """Note what is about to be sent."""
        self._write(Intent(one.actor, one.command_id, Raw(encode(one.command))) for one in requests)

    def told(self, requests: Sequence[Request], replies: Sequence[Reply]) -> None:
        """Note what was answered."""
        self._write(
            Told(
                request.actor,
                request.command_id,
                reply.seq,
                reply.repeated,
                Raw(encode(reply.events)),
                reply.durable_seq,
                time.monotonic_ns(),
            )
            for request, reply in zip(requests, replies, strict=True)
        )

    def failed(self, who: str, kind: str, message: str) -> None:
        """Note what came instead of an answer."""
        self._write([Failed(who, kind, message, time.monotonic_ns())])

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def _write(self, lines: Iterable[Struct]) -> None:
        # One system call to a file that is only appended to: what returned is there, whatever kills the process next.
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        written = os.write(self._descriptor, data)
        assert written == len(data), (written, len(data))


class Heard(NamedTuple):
    """The content of a client log."""

    intents: dict[tuple[str, str], Intent]
    told: list[Told]
    torn: int
    failed: list[Failed]

    def unanswered(self) -> list[Intent]:
        """What was sent, perhaps, and not answered: to be sent again."""
        answered = {(one.actor, one.command_id) for one in self.told}
        return [intent for key, intent in self.intents.items() if key not in answered]


class LogReader:
    """Reads a log that is being written, piece by piece; `heard` grows with each `read`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard = Heard({}, [], 0, [])
        self._offset = 0

    def read(self) -> Heard:
        """What the clients know by now. A line that is not complete yet is left for the next time."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
            complete = data.rfind(b"\n") + 1
            self._offset += complete
            for line in data[:complete].splitlines():
                self._take(line)
        return self.heard

    def _take(self, line: bytes) -> None:
        if not line:
            return
        try:
            one = _decode(line)
        except msgspec.MsgspecError:
            self.heard = self.heard._replace(torn=self.heard.torn + 1)
            return
        match one:
            case Told():
                self.heard.told.append(one)
            case Failed():
                self.heard.failed.append(one)
            case Intent():
                before = self.heard.intents.setdefault((one.actor, one.command_id), one)
                assert bytes(before.command) == bytes(one.command), ("the clients themselves reuse an id", one)


def read_log(path: Path) -> Heard:
    """Read what the clients know. Lines that a kill has torn are counted, not used."""
    return LogReader(path).read()


def read_rows(url: str, shard_id: int = 0) -> list[Row]:
    """Read the whole journal, by plain SQL."""
    query = """SELECT seq, epoch, at_us, actor, command_id, rules, command::text, events::text, digest
        FROM journal WHERE shard_id = %s ORDER BY seq"""
    with psycopg.connect(url) as connection:
        # By the index: a sort of half a million rows would need room on a disk that was full a moment ago.
        connection.execute("SET enable_sort = off")
        found = connection.execute(query, (shard_id,)).fetchall()
    return [Row(*row[:6], row[6].encode(), row[7].encode(), bytes(row[8])) for row in found]


def audit(heard: Heard, rows: Sequence[Row]) -> list[str]:
    """Everything in which the journal is not what the clients were told; nothing if nothing was lost or doubled."""
    problems = [*_chain(rows), *_applied_once(heard, rows), *_told(heard, rows)]
    return problems[:PROBLEMS_MAX]


def _chain(rows: Sequence[Row]) -> Iterable[str]:
    """Gapless, in time, and each digest that of its bytes and of the row before."""
    digest, at_us, epoch = bytes(32), 0, 0
    for seq, row in enumerate(rows, 1):
        if row.seq != seq:
            yield f"row {seq} is missing or doubled: found {row.seq}"
            return
        if row.at_us < at_us or row.epoch < epoch:
            yield f"row {seq} steps back in time or epoch"
        header = f"{row.seq}|{row.at_us}|{row.rules}|{row.actor}|{row.command_id}|".encode()
        digest = sha256(digest + header + row.command + row.events).digest()
        if row.digest != digest:
            yield f"row {seq} does not continue the digest"
            return
        at_us, epoch = row.at_us, row.epoch


def _applied_once(heard: Heard, rows: Sequence[Row]) -> Iterable[str]:
    """Every command that was sent took effect at most once, as it was sent; nothing came from nowhere."""
    applied: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in rows:
        key = (row.actor, row.command_id)
        intent = heard.intents.get(key)
        if intent is None:
            yield f"row {row.seq}: nobody sent {key}"
        elif bytes(intent.command) != row.command:
            yield f"row {row.seq}: {key} was sent as {bytes(intent.command)!r}"
        first = msgspec.json.decode(row.events)[0]
        if first["type"] != "repeated":
            applied[key].append(row.seq)
        elif applied[key] != [first["first_seq"]]:
            yield f"row {row.seq} repeats {first['first_seq']}, and {key} was applied at {applied[key]}"
    for key, seqs in applied.items():
        if len(seqs) != 1:
            yield f"{key} was applied {len(seqs)} times, at {seqs}"
    for one in heard.told:
        if (one.actor, one.command_id) not in applied:
            yield f"{one.actor} {one.command_id} was acknowledged at {one.seq} and never applied"


def _told(heard: Heard, rows: Sequence[Row]) -> Iterable[str]:
    """Every reply stands in the journal at its seq, byte for byte; a repeated one names the row that it repeats."""
    by_seq = {row.seq: row for row in rows}
    last_seq = max(by_seq, default=0)
    for one in heard.told:
        if one.durable_seq > last_seq:
            yield f"{one.actor} {one.command_id} was told that {one.durable_seq} is durable, and {last_seq} is the last"
        row = by_seq.get(one.seq)
        if row is None:
            yield f"acknowledged row {one.seq} of {one.actor} {one.command_id} is lost"
        elif (row.actor, row.command_id) != (one.actor, one.command_id):
            yield f"row {one.seq} is of {row.actor} {row.command_id}, and {one.actor} {one.command_id} was told of it"
        elif row.events != bytes(one.events):
            yield f"row {one.seq} says {row.events!r}, and {one.actor} was told {bytes(one.events)!r}"
