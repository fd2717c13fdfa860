"""Errors of HTTP itself: no such path, a method that is not allowed, a body that is too large or too slow.

Rule of this file: a status and a message. The market's refusals have their own errors.
"""

from http import HTTPStatus


class HttpError(Exception):
    """A request ends with this status and message."""

    def __init__(self, status: HTTPStatus, detail: str = "", allow: tuple[str, ...] = ()) -> None:
        super().__init__(detail or status.phrase)
        self.status = status
        self.detail = detail or status.phrase
        self.allow = allow
        """The allowed methods, if the method was not allowed."""
