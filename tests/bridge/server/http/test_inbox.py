"""What waits to be read. Goal: in order for each connection, little in a turn, and nobody's flood is another's wait.

Method: readers that note what they read; the loop's turns are counted, no time is measured.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

from callmarket.bridge.server.http.inbox import READS_PER_TURN, UNREAD_MAX, Inbox


class Noting:
    """A connection that notes what it reads, all of them in one list."""

    def __init__(self, notes: list[tuple[str, bytes]], name: str, key_id: str = "") -> None:
        self.notes = notes
        self.name = name
        self.key_id = key_id
        self.waits_as = ""
        self.unread_bytes = 0

    def read(self, data: bytes) -> None:
        self.notes.append((self.name, data))


def meet(check: Callable[[Inbox, list[tuple[str, bytes]]], Awaitable[None]]) -> None:
    async def run() -> None:
        await check(Inbox(asyncio.get_running_loop()), [])

    asyncio.run(run())


def test_reads_at_once_and_in_each_turn_are_bounded() -> None:
    async def check(inbox: Inbox, notes: list[tuple[str, bytes]]) -> None:
        readers = [Noting(notes, f"c{number}", "k") for number in range(3 * READS_PER_TURN)]
        for reader in readers:
            inbox.put(reader, b"x")
        assert len(notes) == READS_PER_TURN, "no waiting where there is no crowd"
        for turn in (2, 3):
            await asyncio.sleep(0)
            assert len(notes) == turn * READS_PER_TURN
        assert [name for name, _ in notes] == [reader.name for reader in readers], "the oldest first"
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        inbox.put(readers[0], b"y")
        assert notes[-1] == ("c0", b"y"), "and none where it is over"

    meet(check)


def test_a_flood_of_one_key_leaves_room_to_others() -> None:
    async def check(inbox: Inbox, notes: list[tuple[str, bytes]]) -> None:
        greedy = Noting(notes, "greedy", "g")
        while not inbox.is_late_for("g"):
            inbox.put(greedy, b"x")
        assert len(notes) == READS_PER_TURN
        assert greedy.unread_bytes == UNREAD_MAX // 2
        assert not inbox.is_late_for("modest")
        inbox.put(Noting(notes, "modest", "m"), b"y")
        for _ in range(-(-(UNREAD_MAX // 2 + 1) // READS_PER_TURN)):
            await asyncio.sleep(0)
        assert ("modest", b"y") in notes

    meet(check)


def test_connections_without_a_key_do_not_delay_those_with_one() -> None:
    async def check(inbox: Inbox, notes: list[tuple[str, bytes]]) -> None:
        for number in range(5_000):
            inbox.put(Noting(notes, f"stranger {number}"), b"x")
        assert not inbox.is_late_for("")
        inbox.put(Noting(notes, "known", "k"), b"y")
        await asyncio.sleep(0)
        assert ("known", b"y") in notes
        before = len(notes)
        # And strangers are read while others flood.
        greedy = Noting(notes, "greedy", "g")
        while not inbox.is_late_for("g"):
            inbox.put(greedy, b"z")
        await asyncio.sleep(0)
        assert sum(name.startswith("stranger") for name, _ in notes[before:]) == READS_PER_TURN // 4

    meet(check)


def test_connections_without_a_key_alone_are_read_at_full_speed() -> None:
    async def check(inbox: Inbox, notes: list[tuple[str, bytes]]) -> None:
        for number in range(4 * READS_PER_TURN):
            inbox.put(Noting(notes, f"stranger {number}"), b"x")
        for turn in (2, 3, 4):
            await asyncio.sleep(0)
            assert len(notes) == turn * READS_PER_TURN

    meet(check)


def test_the_bytes_of_a_connection_stay_in_order(seed: int) -> None:
    """Also where it shows its key, or another one, while some of them wait."""

    async def check(inbox: Inbox, notes: list[tuple[str, bytes]]) -> None:
        draw = random.Random(seed)
        readers = [Noting(notes, f"c{number}") for number in range(20)]
        put: dict[str, list[bytes]] = {reader.name: [] for reader in readers}
        for step in range(5_000):
            reader = draw.choice(readers)
            if draw.random() < 0.05:
                reader.key_id = draw.choice(["", "a", "b"])
            data = b"%d" % step
            put[reader.name].append(data)
            inbox.put(reader, data)
            if draw.random() < 0.01:
                await asyncio.sleep(0)
            waiting = [key_id for line in (inbox._known, inbox._strangers) for *_, key_id in line]
            assert inbox._of_key == Counter(waiting)
        while any(reader.unread_bytes for reader in readers):  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0)
        for reader in readers:
            assert [data for name, data in notes if name == reader.name] == put[reader.name]
        assert not inbox._of_key

    meet(check)
