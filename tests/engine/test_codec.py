"""Canonical bytes, the checks of shape, and the chain of digests.

Goal: one value has one encoding, every constraint of every field of every command is enforced and named, and the digest
is the documented formula. Method: the constraints are read from the declared types, and each is broken once; the
digest is computed again from its description.
"""

import decimal
import enum
import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from callmarket.engine import limits
from callmarket.engine.codec import (
    GENESIS_DIGEST,
    ShapeError,
    chain,
    check_names,
    check_shape,
    decode_command,
    decode_events,
    decode_proved,
    encode,
    seal,
)
from callmarket.engine.commands import AmendBid, CancelBid, Command, Entry, ExpireDue, Mint, OpenAccount, PlaceBid
from callmarket.engine.events import Repeated, SweepFinished
from tests.support.samples import COMMANDS, EVENTS

Kind = msgspec.inspect.Type


class Colour(enum.Enum):
    """An enumeration whose value is a fine name."""

    RED = "red"


def fields() -> Iterator[tuple[Command, str, Kind, bool]]:
    """Every field of every command with its type, and whether it may be None."""
    for command in COMMANDS:
        info = msgspec.inspect.type_info(type(command))
        assert isinstance(info, msgspec.inspect.StructType)
        for field in info.fields:
            kinds = field.type.types if isinstance(field.type, msgspec.inspect.UnionType) else (field.type,)
            (kind,) = [one for one in kinds if not isinstance(one, msgspec.inspect.NoneType)]
            yield command, field.name, kind, len(kinds) > 1


def broken(kind: Kind) -> Iterator[tuple[Any, str]]:
    """Values that break each constraint of a type, with what the refusal must say of the bound."""
    yield ["a"], "`array`"
    yield True, "`bool`"
    match kind:
        case msgspec.inspect.IntType(ge=int(least), le=int(most)):
            yield from ((value, f">= {least}") for value in (least - 1, -(10**30)))
            yield from ((value, f"<= {most}") for value in (most + 1, 2**64, 10**30))
            yield from ((value, "`int") for value in ("7", 7.0, 7.5))
        case msgspec.inspect.StrType(min_length=shortest, max_length=int(longest), pattern=str(pattern)):
            if shortest:
                yield "", f"length >= {shortest}"
            yield "a" * (longest + 1), f"length <= {longest}"
            texts = ("a b", "é", "a\n", "\n", "a\x00b", "\x7f", "A b", "\u2028")
            yield from ((text, repr(pattern)) for text in texts if not re.search(pattern, text))
            yield "\ud800", "JSON can carry"
            yield 7, "`str`"
        case msgspec.inspect.LiteralType(values=values):
            yield from ((value, "one of ") for value in ("other", "", f"{values[0]} ", str(values[0]).upper()))
            yield 7, "`str`"
        case _:
            raise AssertionError(f"this test does not know such a field: {kind}")


def edges(kind: Kind) -> Iterator[Any]:
    """Values that a type just allows."""
    match kind:
        case msgspec.inspect.IntType(ge=least, le=most):
            yield from (least, most)
        case msgspec.inspect.StrType(min_length=shortest, max_length=int(longest)):
            yield from ("a" * (shortest or 0), "a" * longest) if shortest else ("a" * longest,)
        case msgspec.inspect.LiteralType(values=values):
            yield from values
        case _:
            raise AssertionError(f"this test does not know such a field: {kind}")


def changed(command: Command, field: str, value: Any) -> Command:
    return msgspec.structs.replace(command, **{field: value})


FIELDS = list(fields())
NAMES = [f"{type(command).__name__}.{field}" for command, field, _, _ in FIELDS]


