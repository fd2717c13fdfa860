"""Whether a request may begin: what the connections of a server ask before they begin with one.

Rule of this file: the question alone. Who answers it for the market is `gateway`.
"""

from typing import Protocol

from callmarket.bridge.api.http.problem import Problem
from callmarket.bridge.server.http.asgi import Scope
from callmarket.bridge.server.http.glance import Glanced


class Admission(Protocol):
    """Where requests are let in, or told to come back."""

    def admit(self, scope: Scope, *, is_whole: bool) -> Problem | None:
        """Whether a request may begin, given whether all of it is there; else what to answer. It notes whose it is."""

    @property
    def is_crowded(self) -> bool:
        """Whether somebody who comes now may be turned away, so that it pays to look before reading."""

    def turns_away(self, glanced: Glanced, *, is_late: bool) -> bool:
        """Whether a request is not to be read, but told to come back.

        `is_late`: more waits to be read than there is time for.
        """

    def new_id(self) -> str:
        """The id of a request that has none."""


class AdmitAll:
    """Lets every request begin."""

    def admit(self, scope: Scope, *, is_whole: bool) -> Problem | None:  # noqa: ARG002 -- as `Admission`
        """Nothing is known of it, and it may."""
        return None

    @property
    def is_crowded(self) -> bool:
        """Never."""
        return False

    def turns_away(self, glanced: Glanced, *, is_late: bool) -> bool:  # noqa: ARG002 -- as `Admission`
        """It is read."""
        return False

    def new_id(self) -> str:
        """None is needed."""
        return ""
