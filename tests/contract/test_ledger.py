"""What every way to a market owes who takes the ledger elsewhere, and who brings in what has moved on a chain.

Goal: as `test_verbs`. Method: one small ledger, exported by each way; logs of another, imported again and again.
"""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from callmarket import Conflict, Exchange, Invalid, ManualClock, NotFound
from callmarket.bridge.api.market import Market
from callmarket.bridge.ledger_export.addresses import ZERO, derived_address
from callmarket.bridge.ledger_export.logs import TRANSFER
from tests.bridge.conftest import START_US
from tests.support.chain_logs import TOKEN, account_of, transfer_log
from tests.support.small_market import at

ALPHA = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
BETA = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
MONTH = f"{at(START_US):%Y-%m}"


@pytest.fixture
def market(api: Any) -> Market:
    """Accounts a and b, tokens that were minted, paid and burned, and an address of a."""
    for account_id in ("a", "b"):
        api.open_account(account_id)
    api.register_address("a", ALPHA)
    api.mint("a", 1_000, "grant:initial")
    api.transfer("a", "b", 30, "payment:review", "paper", "p-1", "well done")
    api.burn("b", 5, "fee:exit")
    market: Market = api
    return market


def test_movements_are_logs_of_a_token(market: Market) -> None:
    """EXP-1, EXP-4: what eth_getLogs has, the row as the block, exact values, zero address for mint and burn."""
    page = market.export_ledger_for_chain()
    assert page.next is None and 0 < page.seq <= page.durable_seq
    assert [log.value for log in page.items] == [f"{tokens}{'0' * 18}" for tokens in (1_000, 30, 5)]
    sides = [(f"0x{log.topics[1][-40:]}", f"0x{log.topics[2][-40:]}") for log in page.items]
    b = derived_address(0, "b").lower()
    assert sides == [(ZERO, ALPHA.lower()), (ALPHA.lower(), b), (b, ZERO)]
    assert {log.address for log in page.items} == {market.agent_id_to_address("issuance").address}
    assert all(log.topics[0] == TRANSFER and int(log.data, 16) == int(log.value) for log in page.items)
    assert [(log.from_is_derived, log.to_is_derived) for log in page.items] == [
        (False, False),
        (False, True),
        (True, False),
    ]
    for earlier, later in zip(page.items, page.items[1:], strict=False):
        assert later.parent_hash == earlier.block_hash
        assert int(later.block_number, 16) == int(earlier.block_number, 16) + 1
    first = market.export_ledger_for_chain(limit=1)
    rest = market.export_ledger_for_chain(limit=1_000, after=first.next)
    assert first.items + rest.items == page.items


def test_an_export_begins_at_a_time(market: Market, clock: ManualClock) -> None:
    clock.set_us(START_US + 60_000_000)
    market.mint("b", 7, "grant:more")
    later = at(START_US) + timedelta(seconds=60)
    assert [log.to_account_id for log in market.export_ledger_for_chain(later, "base").items] == ["b"]
    assert market.export_ledger_for_chain(later + timedelta(days=1)).items == ()
    with pytest.raises(Invalid, match="since"):
        market.export_ledger_for_chain(datetime(2026, 11, 30))  # noqa: DTZ001 -- that it has no zone is the test
    with pytest.raises(Invalid, match=r"chain: expected .*ethereum"):
        market.export_ledger_for_chain(None, "bitcoin")  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="limit: expected"):
        market.export_ledger_for_chain(limit=1_001)


def test_an_account_has_the_address_that_was_registered_last(market: Market) -> None:
    """EXP-2: registered, else derived and marked so; and an address never changes its account."""
    found = market.agent_id_to_address("a")
    assert (found.address, found.derived, found.account_id, found.chain) == (ALPHA, False, "a", "ethereum")
    derived = market.agent_id_to_address("a", "arbitrum")
    assert (derived.address, derived.derived) == (derived_address(0, "a"), True)
    assert market.register_address("a", BETA).address == BETA
    assert market.agent_id_to_address("a").address == BETA
    for address in (ALPHA, BETA):
        with pytest.raises(Conflict, match="address: expected an address of no other account: 'a' has it"):
            market.register_address("b", address)
    assert market.register_address("b", BETA, "base").address == BETA
    assert market.register_address("a", ALPHA).address == ALPHA
    assert market.agent_id_to_address("a").address == ALPHA


