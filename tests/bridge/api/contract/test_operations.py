"""Every operation is declared once, and each way to a market has it by that declaration.

Goal: what can be asked of the engine can be asked of a market, and no way offers another thing under the same name.
Method: the declarations themselves, beside the engine's union of commands and the four classes.
"""

import asyncio
import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
import pytest
from msgspec import Meta

from callmarket import AsyncClient, AsyncExchange, Client, Exchange, Invalid
from callmarket.bridge.api import operations
from callmarket.bridge.api.contract.declaration import REQUIRED, Acting, Body, Declaration, InQuery, Wire
from callmarket.bridge.api.contract.operation import Command, Operation, Submit, Workflow
from callmarket.bridge.api.contract.workflows import run, run_async
from callmarket.bridge.api.errors import ExchangeError, Unavailable
from callmarket.bridge.api.market import AsyncMarket, Market, all_operations
from callmarket.engine import commands
from callmarket.engine.commands import BeginHistory, BindHolds

OPERATIONS = list(all_operations())
CONTRACT_TESTS = Path(__file__).parents[3] / "contract"
CONTRACT = "\n".join(path.read_text(encoding="utf-8") for path in CONTRACT_TESTS.glob("test_*.py"))
BY_NAME = {one.name: one for one in OPERATIONS}
# What no caller asks for by itself: binding is a step of spending, and a history is begun by `callmarket accept-loss`.
NOT_ASKED_FOR = {BindHolds, BeginHistory}

each = pytest.mark.parametrize("operation", OPERATIONS, ids=[one.name for one in OPERATIONS])


def made_by(operation: Operation[..., Any]) -> set[type]:
    """The commands that an operation names in its code or in that of the functions beside it."""
    source = inspect.getsource(inspect.getmodule(operation.plan))  # type: ignore[arg-type]
    return {kind for kind in get_args(commands.Command) if f"commands.{kind.__name__}(" in source}


def test_every_command_of_the_engine_has_an_operation() -> None:
    made = set().union(*(made_by(operation) for operation in OPERATIONS))
    assert set(get_args(commands.Command)) - made == NOT_ASKED_FOR - {BindHolds}


def test_each_that_is_declared_is_in_the_list() -> None:
    """One that its file forgot to name as a method would be offered by no way, with all else in place."""
    folder = Path(operations.__file__).parent
    files = [file.relative_to(folder).with_suffix("") for file in sorted(folder.rglob("[!_]*.py"))]
    modules = [import_module(".".join((operations.__name__, *file.parts))) for file in files]
    declared = {one.name for module in modules for one in vars(module).values() if isinstance(one, Operation)}
    assert declared == set(BY_NAME)


@pytest.mark.parametrize("name", BY_NAME)
def test_each_operation_is_called_by_a_test_of_the_contract(name: str) -> None:
    """So that what is new is tried in a process and over HTTP, blocking and awaited."""
    assert re.search(rf"\.{name}\b|\b{name}\(", CONTRACT)


def test_each_operation_is_listed_once() -> None:
    assert len(BY_NAME) == len(OPERATIONS)
    places = [(one.method, re.sub(r"{\w+}", "{}", one.path)) for one in OPERATIONS]
    assert len(set(places)) == len(places)


@each
def test_every_kind_of_market_shares_the_one_declaration(operation: Operation[..., Any]) -> None:
    for way in (Exchange, AsyncExchange, Client, AsyncClient, Market, AsyncMarket):
        assert getattr(way, operation.name) is operation


@each
def test_the_acting_account_is_not_a_field_of_a_body(operation: Operation[..., Any]) -> None:
    """The key says it, or a header."""
    for one in operation.fields:
        assert one.name != operation.payer
        assert not any(mark is Acting for mark in get_args(one.kind))


@each
def test_every_argument_has_a_bound_on_the_wire(operation: Operation[..., Any]) -> None:
    for one in operation.parameters:
        if one.where in ("path", "query", "body"):
            text = str(msgspec.json.schema(one.kind))
            assert re.search("maxLength|maximum|maxItems|enum|format|boolean", text), (operation.name, one.name, text)


@each
def test_every_operation_is_documented_in_sentences(operation: Operation[..., Any]) -> None:
    assert operation.summary
    assert operation.doc.partition("\n")[0].strip()
    assert operation.__doc__ == operation.plan.__doc__


@each
def test_a_method_shows_the_signature_of_its_operation(operation: Operation[..., Any]) -> None:
    """For `help` and editors: the arguments of the declaration, and what comes back."""

    class Way(Market):
        def perform(self, operation: Any, args: Any, kwargs: Any) -> Any:
            return operation.name, args, dict(kwargs)

    method = getattr(Way(), operation.name)
    shown = inspect.signature(method)
    assert list(shown.parameters) == list(inspect.signature(operation.plan).parameters)
    assert shown.return_annotation == operation.result
    assert method("x", y=1) == (operation.name, ("x",), {"y": 1})