@pytest.mark.parametrize(("command", "field", "kind", "optional"), FIELDS, ids=NAMES)
def test_a_broken_constraint_names_the_field_its_value_and_its_bound(
    command: Command, field: str, kind: Kind, optional: bool
) -> None:
    """Every constraint of every field of every command, where it is built in Python."""
    cases = [*broken(kind), *([] if optional else [(None, "`null`")])]
    assert len(cases) >= 6
    for value, bound in cases:
        with pytest.raises(ShapeError) as refusal:
            check_shape(changed(command, field, value))
        assert refusal.value.field == field
        assert refusal.value.value is value
        assert bound in refusal.value.bound, (value, refusal.value.bound)
        assert str(refusal.value).startswith(f"{field}: expected ")
        assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(("command", "field", "kind", "optional"), FIELDS, ids=NAMES)
def test_what_a_digest_has_proved_is_not_bounded_again(
    command: Command, field: str, kind: Kind, optional: bool
) -> None:
    """A bound that is narrowed one day makes no journal unreadable; types and fields are checked all the same."""
    wrong = [(value, bound) for value, bound in broken(kind) if value != "\ud800"]
    for value, bound in wrong:
        written = json.dumps(json.loads(encode(command)) | {field: value}).encode()
        is_of_type = type(value) is (int if isinstance(kind, msgspec.inspect.IntType) else str)
        if is_of_type and not isinstance(kind, msgspec.inspect.LiteralType):
            found = decode_proved(written)
            assert (type(found), getattr(found, field)) == (type(command), value), bound
        elif type(value) is not float:
            with pytest.raises(msgspec.ValidationError, match=re.escape(f"$.{field}")):
                decode_proved(written)


@pytest.mark.parametrize(("command", "field", "kind", "optional"), FIELDS, ids=NAMES)
def test_a_broken_constraint_is_refused_in_bytes_too(command: Command, field: str, kind: Kind, optional: bool) -> None:
    """What comes as JSON never meets `check_shape`: the decoder holds the same bounds."""
    for value, _ in broken(kind):
        if value == "\ud800":
            continue
        written = json.loads(encode(command)) | {field: value}
        with pytest.raises(msgspec.ValidationError, match=re.escape(f"$.{field}")):
            decode_command(json.dumps(written))


@pytest.mark.parametrize(("command", "field", "kind", "optional"), FIELDS, ids=NAMES)
def test_the_edges_of_a_constraint_are_inside(command: Command, field: str, kind: Kind, optional: bool) -> None:
    for value in [*edges(kind), *([None] if optional else [])]:
        allowed = changed(command, field, value)
        check_shape(allowed)
        assert decode_command(encode(allowed)) == allowed


def test_a_reason_is_lower_case_parts_joined_by_colons() -> None:
    """LED-4: lower case, parts joined by colons, none of them empty."""
    for reason in ("x", "earn:debate", "earn:debate:second_round.v2-a", "a1"):
        check_shape(Mint("a", 1, reason))
    for reason in ("", "Earn", "earn:", ":earn", "earn::x", "1x", "earn debate", "earn:debate\n"):
        with pytest.raises(ShapeError):
            check_shape(Mint("a", 1, reason))


@pytest.mark.parametrize(
    "value",
    [uuid.UUID(int=5), datetime(2020, 1, 1, tzinfo=UTC), decimal.Decimal(5), b"abc", Colour.RED],
    ids=lambda value: type(value).__name__,
)
def test_values_that_json_would_coerce_are_refused(value: object) -> None:
    """The live engine would keep the object, and the one that recovers from the journal the text."""
    with pytest.raises(ShapeError) as refusal:
        check_shape(OpenAccount(value, "agent"))  # type: ignore[arg-type]
    assert refusal.value.field == "account_id"
    assert str(refusal.value).startswith("account_id: expected a plain str, got ")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_float_that_json_writes_as_null_is_refused(value: float) -> None:
    with pytest.raises(ShapeError) as refusal:
        check_shape(AmendBid(1, max_price_tokens=value))  # type: ignore[arg-type]
    assert refusal.value.field == "max_price_tokens"


