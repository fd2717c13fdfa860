"""Tells the process manager how it stands, in systemd's protocol: a datagram to the socket that it names.

Rule of this file: it never fails. Where nobody asked to be told, nothing is said.
"""

import contextlib
import socket
from collections.abc import Mapping

READY = b"READY=1"
STOPPING = b"STOPPING=1"


def notify(news: bytes, environment: Mapping[str, str]) -> None:
    """Notify the service manager that gave this process `NOTIFY_SOCKET` (sd_notify(3))."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        # A name that is in no folder.
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as way:
        way.connect(address)
        way.sendall(news)
