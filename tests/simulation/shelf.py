"""Where the snapshots of a simulation lie, and what can happen to them there.

Rule of this file: a write that is cut short leaves nothing, as both real stores promise; what a disk does to a file
afterwards, it does without telling anybody. The bytes are packed, checked and unpacked by the product's own code.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from callmarket.persistence.errors import Damaged
from callmarket.persistence.snapshots.store import Info, Snapshot, SnapshotStore, info_of, pack, unpack
from tests.simulation.store import Store, take_step
from tests.simulation.world import Life, World

SHARD_ID = 0


class Shelf:
    """What is kept, by name, in the order in which it was written."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[Info, bytes]] = {}
        self.written = 0

    def damage(self, world: World, kind: str) -> bool:
        """Do this to one of them; False if there is none."""
        if not self.kept:
            return False
        name = world.rng.choice(list(self.kept))
        info, data = self.kept[name]
        place = world.rng.randrange(len(data)) if data else 0
        match kind:
            case "snapshot lost":
                del self.kept[name]
            case "snapshot torn":
                self.kept[name] = (info, data[:place])
            case "snapshot flipped" if data:
                flipped = bytes((data[place] ^ (1 << world.rng.randrange(8)),))
                self.kept[name] = (info, data[:place] + flipped + data[place + 1 :])
            case "snapshot misdescribed":
                wrong = world.rng.choice(
                    ({"seq": info.seq + 1}, {"at_us": info.at_us + 1}, {"digest": bytes(32)}, {"format": 99})
                )
                self.kept[name] = (msgspec.structs.replace(info, **wrong), data)
            case _:
                return False
        return True


class ProcessSnapshots(SnapshotStore):
    """The shelf for one process, which may die at each step."""

    def __init__(self, store: Store, shelf: Shelf, life: Life, doing: str) -> None:
        self.store = store
        self.shelf = shelf
        self.life = life
        self.doing = doing

    def write(self, snapshot: Snapshot) -> Info:
        """See `SnapshotStore.write`."""
        self._step()
        data, checksum = pack(snapshot, SHARD_ID)
        shelf = self.shelf
        taken_at = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.store.world.now_us)
        info = info_of(snapshot, str(shelf.written), len(data), checksum, taken_at)
        self._step()
        shelf.written += 1
        shelf.kept[info.name] = (info, data)
        self._step()
        return info

    def list(self) -> Sequence[Info]:
        """See `SnapshotStore.list`."""
        self._step()
        infos = [info for info, _ in self.shelf.kept.values()]
        return sorted(infos, key=lambda info: (info.seq, int(info.name)), reverse=True)

    def read(self, info: Info) -> bytes:
        """See `SnapshotStore.read`."""
        self._step()
        if info.name not in self.shelf.kept:
            raise Damaged("it is no longer there")
        return unpack(info, self.shelf.kept[info.name][1], SHARD_ID)

    def delete(self, info: Info) -> None:
        """See `SnapshotStore.delete`."""
        self._step()
        self.shelf.kept.pop(info.name, None)
        self._step()

    def close(self) -> None:
        """See `SnapshotStore.close`."""

    def _step(self) -> None:
        take_step(self.store, self.life, self.doing)