@pytest.mark.parametrize("command_id", [None, 0, False])
def test_a_command_id_is_text(command_id: object) -> None:
    """IDM-1: none is the empty text and nothing else."""
    with pytest.raises(ShapeError):
        check_names("a", command_id)  # type: ignore[arg-type]


def test_a_closed_list_of_values_is_named_in_its_declared_order() -> None:
    with pytest.raises(ShapeError, match=re.escape("kind: expected one of agent, quest, provider, got 'other'")):
        check_shape(OpenAccount("a", "other"))  # type: ignore[arg-type]


def test_long_values_are_shown_short() -> None:
    with pytest.raises(ShapeError) as refusal:
        check_shape(CancelBid("x" * 10_000))  # type: ignore[arg-type]
    assert str(refusal.value) == f"bid_id: expected `int`, got `str`, got '{'x' * 76}..."
    with pytest.raises(ShapeError, match=f"got '{'x' * 78}'$"):
        check_shape(CancelBid("x" * 78))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "a b", "a\n", "é", "a" * 129, 7, None, "\ud800"])
def test_an_actor_and_a_command_id_are_names(name: Any) -> None:
    """IDM-1: a command id is 1 to 128 visible ASCII characters; so is an actor."""
    with pytest.raises(ShapeError) as refusal:
        check_names(name, "k")
    assert refusal.value.field == "actor"
    if name:
        with pytest.raises(ShapeError) as refusal:
            check_names("a", name)
        assert (refusal.value.field, refusal.value.value) == ("command_id", name)


def test_a_command_id_may_be_left_out() -> None:
    """IDM-1."""
    check_names("a", "")
    check_names("~" * limits.NAME_CHARS_MAX, "!" * limits.NAME_CHARS_MAX)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        '{"type":"expire"}',
        '{"type":7}',
        '{"type":"expire_due","now":5}',
        '{"type":"expire_due"} {}',
        '{"type":"cancel_bid"}',
        '{"type":"cancel_bid","bid_id":1e3}',
        '{"type":"cancel_bid","bid_id":1.0}',
        '{"type":"cancel_bid","bid_id":NaN}',
    ],
)
def test_bytes_that_are_no_command_are_refused(text: str) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_command(text)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: type(one).__name__)
def test_a_command_has_one_encoding(command: Command) -> None:
    """Whatever order, spacing or spelling it arrived in; what is left out is written with its default."""
    written = json.loads(encode(command))
    assert list(written) == ["type", *command.__struct_fields__]
    shuffled = json.dumps(dict(reversed(written.items())), indent=3)
    assert encode(decode_command(shuffled)) == encode(command)
    check_shape(command)
    assert decode_command(encode(command).decode()) == command


def test_an_omitted_field_is_written_with_its_default() -> None:
    short = '{"type":"place_bid","market_id":"m","bidder_id":"a","task_id":"t","max_price_tokens":5}'
    assert encode(decode_command(short)) == encode(PlaceBid("m", "a", "t", 5, 0, None, "round"))


def test_events_come_back_as_they_went() -> None:
    assert decode_events(encode(EVENTS)) == EVENTS


def test_the_digest_is_the_documented_formula() -> None:
    """SHA-256 of previous || `seq|at_us|rules|actor|command_id|` || command || events, computed here from scratch."""
    entry = Entry(7, 1_234_567, "alice", ExpireDue(), "k-1")
    events = (SweepFinished(1, 2, 3, False), Repeated(4))
    previous = bytes(range(32))
    row = seal(previous, entry, events, rules=9)
    text = (
        b"7|1234567|9|alice|k-1|"
        b'{"type":"expire_due"}'
        b'[{"type":"sweep_finished","bids_lost":1,"bids_expired":2,"awards_lapsed":3,"more_due":false,"holds_expired":0,'
        b'"orders_ended":0,"positions_paid":0},'
        b'{"type":"repeated","first_seq":4}]'
    )
    assert row.digest == hashlib.sha256(previous + text).digest()
    assert (row.entry, row.events, row.rules) == (entry, events, 9)
    assert row.command_json + row.events_json == text[len(b"7|1234567|9|alice|k-1|") :]


