"""Every setting, named once, from the environment or a file.

Rule of this file: a setting has a name, a default, a bound and a reason; a wrong one is refused by its name, and one
that nobody knows is refused too. Nothing else in the project reads settings from the environment.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from callmarket.bridge.api.contract.queries import SUBSIDY_TOKENS_MAX
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.names import expected_in_words
from callmarket.engine.capital.limits import SUBSIDY_TOKENS_MAX as SUBSIDY_MOST
from callmarket.engine.limits import BIDS_PER_BIDDER_MAX, TOKENS_MAX

PREFIX: Final = "CALLMARKET_"
# Names the file; not a setting, for it cannot stand in one.
FILE_VARIABLE: Final = PREFIX + "CONFIG"
# Settings of the test suite, which are none of the market's.
_FOREIGN_PREFIX: Final = "CALLMARKET_TEST_"
# Every setting twice over, with comments.
_FILE_BYTES_MAX: Final = 65_536

# Settings whose values are never shown: a URL may hold a password.
SECRETS: Final = frozenset({"database_url"})
NOT_SHOWN: Final = "(not shown)"

Source = str
"""Where a value comes from: `default`, the name of a variable, `line 3 of FILE`, or `command line`."""


# See the settings of these names.
CHANGES_WAITING_MAX: Final = 256
LLM_TOKENS_PER_TOKEN: Final = 1


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings. Each field is read from `CALLMARKET_` and its name in capitals, or from the file by its name."""

    database_url: str = ""
    """A PostgreSQL of yours, 14 or newer. Empty: a private one is started (see `home`)."""

    home: str = ""
    """Where the private PostgreSQL keeps its data. Empty: the usual place for application data."""

    shard_id: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    """Which shard of the database this engine is. One engine runs one shard."""

    queue_rows_max: Annotated[int, Meta(ge=1, le=10_000_000)] = 200_000
    """Rows that may wait for the database before commands are refused: five seconds of full load, some 400 MB."""

    outage_limit_s: Annotated[float, Meta(ge=0, le=86_400)] = 300.0
    """How long the database may be unavailable before the engine gives up: after that an operator should decide."""

    tables_lag_rows_max: Annotated[int, Meta(ge=1, le=1_000_000_000)] = 1_000_000
    """How many rows the SQL tables may be behind the journal before commands are refused: half a minute of catching
    up."""

    tables_lag_limit_s: Annotated[float, Meta(gt=0, le=86_400)] = 300.0
    """How long a row of the journal may wait for the SQL tables before commands are refused: as long as the database
    may be unavailable."""

    ack_timeout_s: Annotated[float, Meta(gt=0, le=3_600)] = 30.0
    """How long a caller waits for its command to be durable before it is told that the outcome is unknown."""

    address: Annotated[str, Meta(max_length=300)] = ""
    """The way to this process, for clients that ask another while this one leads. Empty: its process id and host."""

    lease_s: Annotated[float, Meta(ge=0.5, le=3_600)] = 5.0
    """A leader that does not renew its lease for this long is taken for dead by its standbys. It renews five times
    as often, or five times a second."""

    clock_leap_s_max: Annotated[float, Meta(ge=1, le=3_600)] = 5.0
    """Up to so much the clocks of the machine and of the database may differ, from each other and from the time that
    has passed. Beyond it the time is not believed: nothing is taken, and nothing expires."""

    snapshots_kept: Annotated[int, Meta(ge=1, le=1_000)] = 3
    """How many snapshots are kept: two may turn out damaged, and recovery still need not begin at the first row."""

    snapshots_folder: str = ""
    """Where snapshots are kept as files. Empty: in the database, beside the journal."""

    marks_folder: str = ""
    """Where each process keeps the last row that it acknowledged, outside the database: a journal that has less has
    gone back, and is not led. Empty: `marks` in the home. On this machine, for every batch is written there first."""

    host: Annotated[str, Meta(min_length=1, max_length=253)] = "127.0.0.1"
    """Where the service listens. The default is this machine alone; anything else belongs behind TLS."""

    port: Annotated[int, Meta(ge=0, le=65_535)] = 8321
    """The port of the service; 0 takes a free one."""

    changes_waiting_max: Annotated[int, Meta(ge=1, le=100_000)] = CHANGES_WAITING_MAX
    """Requests that change the market and may be under way in the service at a time; more are refused and told when to
    come back. One key may have as many as are still free: alone, half of them. Beyond some hundred nothing gets faster:
    a batch of the journal is large enough, and all only wait longer than their clients do."""

    connections_per_address_max: Annotated[int, Meta(ge=1, le=4_096)] = 1_024
    """Connections that one address may have open, of the 4,096 that the service takes; of IPv6 a network of 64 bits
    counts as one. 4096: no such bound."""

    proxy_addresses: Annotated[str, Meta(max_length=1_000)] = "127.0.0.0/8,::1"
    """Addresses, and networks, from which many come: of proxies, and of this machine. The bound is not for them. What
    such a proxy says of its clients (X-Forwarded-For) is not read: it has to bound them itself."""

    snapshot_every_s: Annotated[float, Meta(ge=0, le=604_800)] = 300.0
    """How often the service has a snapshot taken, by a process of its own; 0 for never."""

    llm_tokens_per_token: Annotated[int, Meta(ge=1, le=1_000_000)] = LLM_TOKENS_PER_TOKEN
    """The exchange rate: how many tokens of a language model one token of the market is worth. Budgets for research are
    shown in both."""

    subsidy_tokens_max: Annotated[int, Meta(ge=1, le=SUBSIDY_MOST)] = SUBSIDY_TOKENS_MAX
    """How many tokens the market of an artifact may be opened with: what its market maker can lose."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What the service and the process that takes snapshots log: `debug` tells every request, `info` those that change
    something or fail."""

    log_format: Literal["auto", "json", "console"] = "auto"
    """How a log line looks. `auto`: for a person on a terminal, else JSON, one object a line."""

    log_requests_per_s: Annotated[int, Meta(ge=1, le=1_000_000)] = 100
    """How many requests are logged in a second; of those beyond, the number is. A line costs a good tenth of a bid."""

    earnings_file: str = ""
    """What work outside the slots pays: a TOML file as `bridge/fleet/earning/rates.toml`. Empty: that one."""

    demurrage_ppm: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """What idle tokens cost in each period, in millionths of them; 0: nothing, and nobody looks. 1000 a day takes about
    30 % in a year. Once it is set, the first charge is for the last whole period before."""

    demurrage_period_s: Annotated[int, Meta(ge=60, le=2_678_400)] = 86_400
    """How often tokens are charged, each time from their owners then; tokens new in a period are not idle. Periods are
    counted from 1970, so those of a day begin at midnight UTC."""

    demurrage_exempt_tokens: Annotated[int, Meta(ge=0, le=2**53 - 1)] = 1_000
    """Up to this many idle tokens of each account are exempt."""

    demurrage_to: Literal["treasury", "burn"] = "treasury"
    """Where the charge goes: to the market's treasury, or nowhere: it is burned."""

    ev_default_cost_tokens: Annotated[int, Meta(ge=1, le=TOKENS_MAX)] = 10_000
    """What a task is thought to burn while nothing like it has been finished; and the cost at which a task is worth
    just its expected impact (BRG-1)."""

    ev_tokens_per_impact: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 100_000
    """What one unit of impact is worth to a quest, in tokens: the default lets the usual backlog bid from a thousand to
    a hundred thousand. 0: quests bid nothing."""

    ev_bid_ttl_s: Annotated[float, Meta(ge=1, le=2_678_400)] = 3_600.0
    """How long a quest's bid rests; one that is half over is prolonged. If the scorer is gone, so are its bids after
    that."""

    ev_amend_percent: Annotated[int, Meta(ge=0, le=1_000)] = 10
    """A resting bid is amended if its price changes by at least this part of it: less is not worth its place in time.
    0: at every change."""

    ev_bids_per_wallet_max: Annotated[int, Meta(ge=1, le=BIDS_PER_BIDDER_MAX)] = 1_000
    """How many of a wallet's tasks are bid for, the best first. More bids than there are slots to win only split the
    wallet; the market takes no more than the bound."""

    budget_day_tokens: Annotated[int, Meta(ge=0, le=TOKENS_MAX)] = 1_000_000
    """What all quests together may spend in a day, UTC, while the auction cannot be used. 0: they wait for it."""

    auction_look_s: Annotated[float, Meta(ge=0.1, le=3_600)] = 5.0
    """How often the auction is probed, to decide whether it can be used."""

    auction_failures_max: Annotated[int, Meta(ge=1, le=1_000)] = 3
    """After this many probes in a row without an answer the daily budget takes over: a restart is shorter."""

    auction_answers_min: Annotated[int, Meta(ge=1, le=1_000)] = 3
    """After this many probes in a row with an answer the auction is used again: it must not flap."""

    auction_fruitless_s: Annotated[float, Meta(ge=1, le=604_800)] = 600.0
    """If there were bids and slots for this long and nothing was sold, the daily budget takes over until something is:
    ten calls of a market that is called every minute."""

    @property
    def home_path(self) -> Path | None:
        """`home` as a path, None where it is not set."""
        return in_home("home", self.home) if self.home else None


