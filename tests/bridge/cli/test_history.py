"""`as_of` from Python and on the command line: the market as it was, beside a live one.

Goal: what is answered as of a row is what was answered live when it was the last; a row that is not there is refused by
its bound. The property itself is tried in `tests/persistence/test_time_travel.py`.
"""

import json
from typing import Any

import psycopg
import pytest

from callmarket import Exchange, Invalid, Unavailable, open_exchange
from callmarket.bridge.api.market import Market
from tests.bridge.cli.test_commands import complaint, run
from tests.support.small_market import furnish, in_threads


def answers(market: Market) -> tuple[object, ...]:
    """All that the past can be asked, of a market of now or of then."""
    return (
        market.wallet("a"),
        market.get_order_book("m"),
        market.get_rounds("m"),
        market.get_rounds(),
    )


def test_answers_about_a_past_row_are_those_given_then(market: Exchange) -> None:
    furnish(market, "a", "b")
    then: dict[int, tuple[object, ...]] = {}
    for number in range(6):
        market.offer_slot("m", f"s{number}")
        market.place_bid("m", "a", f"t{number}", 10 + number)
        then[market.durable_seq] = answers(market)
        if number % 2:
            market.clear_round("m")
        then[market.durable_seq] = answers(market)
    for seq, answer in then.items():
        assert answers(market.as_of(seq)) == answer
    assert [call.round_no for call in market.get_rounds("m", 2).items] == [3, 2]


def test_a_row_beyond_the_journal_is_refused_with_the_bound(market: Exchange) -> None:
    with pytest.raises(Invalid, match="the journal is empty"):
        market.as_of(1).get_rounds()
    furnish(market, "a")
    last = market.durable_seq
    for wrong in (0, -1, last + 1, True, "1", 1.0):
        then = market.as_of(wrong)  # type: ignore[arg-type]
        for ask in (then.get_rounds, lambda then=then: then.wallet("a")):
            with pytest.raises(Invalid, match=f"as_of_seq: expected 1 to {last}"):
                ask()
    with pytest.raises(Invalid, match="an open account"):
        market.as_of(1).wallet("a")
    with pytest.raises(Invalid, match="limit"):
        market.get_rounds(limit=0)


def test_the_market_takes_commands_while_the_past_is_read(market: Exchange) -> None:
    """Askers of the past and bidders at once: nobody waits for another, and each gets what is right."""
    furnish(market, "a", tokens=10**6)
    seq = market.durable_seq
    was = answers(market)

    def bid() -> None:
        for number in range(100):
            market.place_bid("m", "a", f"t{number}", 1)

    def ask() -> None:
        for _ in range(5):
            assert answers(market.as_of(seq)) == was

    assert in_threads([bid, ask, ask]) == []
    assert market.verify().ok


def test_a_closed_exchange_has_no_past(database_url: str) -> None:
    with open_exchange(database_url) as market:
        furnish(market, "a")
    with pytest.raises(Unavailable, match="closed"):
        market.as_of(1).wallet("a")


@pytest.fixture
def lived(market: Exchange, database_url: str) -> tuple[str, int, dict[str, Any]]:
    """A market with a past, and what the commands said then."""
    furnish(market, "alpha", "beta")
    market.offer_slot("m", "s1", reserve_price_tokens=3)
    market.place_bid("m", "alpha", "t1", 90, expected_value_usd=1.25)
    market.clear_round("m")
    market.place_bid("m", "beta", "t2", 70)
    market.offer_slot("m", "s2", reserve_price_tokens=5)
    seq = market.durable_seq
    was = {name: json.loads(run(*ask, "--json", url=database_url).stdout) for name, ask in ASKED.items()}
    market.clear_round("m")
    market.settle("s1", 1, 0)
    market.open_market("other")
    return database_url, seq, was


ASKED = {
    "book": ["book", "m"],
    "wallet": ["wallet", "alpha"],
    "wallets": ["wallet", "--rows", "3"],
    "rounds": ["rounds"],
    "rounds of one": ["rounds", "m", "--rows", "1"],
}


def test_commands_with_as_of_seq_show_what_they_showed_then(lived: tuple[str, int, dict[str, Any]]) -> None:
    """The same JSON as then, without the columns that only tables keep."""
    url, seq, was = lived
    for name, ask in ASKED.items():
        ran = run(*ask, "--as-of-seq", str(seq), "--json", url=url)
        assert (ran.returncode, ran.stderr) == (0, ""), ran
        found = json.loads(ran.stdout)
        assert found.pop("as_of_seq") == seq
        assert found.pop("at").startswith("2027-")
        assert subset(found, was[name]) == found, name
        shown = run(*ask, "--as-of-seq", str(seq), url=url)
        assert shown.stdout.startswith(f"as of row {seq}, 2027-")


# What only the live market tells of a wallet.
SEQS = ("seq", "durable_seq")


def subset(part: Any, whole: Any) -> Any:
    """What `whole` has of the fields of `part`."""
    if isinstance(part, dict):
        # The row up to which an answer tells is that of then.
        return {key: part[key] if key in SEQS else subset(value, whole.get(key)) for key, value in part.items()}
    if isinstance(part, list):
        assert len(part) == len(whole)
        return [subset(one, other) for one, other in zip(part, whole, strict=True)]
    return whole


def test_invalid_arguments_with_as_of_seq_are_refused(lived: tuple[str, int, dict[str, Any]]) -> None:
    url, seq, _ = lived
    last = seq + 3
    for ask in ("book", "wallet", "rounds"):
        for wrong in (0, -5, last + 1):
            said = complaint(run(ask, "--as-of-seq", str(wrong), url=url), 2)
            assert f"as_of_seq: expected 1 to {last}, got {wrong}" in said
    assert "no account 'beta' as of row 2" in complaint(run("wallet", "beta", "--as-of-seq", "2", url=url), 1)
    assert "no market 'other' as of row" in complaint(run("book", "other", "--as-of-seq", str(seq), url=url), 1)
    assert "one of the markets m, other" in complaint(run("book", "--as-of-seq", str(last), url=url), 2)


def test_rebuild_projections(database_url: str) -> None:
    """Beside an engine, and without one; what was damaged is as it was."""
    with open_exchange(database_url) as market:
        furnish(market, "a")
        was = market.wallet("a")
        assert run("rebuild-projections", url=database_url).returncode == 0
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM token_accounts WHERE account_id = 'a'")
    assert run("verify", url=database_url).returncode == 1
    ran = run("rebuild-projections", "--json", url=database_url)
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    found = json.loads(ran.stdout)
    assert (found["rows"], found["table_rows"], found["table_rows_before"]) == (3, 7, 6)
    assert run("verify", url=database_url).returncode == 0
    shown = run("rebuild-projections", url=database_url)
    assert "7 table rows from 3 journal rows" in " ".join(shown.stdout.split())
    with open_exchange(database_url) as market:
        assert market.wallet("a").balance_tokens == was.balance_tokens