def test_the_chain_begins_with_zeros_and_the_present_rules() -> None:
    assert bytes(32) == GENESIS_DIGEST
    assert seal(GENESIS_DIGEST, Entry(1, 0, "a", ExpireDue()), ()).rules == limits.RULES


@pytest.mark.parametrize(
    "other",
    [
        Entry(8, 1_234_567, "alice", ExpireDue(), "k-1"),
        Entry(7, 1_234_568, "alice", ExpireDue(), "k-1"),
        Entry(7, 1_234_567, "alicf", ExpireDue(), "k-1"),
        Entry(7, 1_234_567, "alice", ExpireDue(), ""),
        Entry(7, 1_234_567, "alice", CancelBid(1), "k-1"),
    ],
)
def test_every_part_of_a_row_is_in_its_digest(other: Entry) -> None:
    entry, events = Entry(7, 1_234_567, "alice", ExpireDue(), "k-1"), (Repeated(4),)
    digest = seal(GENESIS_DIGEST, entry, events).digest
    assert seal(GENESIS_DIGEST, other, events).digest != digest
    assert seal(GENESIS_DIGEST, entry, (Repeated(5),)).digest != digest
    assert seal(GENESIS_DIGEST, entry, events, rules=limits.RULES + 1).digest != digest
    assert seal(digest, entry, events).digest != digest


def test_a_digest_can_be_computed_from_the_stored_columns() -> None:
    """What an auditor does: the bytes as stored, without decoding them."""
    row = seal(GENESIS_DIGEST, Entry(1, 5, "a", COMMANDS[3]), EVENTS)
    assert chain(GENESIS_DIGEST, row.entry, row.rules, row.command_json, row.events_json) == row.digest


@pytest.mark.parametrize("data", [b"\xff", b'{"type":"\xff"}', b'{"type":"withdraw_slot","slot_id":"\xff"}'])
def test_text_that_is_not_utf8_is_refused(data: bytes) -> None:
    """As `decode_command` says: with an error of msgspec, which the edges catch."""
    with pytest.raises(msgspec.MsgspecError):
        decode_command(data)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_proved_bytes_decode_as_checked_ones_do(command: Command) -> None:
    """Without a second look at ranges and patterns, and to the very same command."""
    again = decode_proved(encode(command))
    assert type(again) is type(command)
    assert again == command == decode_command(encode(command))
    # Of older rows, which lack the fields that came later: what has a default is left out here.
    required = {field.name for field in msgspec.structs.fields(type(command)) if field.required}
    short = {name: value for name, value in msgspec.to_builtins(command).items() if name in {"type", *required}}
    assert decode_proved(encode(short)) == decode_command(encode(short))  # type: ignore[arg-type]


def test_proved_bytes_have_the_types_and_fields_of_a_command() -> None:
    """Only ranges and patterns are taken on trust, so the engine never meets a value of another kind."""
    odd = PlaceBid("m", "a name of old", "t", 0)
    assert decode_proved(encode(odd)) == odd
    with pytest.raises(msgspec.ValidationError):
        decode_command(encode(odd))
    good = encode(PlaceBid("m", "a", "t", 7))
    for wrong in (
        good.replace(b":7", b':"7"'),
        good.replace(b":7", b":7.5"),
        good.replace(b":7", b":null"),
        good.replace(b":7", b':7,"more":1'),
        good.replace(b"place_bid", b"place_bet"),
        good.replace(b'"max_price_tokens":7,', b""),
        good.removesuffix(b"}"),
        good.replace(b'"t"', b'"\xff"'),
    ):
        assert wrong != good
        with pytest.raises(msgspec.DecodeError):
            decode_proved(wrong)