DEFAULTS: Final = Config()
"""All settings at their defaults."""


class ClientConfig(Struct, frozen=True, kw_only=True):
    """The settings of `bridge.client`, which are none of a market's own process. Read as those of `Config`."""

    url: str = "http://127.0.0.1:8321"
    """Where the market is; its standbys too, with commas between."""

    key: str = ""
    """The API key."""

    allow_plain_http: bool = False
    """Whether the key may go over http:// to another machine, where others on the way can read it."""

    def __repr__(self) -> str:
        """Without the key."""
        return f"ClientConfig(url={self.url!r})"


def client_from_environment(environment: Mapping[str, str]) -> ClientConfig:
    """The settings of a client. Raises `Invalid` for a wrong value."""
    names = {field: PREFIX + field.upper() for field in ClientConfig.__struct_fields__}
    values = {field: environment[name] for field, name in names.items() if name in environment}
    try:
        return msgspec.convert(values, ClientConfig, strict=False)
    except msgspec.ValidationError as error:
        # The key is any text, so it is not the one that is shown.
        raise _wrong(error, values, lambda field: PREFIX + field.upper()) from None


class Loaded(Struct, frozen=True):
    """Settings, and where each that is not a default comes from."""

    config: Config
    sources: Mapping[str, Source]


def load(environment: Mapping[str, str]) -> Loaded:
    """The settings of an environment, and of the file that it names; the environment wins.

    Raises `Invalid` for an unknown name, a wrong value, or a file that cannot be read.
    """
    variables = _variables(environment)
    path = environment.get(FILE_VARIABLE, "")
    from_file, lines = _of_file(in_home(FILE_VARIABLE, path)) if path else ({}, {})
    try:
        given = msgspec.convert(variables, Config, strict=False)
    except msgspec.ValidationError as error:
        raise _wrong(error, variables, lambda field: PREFIX + field.upper()) from None
    values = from_file | {field: getattr(given, field) for field in variables}
    sources = lines | {field: PREFIX + field.upper() for field in variables}
    return Loaded(Config(**values), sources)


