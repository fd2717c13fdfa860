"""Every setting: its name, its default, its bounds, and how a wrong one is refused."""

from pathlib import Path

import msgspec
import pytest

from callmarket import Invalid
from callmarket.bridge.config import (
    FILE_VARIABLE,
    NOT_SHOWN,
    Config,
    as_environment,
    client_from_environment,
    from_environment,
    in_home,
    load,
    shown,
    with_changes,
)
from tests.support.settings_page import docstrings, page

GOOD = {
    "database_url": ("postgresql://me@here/market", "postgresql://me@here/market"),
    "home": ("/srv/market", "/srv/market"),
    "shard_id": ("7", 7),
    "queue_rows_max": ("1", 1),
    "outage_limit_s": ("0", 0.0),
    "tables_lag_rows_max": ("1000", 1_000),
    "tables_lag_limit_s": ("2.5", 2.5),
    "ack_timeout_s": ("2.5", 2.5),
    "address": ("http://here:8080", "http://here:8080"),
    "lease_s": ("2.5", 2.5),
    "snapshots_kept": ("2", 2),
    "snapshots_folder": ("/srv/snapshots", "/srv/snapshots"),
    "marks_folder": ("/srv/marks", "/srv/marks"),
    "host": ("::1", "::1"),
    "port": ("0", 0),
    "snapshot_every_s": ("0", 0.0),
    "log_level": ("debug", "debug"),
    "log_format": ("console", "console"),
    "log_requests_per_s": ("7", 7),
    "changes_waiting_max": ("9", 9),
    "connections_per_address_max": ("100", 100),
    "proxy_addresses": ("10.0.0.1", "10.0.0.1"),
    "llm_tokens_per_token": ("250", 250),
    "subsidy_tokens_max": ("700", 700),
    "clock_leap_s_max": ("2.5", 2.5),
    "earnings_file": ("/srv/rates.toml", "/srv/rates.toml"),
    "demurrage_ppm": ("1000", 1_000),
    "demurrage_period_s": ("3600", 3_600),
    "demurrage_exempt_tokens": ("0", 0),
    "demurrage_to": ("burn", "burn"),
    "ev_default_cost_tokens": ("500", 500),
    "ev_tokens_per_impact": ("0", 0),
    "ev_bid_ttl_s": ("1.5", 1.5),
    "ev_amend_percent": ("0", 0),
    "ev_bids_per_wallet_max": ("10000", 10_000),
    "budget_day_tokens": ("0", 0),
    "auction_look_s": ("0.5", 0.5),
    "auction_failures_max": ("1", 1),
    "auction_answers_min": ("2", 2),
    "auction_fruitless_s": ("60", 60.0),
}
WRONG = [
    ("llm_tokens_per_token", "0", ">= 1"),
    ("llm_tokens_per_token", "1000001", "<= 1000000"),
    ("subsidy_tokens_max", "0", ">= 1"),
    ("address", "x" * 301, "length <= 300"),
    ("lease_s", "0.4", ">= 0.5"),
    ("lease_s", "3601", "<= 3600"),
    ("clock_leap_s_max", "0.9", ">= 1"),
    ("clock_leap_s_max", "3601", "<= 3600"),
    ("clock_leap_s_max", "nan", ">= 1"),
    ("shard_id", "-1", ">= 0"),
    ("shard_id", "2147483648", "<= 2147483647"),
    ("shard_id", "one", "whole number"),
    ("shard_id", "", "whole number"),
    ("shard_id", "1.5", "whole number"),
    ("queue_rows_max", "0", ">= 1"),
    ("queue_rows_max", "10000001", "<= 10000000"),
    ("outage_limit_s", "-1", ">= 0"),
    ("outage_limit_s", "86401", "<= 86400"),
    ("outage_limit_s", "nan", ">= 0"),
    ("outage_limit_s", "soon", "a number"),
    ("tables_lag_rows_max", "0", ">= 1"),
    ("tables_lag_limit_s", "0", "> 0"),
    ("tables_lag_limit_s", "nan", "> 0"),
    ("ack_timeout_s", "0", "> 0"),
    ("ack_timeout_s", "inf", "<= 3600"),
    ("ack_timeout_s", "nan", "> 0"),
    ("host", "", "length >= 1"),
    ("port", "65536", "<= 65535"),
    ("snapshot_every_s", "-1", ">= 0"),
    ("log_level", "loud", "one of debug, error, info, warning"),
    ("log_format", "xml", "one of auto, console, json"),
    ("log_requests_per_s", "0", ">= 1"),
    ("demurrage_ppm", "-1", ">= 0"),
    ("demurrage_ppm", "1000001", "<= 1000000"),
    ("demurrage_period_s", "59", ">= 60"),
    ("demurrage_period_s", "2678401", "<= 2678400"),
    ("demurrage_exempt_tokens", "-1", ">= 0"),
    ("demurrage_to", "me", "one of burn, treasury"),
    ("ev_default_cost_tokens", "0", ">= 1"),
    ("ev_tokens_per_impact", "-1", ">= 0"),
    ("ev_bid_ttl_s", "nan", ">= 1"),
    ("ev_bids_per_wallet_max", "10001", "<= 10000"),
    ("budget_day_tokens", "9007199254740992", "<= 9007199254740991"),
    ("auction_look_s", "0", ">= 0.1"),
    ("auction_failures_max", "0", ">= 1"),
    ("auction_fruitless_s", "inf", "<= 604800"),
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


def test_settings_of_clients_are_no_mistake_of_a_market() -> None:
    """In one terminal there may be both; a client reads its own, and neither shows the key."""
    environment = {"CALLMARKET_URL": "https://a", "CALLMARKET_KEY": "cmk_secret", "CALLMARKET_PORT": "1"}
    assert from_environment(environment).port == 1
    config = client_from_environment(environment)
    assert (config.url, config.key, config.allow_plain_http) == ("https://a", "cmk_secret", False)
    assert "secret" not in repr(config)
    with pytest.raises(Invalid, match="CALLMARKET_ALLOW_PLAIN_HTTP"):
        client_from_environment({"CALLMARKET_ALLOW_PLAIN_HTTP": "perhaps"})


WRONG_FILES = {
    "an unknown name": ("port = 1\nprot = 2\n", "line 2 of {}", "prot", "port (docs/settings.md"),
    "a bound": ("# the port\n\nport = 65536\n", "line 3 of {}: port", 65536, "<= 65535"),
    "a number as text": ('port = "80"\n', "line 1 of {}: port", "80", "whole number"),
    "a word that is none": ('home = "x"\nlog_level = "loud"\n', "line 2 of {}: log_level", "loud", "one of debug"),
    "a section": ("[port]\nx = 1\n", "line 1 of {}: port", {"x": 1}, "whole number"),
    "a list": ("\nshard_id = [1]\n", "line 2 of {}: shard_id", [1], "whole number"),
    "no TOML": ("port = \n", "CALLMARKET_CONFIG", "{}", "a file in TOML"),
    "a name twice": ("port = 1\nport = 2\n", "CALLMARKET_CONFIG", "{}", "line 2"),
    "too much": ("#" * 65_537, "CALLMARKET_CONFIG", "{}", "at most 65536 bytes"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_what_is_wrong_in_a_file_is_named_with_its_line(name: str, tmp_path: Path) -> None:
    text, field, value, expected = WRONG_FILES[name]
    path = tmp_path / "market.toml"
    path.write_text(text)
    with pytest.raises(Invalid) as caught:
        from_environment({FILE_VARIABLE: str(path)})
    told = value.format(path) if isinstance(value, str) else value
    assert (caught.value.field, caught.value.value) == (field.format(path), told)
    assert expected in caught.value.expected


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        from_environment({FILE_VARIABLE: str(tmp_path / "none.toml")})
    assert (caught.value.field, caught.value.value) == (FILE_VARIABLE, str(tmp_path / "none.toml"))
    assert "No such file" in caught.value.expected


def test_a_password_in_a_file_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "market.toml"
    path.write_text('database_url = ["postgresql://me:secret@here/market"]\n')
    with pytest.raises(Invalid) as caught:
        from_environment({FILE_VARIABLE: str(path)})
    assert "secret" not in str(caught.value)
    assert "database_url" in str(caught.value)


def test_every_setting_can_stand_in_a_file_and_the_environment_wins(tmp_path: Path) -> None:
    path = tmp_path / "market.toml"
    path.write_text("".join(f"{name} = {value!r}\n" for name, (_, value) in GOOD.items()))
    loaded = load({FILE_VARIABLE: str(path), "CALLMARKET_PORT": "9"})
    assert msgspec.structs.asdict(loaded.config) == {name: value for name, (_, value) in GOOD.items()} | {"port": 9}
    lines = {name: f"line {number} of {path}" for number, name in enumerate(GOOD, 1)}
    assert loaded.sources == lines | {"port": "CALLMARKET_PORT"}


def test_a_whole_number_of_seconds_is_one_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "market.toml"
    path.write_text("lease_s = 3\n")
    assert from_environment({FILE_VARIABLE: str(path)}).lease_s == 3.0


def test_secrets_are_not_shown() -> None:
    assert shown("database_url", "postgresql://me:secret@here/market") == NOT_SHOWN
    assert (shown("database_url", ""), shown("port", 1)) == ("", 1)


def test_every_setting_is_documented_and_the_page_is_what_the_code_says() -> None:
    assert set(docstrings()) == set(Config.__struct_fields__)
    written = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == page(), "python3 -m tests.support.settings_page > docs/settings.md"


def test_a_home_that_is_not_there_is_named_by_its_setting() -> None:
    """`~` of an account that there is not, as `~` where there is no HOME."""
    for field in ("home", "snapshots_folder", "marks_folder", "earnings_file", "CALLMARKET_CONFIG"):
        with pytest.raises(Invalid, match=f"{field}: expected a path without ~"):
            in_home(field, "~no-such-account/x")
    with pytest.raises(Invalid, match="CALLMARKET_CONFIG: expected a path without ~"):
        load({"CALLMARKET_CONFIG": "~no-such-account/market.toml"})


def test_a_mistyped_setting_is_told_the_one_that_is_near() -> None:
    for wrong, near in (("CALLMARKET_PROT", "CALLMARKET_PORT"), ("CALLMARKET_DATABASE_URI", "CALLMARKET_DATABASE_URL")):
        with pytest.raises(Invalid, match=rf"expected {near} .docs/settings.md has them all., got '{wrong}'"):
            load({wrong: "1"})
    with pytest.raises(Invalid, match=r"expected one of the settings .docs/settings.md has them all"):
        load({"CALLMARKET_QQQQ": "1"})


def test_a_child_is_given_the_very_settings() -> None:
    """Wherever they came from: a file, a variable, a caller."""
    assert from_environment(as_environment(Config())) == Config()
    config = Config(shard_id=3, snapshots_folder="x y", lease_s=0.5, log_level="debug", demurrage_to="burn")
    assert from_environment(as_environment(config)) == config
