"""The ceiling: a framework on our server, answering an empty POST: `python -m benchmarks.load.ceiling WHICH`.

`starlette` is a small framework; `asgi` is the server alone, for information. It says its URL and serves until ended.
Rule of this file: the same server with the same options as `bridge.serve`, and no work.
"""

import signal
import sys
from typing import cast

import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from callmarket.bridge.server.http.asgi import Application, Receive, Scope, Send
from callmarket.bridge.server.http.http_server import Server, ending_on, listening_socket, url_of


async def nothing(request: Request) -> Response:
    """An empty answer to an empty request, which is read."""
    await request.body()
    return Response(status_code=201)


async def bare(_scope: Scope, _receive: Receive, send: Send) -> None:
    """The least that a server can be asked."""
    await send({"type": "http.response.start", "status": 201, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def serve(which: str) -> None:
    """Until ended."""
    framework = Starlette(routes=[Route("/", nothing, methods=["POST"])])
    server = Server(cast(Application, framework) if which == "starlette" else bare, on_ending=lambda: None)
    listening = listening_socket("127.0.0.1", 0)
    sys.stdout.write(url_of(listening) + "\n")
    sys.stdout.flush()
    async with ending_on((signal.SIGTERM, signal.SIGINT), server.end):
        await server.serve(sockets=[listening])


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
