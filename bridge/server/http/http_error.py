"""What HTTP itself refuses: no such path, a method that is none here, a body that is too large or too slow.

Rule of this file: a status and its words. What the market refuses are errors of its own.
"""

from http import HTTPStatus


class HttpError(Exception):
    """A request that ends with this status, and with these words for people."""

    def __init__(self, status: HTTPStatus, detail: str = "", allow: tuple[str, ...] = ()) -> None:
        super().__init__(detail or status.phrase)
        self.status = status
        self.detail = detail or status.phrase
        self.allow = allow
        """What can be done instead, where the method was none."""
