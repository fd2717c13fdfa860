"""The demo's market without a journal, with a memory of what it was asked."""

from collections.abc import Sequence

from callmarket.bridge.api.messages import Reply, Request
from callmarket.bridge.studies.demo import other_seeds
from callmarket.engine.commands import Entry


class MemoryMarket(other_seeds.MemoryMarket):
    """`entries` keeps what was asked, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[Entry] = []

    def submit(self, now_us: int, requests: Sequence[Request]) -> list[Reply]:
        replies = list(super().submit(now_us, requests))
        for request, reply in zip(requests, replies, strict=True):
            self.entries.append(Entry(reply.seq, now_us, request.actor, request.command, request.command_id))
        return replies
