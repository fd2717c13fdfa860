"""The texts for accounting tools, read by these tools.

Goal: EXP-7; what an accountant's own tool says of the files is "no errors", and its balances are the market's. Method:
random ledgers over some months, with names and memos that look like syntax; `bean-check` of the environment, and
`hledger` where it is installed.
"""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from callmarket import Exchange, ManualClock
from callmarket.bridge.ledger_export import beancount, hledger
from tests.bridge.cli.test_commands import as_json, run
from tests.support.busy_ledger import make_busy

BEAN_CHECK = Path(sys.executable).with_name("bean-check")
HLEDGER = shutil.which("hledger")
needs_hledger = pytest.mark.skipif(HLEDGER is None, reason="no hledger here: apt-get install hledger")
SUFFIXES = {"beancount": "beancount", "hledger": "journal"}


@pytest.fixture
def busy(market: Exchange, clock: ManualClock, seed: int) -> Exchange:
    """A ledger over some months."""
    make_busy(market, random.Random(seed), 120, clock)
    return market


def written(form: str, folder: Path, url: str) -> dict[str, bytes]:
    """What `callmarket export` writes into a folder, by name."""
    told = as_json("export", "--format", form, "--out", str(folder), url=url)
    files = {Path(name).name: Path(name).read_bytes() for name in told["files"]}
    assert sorted(files) == sorted(path.name for path in folder.iterdir())
    return files


def balances(market: Exchange) -> dict[str, int]:
    return {one.account_id: one.balance_tokens for one in market.wallets(limit=1_000).items if one.balance_tokens}


def asked(*command: str | Path) -> str:
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=100)
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    return ran.stdout


def test_bean_check_has_no_complaint(busy: Exchange, database_url: str, tmp_path: Path) -> None:
    files = written("beancount", tmp_path, database_url)
    assert len(files) > 2
    assert asked(BEAN_CHECK, tmp_path / "ledger.beancount") == ""
    # And what it checks is there: another amount, or another balance, is noticed.
    month = tmp_path / min(name for name in files if name != "ledger.beancount")
    text = month.read_text()
    line = next(line for line in text.splitlines() if line.startswith("  Liabilities") and " -" in line)
    month.write_text(text.replace(line, f"{line[:-6]}9 TOKEN", 1))
    ran = subprocess.run([str(BEAN_CHECK), str(tmp_path / "ledger.beancount")], capture_output=True, check=False)
    assert ran.returncode == 1


def test_beancount_comes_to_the_markets_balances(busy: Exchange, database_url: str, tmp_path: Path) -> None:
    written("beancount", tmp_path, database_url)
    program = """
import json, sys
from beancount import loader
from beancount.core import data, realization
entries, errors, _ = loader.load_file(sys.argv[1])
assert not errors, errors
found = {one.account: str(one.balance.get_currency_units("TOKEN").number)
    for one in realization.iter_children(realization.realize(entries)) if not one.balance.is_empty()}
texts = [(next(iter(one.links)), one.meta.get("memo", "")) for one in entries if isinstance(one, data.Transaction)]
print(json.dumps([found, texts]))
"""
    found, texts = json.loads(asked(sys.executable, "-c", program, tmp_path / "ledger.beancount"))
    assert {name: int(tokens) for name, tokens in found.items()} == {
        beancount.account_of(name): -tokens for name, tokens in balances(busy).items()
    }
    movements = busy.node.read(lambda state: state.ledger.transfers_posted)
    assert sorted(int(link[1:]) for link, _ in texts) == list(range(1, movements + 1))
    assert any("漢字" in memo for _, memo in texts) or any('"quoted"' in memo for _, memo in texts)


@needs_hledger
def test_hledger_has_no_complaint(busy: Exchange, database_url: str, tmp_path: Path) -> None:
    """Strictly: accounts and commodity declared, days in order, and each balance assertion true."""
    written("hledger", tmp_path, database_url)
    journal = tmp_path / "ledger.journal"
    assert asked(str(HLEDGER), "-f", journal, "check", "-s", "ordereddates") == ""
    told = asked(str(HLEDGER), "-f", journal, "balance", "--flat", "-N", "-O", "csv")
    rows = [line.strip('"').split('","') for line in told.splitlines()[1:]]
    assert {name: int(tokens.split()[0]) for name, tokens in rows} == {
        hledger.account_of(name): -tokens for name, tokens in balances(busy).items()
    }
    day = min(path for path in tmp_path.glob("2*.journal"))
    day.write_text(day.read_text().replace(" = -", " = -1", 1))
    ran = subprocess.run([str(HLEDGER), "-f", str(journal), "check"], capture_output=True, check=False)
    assert ran.returncode == 1


@pytest.mark.parametrize("form", SUFFIXES)
def test_a_month_that_is_over_is_the_same_bytes_for_ever(
    form: str, busy: Exchange, clock: ManualClock, database_url: str, tmp_path: Path
) -> None:
    """EXP-7: a file is replaced and never merged, so nothing is doubled and nothing is missed."""
    before = written(form, tmp_path / "before", database_url)
    assert written(form, tmp_path / "before", database_url) == before
    last = max(name for name in before if not name.startswith("ledger"))
    busy.mint("alpha", 3, "grant:more")
    clock.set_us(clock() + 40 * 24 * 3600 * 1_000_000)
    busy.open_account("late")
    busy.transfer("alpha", "late", 1, "payment:late")
    after = written(form, tmp_path / "after", database_url)
    assert {name: text for name, text in after.items() if name < last} == {
        name: text for name, text in before.items() if name < last
    }
    assert after[last] != before[last] and len(after) > len(before)
    if form == "beancount":
        assert asked(BEAN_CHECK, tmp_path / "after" / "ledger.beancount") == ""


def test_a_month_alone_goes_to_stdout(busy: Exchange, database_url: str, tmp_path: Path) -> None:
    month = busy.ledger_months().months[0]
    files = written("beancount", tmp_path, database_url)
    ran = run("export", "--format", "beancount", "--month", month, url=database_url)
    assert (ran.returncode, ran.stdout.encode()) == (0, files[f"{month}.beancount"])
