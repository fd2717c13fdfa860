"""New connections: one that cannot be served holds no place.

Method: a socket of another family, whose connections refuse what a TCP connection is set to.
"""

import asyncio
import socket
from pathlib import Path

from callmarket.bridge.server.http.acceptor import Acceptor
from callmarket.bridge.server.http.connection_table import ConnectionTable


class NotServed(asyncio.Protocol):
    """What would be served."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        raise AssertionError("it cannot be set up")


def test_a_connection_that_cannot_be_set_up_gives_its_place_back(tmp_path: Path) -> None:
    async def run() -> None:
        table, loop = ConnectionTable(), asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
            listening.bind(str(tmp_path / "server"))
            client.bind(str(tmp_path / "client"))
            acceptor = Acceptor(loop, listening, table, NotServed)  # type: ignore[arg-type]  # never made a connection
            client.connect(str(tmp_path / "server"))
            client.setblocking(False)
            async with asyncio.timeout(30):
                assert await loop.sock_recv(client, 1) == b"", "it is hung up"
            acceptor.close()
            await acceptor.wait_closed()
        assert len(table) == 0

    asyncio.run(run())