def test_what_is_no_address_is_refused(market: Market) -> None:
    for wrong in (ALPHA.lower(), ALPHA[:-1], ALPHA + "0", ALPHA.replace("0x", "0X"), ZERO, "", "alpha"):
        with pytest.raises(Invalid, match=r"address: expected 0x and 40 hexadecimal digits|Length"):
            market.register_address("a", wrong)
    with pytest.raises(Conflict, match="address: expected an address that has a key"):
        market.register_address("a", derived_address(0, "a"))
    with pytest.raises(NotFound, match="agent_id"):
        market.register_address("nobody", BETA)
    with pytest.raises(NotFound, match="agent_id"):
        market.agent_id_to_address("nobody")
    with pytest.raises(Invalid, match="agent_id: expected an account that holds tokens"):
        market.register_address("bridge-base", BETA)


def test_a_month_is_text(market: Market) -> None:
    """EXP-7: parts of any size are the same file, and one that is read while the ledger goes on is one ledger."""
    assert market.ledger_months().months == (MONTH,)
    texts = {}
    for form in ("beancount", "hledger", "csv"):
        page = market.export_ledger_month(MONTH, form, limit=1_000)
        parts, after = list(page.items), page.next
        while after is not None:
            page = market.export_ledger_month(MONTH, form, limit=1_000, after=after)
            parts, after = parts + list(page.items), page.next
        texts[form] = "".join(parts)
    assert f'{MONTH}-15 * "payment:review" ^t2' in texts["beancount"]
    assert "balance Liabilities:Accounts:Id-a  -970 TOKEN" in texts["beancount"]
    assert f"{MONTH}-15 * (2) payment:review" in texts["hledger"]
    assert ALPHA in texts["csv"]
    for form, text in texts.items():
        parts, after = [], None
        while True:
            page = market.export_ledger_month(MONTH, form, limit=1, after=after)
            parts, after = parts + list(page.items), page.next
            market.mint("a", 1, "grant:more")
            if after is None:
                break
        assert "".join(parts).startswith(text[:40])
        assert "grant:more" not in "".join(parts) or form != "beancount"
    with pytest.raises(Invalid, match="after: expected a cursor"):
        market.export_ledger_month(MONTH, "csv", after=market.export_ledger_month(MONTH, limit=1).next)
    for wrong in ("2026-13", "2026-1", "1969-12", "x"):
        with pytest.raises(Invalid, match="month"):
            market.export_ledger_month(wrong)
    with pytest.raises(Invalid, match="format: expected"):
        market.export_ledger_month(MONTH, "ledger")  # type: ignore[arg-type]


def test_what_has_moved_on_a_chain_is_done_once(market: Market) -> None:
    """EXP-5: the same report before and after, in any order, and never twice."""
    market.register_address("issuance", TOKEN)
    market.register_address("b", BETA)
    logs = [
        transfer_log(1, None, ALPHA, 100),
        transfer_log(2, ALPHA, BETA, 40),
        transfer_log(3, BETA, None, 15),
    ]
    supply = -market.wallet("issuance").balance_tokens
    looked = market.import_chain_state(logs, "ethereum")
    assert (looked.dry_run, looked.applied, looked.known, looked.refused) == (True, 3, 0, ())
    assert -market.wallet("issuance").balance_tokens == supply
    done = market.import_chain_state(logs, "ethereum", dry_run=False)
    assert msgspec.structs.replace(done, dry_run=True, seq=looked.seq, durable_seq=looked.durable_seq) == looked
    assert (done.tokens_in, done.tokens_out) == (100, 15)
    held = [market.wallet(name).balance_tokens for name in ("a", "b", "bridge-ethereum")]
    assert held == [970 + 60, 25 + 25, 0]
    assert -market.wallet("issuance").balance_tokens == supply + 85
    for again in (logs, logs[::-1], logs[1:]):
        report = market.import_chain_state(again, "ethereum", dry_run=False)
        assert (report.applied, report.known, report.refused) == (0, len(again), ())
        assert report.seq == done.seq
    paid = market.statement("a").items[1]
    assert (paid.reason, paid.reference_type) == ("earn:bridge", "chain:ethereum")
    assert paid.reference_id == f"{logs[0]['transactionHash']}:0"


