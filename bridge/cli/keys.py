"""The commands about API keys: `keys create`, `keys list`, `keys revoke`.

Rule of this file: the commands work on the database itself, with or without servers running. Write access to the
database is the only authorization. A key is printed once, to stdout. Running servers notice a change within a second.
"""

import re
from typing import Annotated, Final

import typer

from callmarket.bridge.access.issue import KeyView, NewKey, issue, new_key, view_of
from callmarket.bridge.access.keyring import insert
from callmarket.bridge.api.clock import system_clock
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.cli import tables
from callmarket.bridge.cli.database import connected
from callmarket.bridge.cli.output import EXIT_WRONG, AsJson, RowsMax, Url, fail, show
from callmarket.persistence.journal.lease import this_process
from callmarket.persistence.stores import api_keys

keys = typer.Typer(
    name="keys",
    help="API keys of the HTTP service: make, list, revoke.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_UNITS_US: Final = {"m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
# Keys that are listed when several match; the others are not needed to see that it was not one.
_SHOWN_MAX: Final = 10
# Many revoked keys may have the same name, and the one that still works is wanted.
_MATCHES_MAX: Final = 1_000
_DURATION: Final = re.compile(r"([0-9]{1,6})([mhd])")


@keys.command(epilog="Example: callmarket keys create --name lab --bid alpha --bid beta --expires 30d")
def create(
    name: Annotated[str, typer.Option("--name", help="A name for it.")],
    bid: Annotated[
        list[str] | None, typer.Option("--bid", help="It may bid for this account; * means any. Repeatable.")
    ] = None,
    offer: Annotated[
        list[str] | None, typer.Option("--offer", help="It may offer slots of this account; * means any. Repeatable.")
    ] = None,
    operate: Annotated[
        bool, typer.Option("--operate", help="It may operate markets: open, call, settle, void.")
    ] = False,
    admin: Annotated[bool, typer.Option("--admin", help="It may do everything, and make keys.")] = False,
    expires: Annotated[str, typer.Option("--expires", help="It expires after this: 90m, 12h or 30d.")] = "",
    rate: Annotated[int, typer.Option("--rate", help="Requests and bids a second.")] = 1_000,
    burst: Annotated[int, typer.Option("--burst", help="Requests at once, and bids of a batch (up to 1,000).")] = 2_000,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Create a key and print it, only this once. It may read everything, and do what the options name."""
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
        fields["expires_at"] = datetime_of(now_us + duration_us("expires", expires))
    asked: NewKey = new_key(fields)
    issued, row = issue(asked, f"command line, {this_process()}", now_us)
    with connected(url, writes=True, asks_tables=False) as (connection, shard_id):
        insert(connection, shard_id, row)
    if not as_json:
        typer.echo(issued.key)
    show({"key": issued.key, "view": issued.view}, as_json, lambda: tables.new_key(issued.view))


@keys.command("list", epilog="Example: callmarket keys list --json")
def list_keys(rows: RowsMax = 100, url: Url = "", as_json: AsJson = False) -> None:
    """List the keys, newest first, and what they may do. The keys themselves are stored nowhere."""
    with connected(url, asks_tables=False) as (connection, shard_id):
        found = _views(api_keys.latest(connection, shard_id, rows))
    show({"keys": found}, as_json, lambda: tables.keys(found))


@keys.command(epilog="Example: callmarket keys revoke 4fQ0")
def revoke(
    key: Annotated[
        str,
        typer.Argument(help="The key's id as `keys list` shows it, its first four characters or more, or its name."),
    ],
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Revoke a key for good. Servers refuse it within a second. Idempotent."""
    with connected(url, writes=True, asks_tables=False) as (connection, shard_id):
        key_id = _the_one(key, api_keys.matching(connection, shard_id, key, _MATCHES_MAX))
        row = api_keys.revoke(connection, shard_id, key_id)
    assert row is not None, "keys are never deleted"
    found = _views([row])
    show(found[0], as_json, lambda: tables.keys(found))


def _the_one(text: str, matches: list[api_keys.KeyRow]) -> str:
    """The id of the only key that matches: among those that were not revoked or, if there are none, among the revoked.

    The text may be a whole key or part of its secret, so an error repeats it only if it matches a key.
    """
    if any(row.key_id == text for row in matches):
        return text
    meant = [row for row in matches if row.revoked_at is None] or matches
    if not meant:
        fail(
            "no key has this id or name, or an id that begins with it (four characters or more): see `keys list`",
            EXIT_WRONG,
        )
    if len(meant) > 1:
        listed = ", ".join(f"{row.key_id} ({row.name})" for row in meant[:_SHOWN_MAX])
        more = ", ..." if len(meant) > _SHOWN_MAX else ""
        raise Invalid("key", text, f"the id of one key; this matches {listed}{more}")
    return meant[0].key_id


def _views(rows: list[api_keys.KeyRow]) -> list[KeyView]:
    now_us = system_clock()
    return [view_of(row, now_us) for row in rows]


def duration_us(field: str, text: str) -> int:
    """The microseconds of a duration as people write it: `90m`, `12h`, `30d`. Raises `Invalid`."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise Invalid(field, text, "a number and m, h or d: 30d")
    return int(found[1]) * _UNITS_US[found[2]]
