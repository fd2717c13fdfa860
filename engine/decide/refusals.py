"""Shared words of refusal and permission.

Rule of this file: no decision about the market; only how one is said.
"""

from callmarket.engine.commands import ADMIN, OPERATOR
from callmarket.engine.events import Events, Rejected
from callmarket.engine.reject import Reject


def refused(reason: Reject, field: str, value: int | str, bound: int | str = "") -> Events:
    """One refusal: the field at fault, its value, and the bound or the fact that it met."""
    return (Rejected(reason, field, value, bound),)


def is_staff(actor: str) -> bool:
    """Whether the actor runs the market."""
    return actor in (ADMIN, OPERATOR)
