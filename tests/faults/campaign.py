"""The driver: every fault, so many times, each at a moment and for a length drawn from the seed; and the table.

Rule of this file: one round is hurt, heal, wait for service, audit. What it reports is what was seen.
"""

import random
import re
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import disk, leadership, network, processes, sessions
from tests.faults.disk import NoSmallDisk, small_disk
from tests.faults.fault import Fault
from tests.faults.stage import Stage, open_stage
from tests.support.own_server import OwnServer, open_own_server

FAULTS: tuple[Fault, ...] = (
    *processes.FAULTS,
    *sessions.FAULTS,
    *leadership.FAULTS,
    *network.FAULTS,
    *disk.FAULTS,
)
# A long fault is drawn so much more rarely.
LONG_SHARE = 5
# One market lives through so many rounds; then its whole history is audited by a successor, and a new one begins.
STAGE_ROUNDS = 5
# Few, so that they can be taken, and enough for everybody else.
SERVER_SETTINGS = {"max_connections": "30"}
# By turns: clients that wait as long as the defaults let them, and clients that soon ask again, with a short queue, so
# that what they get meanwhile are errors, and most of what they send is sent more than once.
# With a short lease, so that a standby does not wait long.
PATIENT = {"CALLMARKET_LEASE_S": "1"}
HASTY = {"CALLMARKET_LEASE_S": "1", "CALLMARKET_ACK_TIMEOUT_S": "0.4", "CALLMARKET_QUEUE_ROWS_MAX": "25"}
CHARACTERS_MAX = 170


@dataclass
class Round:
    """What one round has shown."""

    fault: Fault
    service_s: float
    silence_s: float
    answers: int
    failed: Counter[tuple[str, str]] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def one_round(stage: Stage, fault: Fault, rng: random.Random, shorter: float = 1.0) -> Round:
    """Hurt a market that serves, heal it, wait for service, audit. Raises `AssertionError` with what is wrong.

    `shorter` is the part of the fault's length that it is given.
    """
    stage.await_company(fault)
    stage.await_service(time.monotonic_ns(), None)
    stage.notes = []
    time.sleep(rng.uniform(0.0, 0.4))
    began_ns = time.monotonic_ns()
    answers = len(stage.log.read().told)
    with fault.strike(stage, rng):
        time.sleep(shorter * rng.uniform(*fault.hold_s))
        healing_ns = time.monotonic_ns()
    service_ns = stage.await_service(healing_ns, fault)
    # Until the whole load runs again and nobody is frozen, so that late errors belong to this round.
    time.sleep(0.1)
    stage.await_company(fault)
    problems = stage.problems(began_ns, fault)
    assert not problems, "\n".join([fault.name, *problems])
    failed = stage.failed(began_ns)
    return Round(
        fault,
        (service_ns - healing_ns) / 1e9,
        stage.longest_silence_s(began_ns),
        len(stage.log.heard.told) - answers,
        Counter((one.who, one.kind) for one in failed),
        Counter(f"{one.kind}: {_shape(one.message)}" for one in failed),
        stage.notes,
    )


@contextmanager
def open_place(fault: Fault, server: OwnServer) -> Iterator[OwnServer]:
    """The server that a fault is tried on. Raises `NoSmallDisk`."""
    if fault.place != "small disk":
        yield server
        return
    with ExitStack() as stack:
        small = stack.enter_context(open_own_server(stack.enter_context(small_disk()) / "home"))
        small.configure(**disk.SETTINGS)
        yield small


@contextmanager
def open_campaign_server() -> Iterator[OwnServer]:
    """The server of all faults that need no other."""
    with open_own_server() as server:
        server.configure(**SERVER_SETTINGS)
        yield server


def run(faults: Iterable[Fault], rounds: int, seed: int, say: Callable[[str], None]) -> Iterator[Round]:
    """Try each fault so many times. Raises at the first problem, with the seed in what was said before."""
    with open_campaign_server() as server, tempfile.TemporaryDirectory() as folder:
        for fault in faults:
            wanted = max(1, rounds // LONG_SHARE) if fault.long else rounds
            try:
                with open_place(fault, server) as place:
                    for start in range(0, wanted, STAGE_ROUNDS):
                        count = min(STAGE_ROUNDS, wanted - start)
                        yield from _stage_rounds(place, Path(folder), fault, f"{seed}/{fault.name}/{start}", count, say)
            except NoSmallDisk as error:
                say(f"{fault.name}: SKIPPED, no small file system can be mounted here: {error}")


def _stage_rounds(
    server: OwnServer, folder: Path, fault: Fault, seed: str, count: int, say: Callable[[str], None]
) -> Iterator[Round]:
    """Some rounds on one market."""
    rng = random.Random(seed)
    settings = rng.choice((PATIENT, HASTY)) if count == 1 else (HASTY if seed.endswith("/0") else PATIENT)
    clients = "hasty" if settings is HASTY else "patient"
    with open_stage(server, folder, rng.getrandbits(32), settings, place=fault.place) as stage:
        for _ in range(count):
            seen = one_round(stage, fault, rng)
            say(
                f"{fault.name} ({seed}, {clients}): first answer after {seen.service_s:.2f} s, silence "
                f"{seen.silence_s:.2f} s, {seen.answers} answers, {_errors([seen])}; {'; '.join(seen.notes)}"
            )
            yield seen


def table(rounds: Sequence[Round]) -> str:
    """What was tried, how often, and what happened, as Markdown."""
    lines = [
        "| fault | what was done | times | errors that clients (c) and readers (r) got "
        "| first answer after it: median, longest | longest silence |",
        "|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(one.fault.name for one in rounds):
        mine = [one for one in rounds if one.fault.name == name]
        times = sorted(one.service_s for one in mine)
        lines.append(
            f"| {name} | {mine[0].fault.what} | {len(mine)} | {_errors(mine)} "
            f"| {statistics.median(times):.2f} s, {times[-1]:.2f} s | {max(one.silence_s for one in mine):.2f} s |"
        )
    return "\n".join(lines)


def messages(rounds: Sequence[Round]) -> str:
    """One line for each kind of message, with a fault that it was seen in, and the notes."""
    lines: list[str] = []
    for name in dict.fromkeys(one.fault.name for one in rounds):
        seen: Counter[str] = Counter()
        for one in rounds:
            if one.fault.name == name:
                seen += one.messages
        lines += [f"{name}: {count} x {message}" for message, count in seen.most_common(6)]
        lines += [f"{name}: noted: {note}" for one in rounds if one.fault.name == name for note in one.notes]
    return "\n".join(lines)


def _errors(rounds: Sequence[Round]) -> str:
    total: Counter[tuple[str, str]] = Counter()
    for one in rounds:
        total += one.failed
    return ", ".join(f"{kind} x {count:,} ({who[0]})" for (who, kind), count in sorted(total.items())) or "none"


def _shape(message: str) -> str:
    """A message without what differs each time."""
    return re.sub(r"\d+", "N", " ".join(message.split()))[:CHARACTERS_MAX]
