"""The commands about API keys: `keys create`, `keys list`, `keys revoke`.

Rule of this file: they work on the database itself, beside the servers or without any; who can reach it is its admin. A
key is printed once, to stdout; servers that run hear of what is done here within a second.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import psycopg
import typer

from bridge.access.issue import KeyView, NewKey, issue, new_key, view_of
from bridge.access.keyring import check_id, insert
from bridge.cli import tables
from bridge.cli.output import EXIT_WRONG, AsJson, RowsMax, Url, config_of, fail, show
from bridge.cli.snapshots import market_database
from bridge.clock import system_clock
from bridge.errors import Invalid
from bridge.units import datetime_of
from persistence import api_keys
from persistence.connections import connect
from persistence.lease import this_process

keys = typer.Typer(
    name="keys",
    help="API keys of the HTTP service: make, list, revoke.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_UNITS_US: Final = {"m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_DURATION: Final = re.compile(r"([0-9]{1,6})([mhd])")


@keys.command(epilog="Example: callmarket keys create --name lab --bid alpha --bid beta --expires 30d")
def create(
    name: Annotated[str, typer.Option("--name", help="What you call it.")],
    bid: Annotated[
        list[str] | None, typer.Option("--bid", help="It may bid for this account; * is any. Repeat.")
    ] = None,
    offer: Annotated[
        list[str] | None, typer.Option("--offer", help="It may offer slots of this account; * is any. Repeat.")
    ] = None,
    operate: Annotated[
        bool, typer.Option("--operate", help="It may run the market: open, call, settle, void.")
    ] = False,
    admin: Annotated[bool, typer.Option("--admin", help="It may do everything, and make keys.")] = False,
    expires: Annotated[str, typer.Option("--expires", help="After 90m, 12h or 30d it works no longer.")] = "",
    rate: Annotated[int, typer.Option("--rate", help="Requests and bids a second.")] = 1_000,
    burst: Annotated[int, typer.Option("--burst", help="Requests at once, and the bids of a batch.")] = 2_000,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once. It may read everything, and what is named here."""
    now_us = system_clock()
    fields: dict[str, object] = {
        "name": name,
        "bid": tuple(bid or ()),
        "offer": tuple(offer or ()),
        "operate": operate,
        "admin": admin,
        "rate_per_s": rate,
        "burst": burst,
    }
    if expires:
        fields["expires_at"] = datetime_of(now_us + _duration_us(expires))
    asked: NewKey = new_key(fields)
    issued, row = issue(asked, f"command line, {this_process()}", now_us)
    with _connected(url) as (connection, shard_id):
        insert(connection, shard_id, row)
    if not as_json:
        typer.echo(issued.key)
    show({"key": issued.key, "view": issued.view}, as_json, lambda: tables.new_key(issued.view))


@keys.command("list", epilog="Example: callmarket keys list --json")
def list_keys(rows: RowsMax = 100, url: Url = "", as_json: AsJson = False) -> None:
    """List the keys, newest first, and what they may do; not the keys themselves, which are nowhere."""
    with _connected(url) as (connection, shard_id):
        found = _views(api_keys.latest(connection, shard_id, rows))
    show({"keys": found}, as_json, lambda: tables.keys(found))


@keys.command(epilog="Example: callmarket keys revoke 4fQ0c1ZtR9aB")
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `keys list` shows it.")],
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Take a key away for good. Servers refuse it within a second."""
    check_id(key_id)
    with _connected(url) as (connection, shard_id):
        row = api_keys.revoke(connection, shard_id, key_id)
    if row is None:
        fail(f"no key {key_id!r}", EXIT_WRONG)
    found = _views([row])
    show(found[0], as_json, lambda: tables.keys(found))


def _views(rows: list[api_keys.KeyRow]) -> list[KeyView]:
    now_us = system_clock()
    return [view_of(row, now_us) for row in rows]


def _duration_us(text: str) -> int:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise Invalid("expires", text, "a number and m, h or d: 30d")
    return int(found[1]) * _UNITS_US[found[2]]


@contextmanager
def _connected(url: str) -> Iterator[tuple[psycopg.Connection, int]]:
    config = config_of(url)
    with market_database(config) as resolved, connect(resolved, "callmarket cli") as connection:
        yield connection, config.shard_id
