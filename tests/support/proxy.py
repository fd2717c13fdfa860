"""A proxy between a client and PostgreSQL: it can cut the line at a chosen byte, go silent, or act like a pooler.

Rule of this file: it decides by what passes through, not by time, so a test that cuts "just after COMMIT reached the
server" does so on every run. It speaks TCP to the client and whatever the URL says to the server.
"""

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass
from typing import Literal, Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

# When to cut: with the pattern not yet sent to the server; once the server has it; once the server has answered it,
# with its answer thrown away; or in the middle, with half of what passes sent and the client's end reset.
Moment = Literal["before", "sent", "answered", "torn"]

# What becomes of the option `options` of the start-up packet: sent on; left out, or refused, as PgBouncer does by its
# configuration.
Options = Literal["sent", "dropped", "refused"]
_REFUSAL = b"SFATAL\x00C08P01\x00Munsupported startup parameter: options\x00\x00"

# The head of an array of json: one dimension, no NULL, the type's number. Batches that are not large send their journal
# rows so, also once the statements are prepared and their text is not sent any more.
JSON_ARRAY = struct.pack(">iii", 1, 0, 114)


@dataclass
class Cut:
    """One order to cut, used up by the first match."""

    pattern: bytes
    moment: Moment
    # Matches to let pass first.
    skip: int = 0


class Proxy:
    """As a context manager; `url` leads through it."""

    def __init__(self, url: str, options: Options = "sent") -> None:
        self.target = conninfo_to_dict(url)
        self.options = options
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = make_conninfo(url, host="127.0.0.1", port=self.port, sslmode="disable", gssencmode="disable")
        self.cuts: list[Cut] = []
        self.cuts_made = 0
        self.flowing = threading.Event()
        self.flowing.set()
        self.lock = threading.Lock()
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        self.refusing = False

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()
        self.flowing.set()
        self.cut_all()

    def cut(self, pattern: bytes, moment: Moment, skip: int = 0) -> None:
        """Order a cut at the next time that the client sends the pattern."""
        with self.lock:
            self.cuts.append(Cut(pattern, moment, skip))

    def cut_all(self) -> None:
        """Cut all connections now."""
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            _close(*pair)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                if self.refusing:
                    client.close()
                    continue
                try:
                    server = self._connect()
                except OSError:
                    client.close()  # nobody is there now; whoever comes later may be luckier
                    continue
                with self.lock:
                    self.pairs.append((client, server))
                drop_answers = threading.Event()
                for pump in (self._to_server, self._to_client):
                    threading.Thread(target=pump, args=(client, server, drop_answers), daemon=True).start()

    def _connect(self) -> socket.socket:
        host, port = str(self.target.get("host", "localhost")), int(self.target.get("port", 5432))
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(f"{host}/.s.PGSQL.{port}")
        except OSError:
            server.close()
            raise
        return server

    def _due(self, data: bytes) -> Cut | None:
        with self.lock:
            for cut in self.cuts:
                if cut.pattern in data:
                    if cut.skip:
                        cut.skip -= 1
                        continue
                    self.cuts.remove(cut)
                    self.cuts_made += 1
                    return cut
        return None

    def _to_server(self, client: socket.socket, server: socket.socket, drop_answers: threading.Event) -> None:
        with contextlib.suppress(OSError):
            if self.options != "sent" and not self._began_as_by_pooler(client, server):
                _close(client, server)
                return
            while data := client.recv(1 << 20):
                self.flowing.wait()
                cut = self._due(data)
                if cut is not None and cut.moment == "answered":
                    drop_answers.set()
                if cut is not None and cut.moment == "torn":
                    server.sendall(data[: len(data) // 2])
                    _reset(client)
                elif cut is None or cut.moment != "before":
                    server.sendall(data)
                if cut is not None and cut.moment != "answered":
                    break
        if not drop_answers.is_set():
            _close(client, server)

    def _began_as_by_pooler(self, client: socket.socket, server: socket.socket) -> bool:
        """Send on the first packet without its options; False if it was refused for them. It comes in one piece."""
        packet = client.recv(1 << 20)
        fields = packet[8:].removesuffix(b"\x00").split(b"\x00")
        pairs = list(zip(fields[::2], fields[1::2], strict=False))
        if self.options == "refused" and b"options" in dict(pairs):
            client.sendall(b"E" + struct.pack(">i", 4 + len(_REFUSAL)) + _REFUSAL)
            return False
        kept = b"".join(name + b"\x00" + value + b"\x00" for name, value in pairs if name != b"options") + b"\x00"
        server.sendall(struct.pack(">i", 8 + len(kept)) + packet[4:8] + kept)
        return True

    def _to_client(self, client: socket.socket, server: socket.socket, drop_answers: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 20):
                self.flowing.wait()
                if drop_answers.is_set():
                    break
                client.sendall(data)
        _close(client, server)


def _reset(end: socket.socket) -> None:
    """Let the next close of this end be a reset, as a firewall's that has forgotten the connection."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _close(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
