"""Every setting, named once, from the environment.

Rule of this file: a setting has a name, a default, a bound and a reason; a wrong one is refused by its name. Nothing
else in the project reads the environment.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from bridge.errors import Invalid

PREFIX: Final = "CALLMARKET_"
# Settings of the test suite, which are none of the market's.
_FOREIGN_PREFIX: Final = "CALLMARKET_TEST_"


# See the setting of this name.
CHANGES_WAITING_MAX: Final = 256


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings. Each field is read from `CALLMARKET_` and its name in capitals."""

    database_url: str = ""
    """A PostgreSQL of yours, 14 or newer. Empty: a private one is started (see `home`)."""

    home: str = ""
    """Where the private PostgreSQL keeps its data. Empty: the usual place for application data."""

    shard_id: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    """Which shard of the database this engine is. One engine runs one shard."""

    queue_rows_max: Annotated[int, Meta(ge=1, le=10_000_000)] = 200_000
    """Rows that may wait for the database before commands are refused: five seconds of full load, some 400 MB."""

    outage_limit_s: Annotated[float, Meta(ge=0, le=86_400)] = 300.0
    """How long the database may be away before the engine gives up: after that, people should decide."""

    ack_timeout_s: Annotated[float, Meta(gt=0, le=3_600)] = 30.0
    """How long a caller waits for its command to be durable before it is told that the outcome is unknown."""

    address: Annotated[str, Meta(max_length=300)] = ""
    """The way to this process, for clients that ask another while this one leads. Empty: its process id and host."""

    lease_s: Annotated[float, Meta(ge=0.5, le=3_600)] = 5.0
    """A leader that does not renew its lease for so long is taken for dead by those who stand by. It renews five times
    as often, or five times a second."""

    snapshots_kept: Annotated[int, Meta(ge=1, le=1_000)] = 3
    """How many snapshots are kept: two may turn out damaged, and recovery still need not begin at the first row."""

    snapshots_folder: str = ""
    """Where snapshots are kept as files. Empty: in the database, beside the journal."""

    host: Annotated[str, Meta(min_length=1, max_length=253)] = "127.0.0.1"
    """Where the service listens. The default is this machine alone; anything else belongs behind TLS."""

    port: Annotated[int, Meta(ge=0, le=65_535)] = 8321
    """The port of the service; 0 takes a free one."""

    changes_waiting_max: Annotated[int, Meta(ge=1, le=100_000)] = CHANGES_WAITING_MAX
    """Requests that change the market and may be under way in the service at a time; more are refused and told when to
    come back. Beyond some hundred nothing gets faster: a batch of the journal is large enough, and all only wait longer
    than their clients do."""

    snapshot_every_s: Annotated[float, Meta(ge=0, le=604_800)] = 300.0
    """How often the service has a snapshot taken, by a process of its own; 0 for never."""

    @property
    def home_path(self) -> Path | None:
        """`home` as a path, None where it is not set."""
        return Path(self.home).expanduser() if self.home else None


class ClientConfig(Struct, frozen=True, kw_only=True):
    """The settings of `bridge.client`, which are none of a market's own process. Read as those of `Config`."""

    url: str = "http://127.0.0.1:8321"
    """Where the market is; its standbys too, with commas between."""

    key: str = ""
    """The API key."""

    allow_plain_http: bool = False
    """Whether the key may go over http:// to another machine, where whoever is on the way can read it."""

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
        field, expected = _wrong(error)
        # The key is any text, so it is not the one that is shown.
        raise Invalid(PREFIX + field.upper(), values[field], expected) from None


def from_environment(environment: Mapping[str, str]) -> Config:
    """The settings of an environment. Raises `Invalid` for an unknown name or a wrong value."""
    known = {PREFIX + field.upper(): field for field in Config.__struct_fields__}
    of_clients = {PREFIX + field.upper() for field in ClientConfig.__struct_fields__}
    values: dict[str, str] = {}
    for name, value in environment.items():
        if not name.startswith(PREFIX) or name.startswith(_FOREIGN_PREFIX) or name in of_clients:
            continue
        if name not in known:
            # Not its value, which may be a URL with a password.
            raise Invalid("environment", name, f"one of the settings {', '.join(sorted(known))}")
        values[known[name]] = value
    try:
        return msgspec.convert(values, Config, strict=False)
    except msgspec.ValidationError as error:
        field, expected = _wrong(error)
        raise Invalid(PREFIX + field.upper(), values[field], expected) from None


def with_changes(config: Config, changes: Mapping[str, object]) -> Config:
    """The settings with some of them given by the caller. Raises `Invalid` for a wrong value."""
    try:
        return msgspec.convert({**msgspec.structs.asdict(config), **changes}, Config)
    except msgspec.ValidationError as error:
        field, expected = _wrong(error)
        raise Invalid(field, changes[field], expected) from None


def _wrong(error: msgspec.ValidationError) -> tuple[str, str]:
    """The field of a wrong value, and what was expected."""
    expected, _, path = str(error).partition(" - at `$.")
    return path.rstrip("`"), expected.removeprefix("Expected ").partition(", got ")[0]
