"""The two ways of running a workflow: in a thread, and in an event loop.

The steps of an operation's workflow are plans, those of a client's are calls.
Rule of this file: nothing depends on the kinds of steps; `perform` carries them out. An error is thrown into the
workflow at the step that caused it, so that the workflow can handle it.
"""

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

from callmarket.bridge.api.errors import ExchangeError

S = TypeVar("S")
T = TypeVar("T")


def run(steps: Generator[S, Any, T], perform: Callable[[S], Any]) -> T:
    """Run a workflow to its end, blocking, and return its result."""
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
    """Run a workflow to its end, awaiting each step, and return its result."""
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