def test_a_log_is_refused_with_its_reason(market: Market) -> None:
    """Each with its place, the field, the value and the bound; the others are done all the same."""
    market.register_address("issuance", TOKEN)
    market.register_address("b", BETA)
    stranger = account_of(9)
    logs: list[Any] = [
        transfer_log(1, None, stranger, 1),
        transfer_log(2, None, ALPHA, 1) | {"removed": True},
        transfer_log(3, BETA, ALPHA, 26),
        "no log",
        transfer_log(4, ALPHA, ALPHA, 1),
        transfer_log(5, None, ALPHA, 2),
    ]
    looked = market.import_chain_state(logs, "ethereum")
    report = market.import_chain_state(logs, "ethereum", dry_run=False)
    assert looked.refused == report.refused
    assert (report.applied, report.known, market.wallet("a").balance_tokens) == (1, 0, 972)
    assert [(one.index, one.reason, one.field) for one in report.refused] == [
        (0, "LOG", "topics[2]"),
        (1, "LOG", "removed"),
        (2, "FUNDS_INSUFFICIENT", "amount_tokens"),
        (3, "LOG", "log"),
        (4, "SAME_ACCOUNT", "to_account_id"),
    ]
    assert (report.refused[2].value, report.refused[2].bound) == ("26", "25")
    assert report.refused[0].value == stranger and "registered" in report.refused[0].bound
    # What was missing is there now: what was refused is done, and the rest is known.
    market.mint("b", 1, "grant:more")
    again = market.import_chain_state(logs[:3], "ethereum", dry_run=False)
    assert (again.applied, [one.index for one in again.refused]) == (1, [0, 1])


def test_a_log_is_paid_once_whoever_has_the_address_now(market: Market, owner: Exchange) -> None:
    """An account that has registered another address is still the one of its first."""
    market.register_address("issuance", TOKEN)
    log = transfer_log(1, None, ALPHA, 100)
    assert market.import_chain_state([log], "ethereum", dry_run=False).applied == 1
    market.register_address("a", BETA)
    with pytest.raises(Conflict):
        market.register_address("b", ALPHA)
    assert market.import_chain_state([log], "ethereum", dry_run=False).known == 1
    assert owner.wallet("b").balance_tokens == 25


def test_an_own_export_changes_nothing_at_its_source(market: Market) -> None:
    """EXP-6: its rows are known, by whatever name the chain goes."""
    for chain in ("ethereum", "base"):
        logs = list(market.export_ledger_for_chain(None, chain).items)
        report = market.import_chain_state(logs, chain, dry_run=False)
        assert (report.applied, report.known, report.refused) == (0, 3, ())
        told = msgspec.to_builtins(logs)
        assert market.import_chain_state(told, chain, dry_run=False).known == 3


def test_what_cannot_be_a_list_of_logs_is_refused_as_a_whole(market: Market) -> None:
    with pytest.raises(Invalid, match="state"):
        market.import_chain_state([{}] * 501, "ethereum")
    with pytest.raises(Invalid, match="state"):
        market.import_chain_state("logs", "ethereum")  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="source_chain"):
        market.import_chain_state([], "bitcoin")  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="dry_run"):
        market.import_chain_state([], "base", dry_run="no")  # type: ignore[arg-type]
    empty = market.import_chain_state([], "base", dry_run=False)
    assert (empty.applied, empty.known, empty.refused) == (0, 0, ())
