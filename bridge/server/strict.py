"""How the framework reads bodies: strictly, as the hot route does.

Rule of this file: a number is a number. By itself the framework takes "10" for 10, in a body too; where tokens are
counted, that is a client's mistake that should be told.
"""

from typing import Any

import msgspec
from litestar import Request


class StrictRequest(Request[Any, Any, Any]):
    """A request whose JSON body is decoded as what its route declares, or refused."""

    async def body(self) -> bytes:
        """The body, which cannot be empty: only routes that take one ask for it. Raises `msgspec.DecodeError`."""
        body = await super().body()
        # The decoder's own words for it.
        return body or msgspec.json.decode(body)

    async def json(self) -> Any:
        """What the route declares. Raises `msgspec.MsgspecError`."""
        declared = self.route_handler.parsed_data_field
        assert declared is not None, self.route_handler
        return msgspec.json.decode(await self.body(), type=declared.annotation)