def from_environment(environment: Mapping[str, str]) -> Config:
    """`load`, without the sources of the values."""
    return load(environment).config


def with_changes(config: Config, changes: Mapping[str, object]) -> Config:
    """The settings with some of them given by the caller. Raises `Invalid` for a wrong value."""
    try:
        return msgspec.convert({**msgspec.structs.asdict(config), **changes}, Config)
    except msgspec.ValidationError as error:
        raise _wrong(error, changes, str) from None


def as_environment(config: Config) -> dict[str, str]:
    """The variables that give a child these very settings, wherever they came from: all, for its file has others."""
    return {PREFIX + field.upper(): str(value) for field, value in msgspec.structs.asdict(config).items()}


def in_home(field: str, path: str) -> Path:
    """A path as people write it: `~` is the home of the account. Raises `Invalid` where that has none."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise Invalid(field, path, "a path without ~, for there is no such home here") from None


def shown(field: str, value: object) -> object:
    """A value as it may be shown."""
    return NOT_SHOWN if field in SECRETS and value else value


def _variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The text of each setting that the environment gives. Raises `Invalid` for an unknown name."""
    known = {PREFIX + field.upper(): field for field in Config.__struct_fields__}
    of_others = {FILE_VARIABLE, *(PREFIX + field.upper() for field in ClientConfig.__struct_fields__)}
    values: dict[str, str] = {}
    for name, value in environment.items():
        if not name.startswith(PREFIX) or name.startswith(_FOREIGN_PREFIX) or name in of_others:
            continue
        if name not in known:
            # Not its value, which may be a URL with a password.
            raise Invalid("environment", name, _one_of([*known, *of_others], name))
        values[known[name]] = value
    return values


