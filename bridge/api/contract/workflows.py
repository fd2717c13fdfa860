"""The two ways of waiting for a workflow: by a thread, and in an event loop.

Rule of this file: no step is known here, and what comes of each is somebody else's. An error is thrown in at the step
that it belongs to, so that a workflow can say what it means.
"""

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

from callmarket.bridge.api.errors import ExchangeError

S = TypeVar("S")
T = TypeVar("T")


def run(steps: Generator[S, Any, T], perform: Callable[[S], Any]) -> T:
    """The result of a workflow, blocking."""
    try:
        step = next(steps)
        while True:
            try:
                came_of_it = perform(step)
            except ExchangeError as error:
                step = steps.throw(error)
            else:
                step = steps.send(came_of_it)
    except StopIteration as end:
        result: T = end.value
        return result


async def run_async(steps: Generator[S, Any, T], perform: Callable[[S], Awaitable[Any]]) -> T:
    """The result of a workflow, awaited."""
    try:
        step = next(steps)
        while True:
            try:
                came_of_it = await perform(step)
            except ExchangeError as error:
                step = steps.throw(error)
            else:
                step = steps.send(came_of_it)
    except StopIteration as end:
        result: T = end.value
        return result