# --- declarations --------------------------------------------------------------------------------------------------


def declared(function: Any, method: Any = "POST", path: str = "/things/{thing_id}") -> Declaration:
    return Declaration(function, method, path, "Things", "Do")


def test_where_each_argument_goes() -> None:
    half_of_it = Annotated[int, Wire(float, encode=lambda n: n / 2, decode=lambda n: int(n * 2), suffix="_halves")]

    def do(
        thing_id: Annotated[str, Meta(max_length=3)],
        account_id: Annotated[str, Acting],
        size: Annotated[int, Meta(ge=1)],
        half: half_of_it = 4,
        now: Annotated[int, InQuery] | None = None,
        *,
        command_id: str = "",
    ) -> None:
        """Do it.

        More words.
        """

    made = declared(do)
    assert {one.name: one.where for one in made.parameters} == {
        "thing_id": "path",
        "account_id": "account",
        "size": "body",
        "half": "body",
        "now": "query",
        "command_id": "header",
    }
    assert made.body is not None
    assert issubclass(made.body, Body)
    assert made.body.__name__ == "DoBody"
    assert made.body.__doc__ == "Do it."
    assert msgspec.json.decode(b'{"size": 1}', type=made.body) == made.body(size=1, half_halves=2.0)
    (half,) = (one for one in made.fields if one.name == "half")
    assert (half.wire_name, half.written(6), half.read(3.0), half.is_required) == ("half_halves", 3.0, 6, False)
    assert (made.payer, made.has_command_id, made.headers) == ("account_id", True, ())
    assert made.account is not None
    assert made.account.default is REQUIRED
    for wrong in (b'{"size": 0}', b'{"size": 1, "sise": 1}', b'{"half": 1}', b"{}"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(wrong, type=made.body)


def test_the_acting_account_may_be_in_the_path() -> None:
    def do(thing_id: Annotated[str, Acting], other: Annotated[str, Acting] = "~") -> None:
        """Do it."""

    made = declared(do)
    assert [one.where for one in made.parameters] == ["path", "account"]
    assert made.payer == "thing_id"
    assert made.given(("x",), {}) == {"thing_id": "x", "other": "~"}
    with pytest.raises(TypeError):
        made.given((), {"thing": "x"})


def test_a_question_has_no_body() -> None:
    def do(thing_id: str, size: int = 1) -> None:
        """Do it."""

    made = declared(do, "GET")
    assert made.body is None
    assert [one.name for one in made.queries] == ["size"]


# --- plans ---------------------------------------------------------------------------------------------------------


def test_a_plan_is_checked_and_does_nothing() -> None:
    plan = BY_NAME["mint"].plan("a", 5, "grant:x", command_id="once")
    assert isinstance(plan, Command)
    assert plan.request.command_id == "once"
    with pytest.raises(Invalid, match="amount_tokens"):
        BY_NAME["mint"].plan("a", 0, "grant:x")


def test_a_workflow_is_not_a_single_request() -> None:
    with pytest.raises(AssertionError, match="clear_round is not a single request"):
        BY_NAME["clear_round"].request("m")


class Failed(Unavailable):
    """Of a step."""


def steps() -> Any:
    """Two steps, of which the second may fail."""
    one = yield "one"
    try:
        two = yield "two"
    except Failed as error:
        two = f"not {error}"
    return one, two


async def _as_async(perform: Any, step: Any) -> Any:
    return perform(step)


@pytest.mark.parametrize("fails", [False, True])
def test_run_and_run_async_throw_an_error_in_at_its_step(fails: bool) -> None:
    def perform(step: str) -> str:
        if fails and step == "two":
            raise Failed(step)
        return step.upper()

    expected = ("ONE", "not two" if fails else "TWO")
    assert run(steps(), perform) == expected
    assert asyncio.run(run_async(steps(), lambda step: _as_async(perform, step))) == expected


def test_an_error_that_a_workflow_does_not_expect_ends_it() -> None:
    def perform(step: str) -> str:
        raise ExchangeError(step)

    with pytest.raises(ExchangeError, match="one"):
        run(steps(), perform)


def test_spending_binds_before_it_records() -> None:
    """HLD-8: the steps, in their order; a spending that is there already binds nothing."""
    plan = BY_NAME["record_resource_spending"].plan("h", 5, "task", "t")
    assert isinstance(plan, Workflow)
    next(plan.steps)
    binding = plan.steps.send(None)
    assert isinstance(binding, Submit)
    assert binding.as_written
    assert [type(one.command) for one in binding.requests] == [BindHolds, BindHolds]
    again = BY_NAME["record_resource_spending"].plan("h", 5, "task", "t")
    assert isinstance(again, Workflow)
    next(again.steps)
    with pytest.raises(StopIteration) as end:
        again.steps.send("recorded before")
    assert end.value.value == "recorded before"