def _one_of(names: Iterable[str], mistyped: str) -> str:
    """What is expected in place of a name that is none: the nearest, else where all of them are."""
    # Without what they all begin with, which would make each look near.
    short = {name.removeprefix(PREFIX): name for name in sorted(names)}
    near = difflib.get_close_matches(mistyped.removeprefix(PREFIX), short, n=1)
    return f"{short[near[0]] if near else 'one of the settings'} (docs/settings.md has them all)"


def _of_file(path: Path) -> tuple[dict[str, Any], dict[str, Source]]:
    """The settings of a file, and where in it each stands. Raises `Invalid`."""
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Invalid(FILE_VARIABLE, str(path), f"a file that can be read ({error.strerror})") from None
    if len(data) > _FILE_BYTES_MAX:
        raise Invalid(FILE_VARIABLE, str(path), f"a file of at most {_FILE_BYTES_MAX} bytes")
    try:
        text = data.decode()
        values = tomllib.loads(text)
    except ValueError as error:
        raise Invalid(FILE_VARIABLE, str(path), f"a file in TOML ({error})") from None
    lines = {name: f"line {_line_of(name, text)} of {path}" for name in values}
    for name, line in lines.items():
        if name not in Config.__struct_fields__:
            raise Invalid(line, name, _one_of(Config.__struct_fields__, name))
    try:
        config = msgspec.convert(values, Config)
    except msgspec.ValidationError as error:
        raise _wrong(error, values, lambda field: f"{lines[field]}: {field}") from None
    return {name: getattr(config, name) for name in values}, lines


def _line_of(name: str, text: str) -> int:
    """The number of the line in which a name of the file stands first."""
    begins = re.compile(rf"""[\s["']*{re.escape(name)}\b""")
    return next((number for number, line in enumerate(text.splitlines(), 1) if begins.match(line)), 1)


def _wrong(error: msgspec.ValidationError, values: Mapping[str, object], name_of: Callable[[str], str]) -> Invalid:
    """What to raise for a wrong value."""
    words, _, path = str(error).partition(" - at `$.")
    # Of a value that has parts, the setting.
    field = re.split(r"[.\[]", path.rstrip("`"), maxsplit=1)[0]
    expected = expected_in_words(words)
    if words.startswith("Invalid enum value"):
        choices = msgspec.json.schema(Config)["$defs"]["Config"]["properties"][field]["enum"]
        expected = f"one of {', '.join(choices)}"
    return Invalid(name_of(field), shown(field, values[field]), expected)
