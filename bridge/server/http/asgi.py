"""The types of ASGI, the protocol between the server and what it serves.

Rule of this file: names for the shapes of the specification (https://asgi.readthedocs.io), nothing else.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# What is known of a request before the application begins with it: whose key it shows, and which place it has.
PRINCIPAL: Final = "callmarket.principal"
PLACE: Final = "callmarket.place"
