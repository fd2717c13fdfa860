"""Admission: the connections of a server ask it before they begin a request.

Rule of this file: only the interface. `gateway` implements it for the market.
"""

from typing import Protocol

from callmarket.bridge.api.http.problem import Problem
from callmarket.bridge.server.http.asgi import Scope
from callmarket.bridge.server.http.glance import Glanced


class Admission(Protocol):
    """Decides which requests may begin, and which are refused and told to try again later."""

    def admit(self, scope: Scope, *, is_whole: bool) -> Problem | None:
        """None if a request may begin; else the problem to answer with. `is_whole`: all of its body is there.

        It stores the principal and the place of the request in `scope`, if they are known.
        """

    @property
    def is_crowded(self) -> bool:
        """Whether some requests may be turned away now, so that it pays to glance at them before parsing."""

    def turns_away(self, glanced: Glanced, *, is_late: bool) -> bool:
        """Whether a request is refused without being parsed.

        `is_late`: more bytes wait to be read than there is time for.
        """

    def new_id(self) -> str:
        """A new id, for a request without one."""


class AdmitAll:
    """Lets every request begin."""

    def admit(self, scope: Scope, *, is_whole: bool) -> Problem | None:  # noqa: ARG002 -- as `Admission`
        """None: every request may begin."""
        return None

    @property
    def is_crowded(self) -> bool:
        """False: no request is turned away."""
        return False

    def turns_away(self, glanced: Glanced, *, is_late: bool) -> bool:  # noqa: ARG002 -- as `Admission`
        """False: every request is read."""
        return False

    def new_id(self) -> str:
        """An empty id, as no request is turned away."""
        return ""
