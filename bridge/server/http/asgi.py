"""The types of ASGI, the protocol between the server and what it serves.

Rule of this file: only names for the types of the specification (https://asgi.readthedocs.io).
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# Keys of a scope, set before the application begins: the principal of the request's key, and the place that it has.
PRINCIPAL: Final = "callmarket.principal"
PLACE: Final = "callmarket.place"
