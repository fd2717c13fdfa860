"""When recovery was last proved, as the register says.

Rule of this file: it asks the database now and then, in a thread of its own, so that a scrape never waits for it.
"""

import asyncio
import logging
import time
from typing import Final

from callmarket.bridge.api.errors import ExchangeError
from callmarket.bridge.market.node import Node
from callmarket.persistence.leadership.register import Proof, last_proof

logger: Final = logging.getLogger(__name__)

# Snapshots are taken every few minutes; the age goes on by itself meanwhile.
LOOK_S: Final = 15.0


class Proofs:
    """The last proven restore, as far as it is known here."""

    def __init__(self, node: Node) -> None:
        """Nothing is known yet."""
        self._node: Final = node
        self._proof: Proof | None = None
        self._looked_s = 0.0

    def age_s(self) -> float | None:
        """How long ago recovery was proved; None if never, or before it is known."""
        proof = self._proof
        return None if proof is None else proof.age_s + time.monotonic() - self._looked_s

    @property
    def seq(self) -> int | None:
        """The row up to which it was proved."""
        return None if self._proof is None else self._proof.seq

    async def follow(self) -> None:
        """Look, again and again, until it is cancelled."""
        while True:
            try:
                await asyncio.to_thread(self.look)
            except ExchangeError as error:
                # Other parts say so louder; the age that is known grows.
                logger.debug("the last proven restore is not known: %s", error)
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Look now. Raises `Unavailable`."""
        with self._node.connect() as connection:
            proof = last_proof(connection, self._node.shard_id)
        self._proof, self._looked_s = proof, time.monotonic()
