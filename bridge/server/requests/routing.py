"""The endpoint of a path and method.

Rule of this file: paths only. A step of a path is a fixed word or a parameter in braces; a word is preferred to a
parameter. A lookup costs one dictionary access for each step, however many paths there are.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Final, Generic, Protocol, TypeVar

from callmarket.bridge.server.http.http_error import HttpError

# More than any path has.
STEPS_MAX: Final = 16
# How many lookups are cached, and how long the path of one may be.
PATHS_KEPT: Final = 1_024
PATH_CHARS_KEPT: Final = 256


class Placed(Protocol):
    """An object that is served at a path."""

    @property
    def method(self) -> str:
        """Its HTTP method."""

    @property
    def template(self) -> str:
        """Its path, with parameters in braces."""


E = TypeVar("E", bound=Placed)


class _Node(Generic[E]):
    """A step of a path: the steps that may follow it, and the endpoints whose path ends here, by method."""

    def __init__(self) -> None:
        self.words: Final[dict[str, _Node[E]]] = {}
        self.name: _Node[E] | None = None
        self.here: Final[dict[str, tuple[E, tuple[str, ...]]]] = {}


class Router(Generic[E]):
    """Endpoints by path and method."""

    def __init__(self, endpoints: Iterable[E]) -> None:
        """Route to these. No two have the same path and method."""
        self.endpoints: Final = tuple(endpoints)
        self._root: Final[_Node[E]] = _Node()
        for endpoint in self.endpoints:
            self._add(endpoint)
        # The same paths are requested again and again.
        self._kept: Final = lru_cache(PATHS_KEPT)(self._find)

    def _add(self, endpoint: E) -> None:
        node, names = self._root, []
        for step in endpoint.template.strip("/").split("/"):
            if step.startswith("{"):
                names.append(step[1:-1])
                node.name = node.name or _Node()
                node = node.name
            else:
                node = node.words.setdefault(step, _Node())
        assert endpoint.method not in node.here, (endpoint.method, endpoint.template)
        node.here[endpoint.method] = endpoint, tuple(names)

    def find(self, method: str, path: str) -> tuple[E, Mapping[str, str]]:
        """The endpoint of a path, and its parameters by name. Raises `HttpError`: 404, or 405 for another method."""
        return self._kept(method, path) if len(path) <= PATH_CHARS_KEPT else self._find(method, path)

    def _find(self, method: str, path: str) -> tuple[E, Mapping[str, str]]:
        found = self._walk(self._root, path.strip("/").split("/", STEPS_MAX), ())
        if found is None:
            raise HttpError(HTTPStatus.NOT_FOUND)
        node, values = found
        here = node.here.get(method)
        if here is None:
            allow = (*node.here, "HEAD") if "GET" in node.here else tuple(node.here)
            raise HttpError(HTTPStatus.METHOD_NOT_ALLOWED, allow=allow)
        endpoint, names = here
        return endpoint, dict(zip(names, values, strict=True))

    def _walk(
        self, node: _Node[E], steps: list[str], values: tuple[str, ...]
    ) -> tuple[_Node[E], tuple[str, ...]] | None:
        for at, step in enumerate(steps):
            following = node.words.get(step)
            if following is not None:
                if node.name is not None:
                    # A parameter may stand here too: try the word first.
                    found = self._walk(following, steps[at + 1 :], values)
                    if found is not None:
                        return found
                else:
                    node = following
                    continue
            if node.name is None or not step:
                return None
            node, values = node.name, (*values, step)
        return (node, values) if node.here else None
