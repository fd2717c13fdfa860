"""Every setting: its name, its default, its bounds, and how a wrong one is refused."""

from pathlib import Path

import msgspec
import pytest

from bridge import Invalid
from bridge.config import Config, from_environment, with_changes

GOOD = {
    "database_url": ("postgresql://me@here/market", "postgresql://me@here/market"),
    "home": ("/srv/market", "/srv/market"),
    "shard_id": ("7", 7),
    "queue_rows_max": ("1", 1),
    "outage_limit_s": ("0", 0.0),
    "ack_timeout_s": ("2.5", 2.5),
    "address": ("http://here:8080", "http://here:8080"),
    "lease_s": ("2.5", 2.5),
    "snapshots_kept": ("2", 2),
    "snapshots_folder": ("/srv/snapshots", "/srv/snapshots"),
    "host": ("0.0.0.0", "0.0.0.0"),
    "port": ("80", 80),
    "snapshot_every_s": ("60", 60.0),
}
WRONG = [
    ("address", "x" * 301, "length <= 300"),
    ("lease_s", "0.4", ">= 0.5"),
    ("lease_s", "3601", "<= 3600"),
    ("shard_id", "-1", ">= 0"),
    ("shard_id", "2147483648", "<= 2147483647"),
    ("shard_id", "one", "int"),
    ("shard_id", "", "int"),
    ("shard_id", "1.5", "int"),
    ("queue_rows_max", "0", ">= 1"),
    ("queue_rows_max", "10000001", "<= 10000000"),
    ("outage_limit_s", "-1", ">= 0"),
    ("outage_limit_s", "86401", "<= 86400"),
    ("outage_limit_s", "nan", ">= 0"),
    ("outage_limit_s", "soon", "float"),
    ("ack_timeout_s", "0", "> 0"),
    ("ack_timeout_s", "inf", "<= 3600"),
    ("ack_timeout_s", "nan", "> 0"),
]


def test_defaults_need_no_environment() -> None:
    config = from_environment({})
    assert config == Config()
    assert (config.database_url, config.home_path, config.shard_id) == ("", None, 0)


def test_every_setting_is_read_by_its_name() -> None:
    assert set(GOOD) == set(Config.__struct_fields__)
    config = from_environment({f"CALLMARKET_{field.upper()}": text for field, (text, _) in GOOD.items()})
    assert msgspec.structs.asdict(config) == {field: value for field, (_, value) in GOOD.items()}


@pytest.mark.parametrize(("field", "text", "expected"), WRONG)
def test_wrong_value_is_refused_by_the_name_of_its_setting(field: str, text: str, expected: str) -> None:
    name = f"CALLMARKET_{field.upper()}"
    with pytest.raises(Invalid) as caught:
        from_environment({name: text})
    assert (caught.value.field, caught.value.value) == (name, text)
    assert expected in caught.value.expected


def test_unknown_setting_is_named_and_its_value_is_not_shown() -> None:
    with pytest.raises(Invalid) as caught:
        from_environment({"CALLMARKET_DATABASE_URI": "postgresql://me:secret@here/market"})
    assert "CALLMARKET_DATABASE_URI" in str(caught.value)
    assert "CALLMARKET_DATABASE_URL" in str(caught.value), "what it may have meant"
    assert "secret" not in str(caught.value)


def test_other_programs_and_the_test_suite_have_their_own_names() -> None:
    assert from_environment({"CALLMARKET_TEST_DATABASE_URL": "x", "PGHOST": "y", "MY_CALLMARKET_HOME": "z"}) == Config()


def test_home_of_the_user_is_found() -> None:
    assert from_environment({"CALLMARKET_HOME": "~/market"}).home_path == Path("~/market").expanduser()


@pytest.mark.parametrize("changes", [{"shard_id": -1}, {"shard_id": 2**31}, {"shard_id": "one"}, {"home": 5}])
def test_settings_of_a_caller_are_checked_too(changes: dict[str, object]) -> None:
    with pytest.raises(Invalid) as caught:
        with_changes(Config(), changes)
    assert {caught.value.field: caught.value.value} == changes
