"""`callmarket budgets`, as a person or a program uses it."""

import pytest

from callmarket import Exchange, ManualClock
from callmarket.bridge.fleet.research import stake
from tests.bridge.cli.test_commands import as_json, complaint, run
from tests.support.aged import let_pass
from tests.support.small_market import furnish


@pytest.fixture
def url(market: Exchange, clock: ManualClock, database_url: str) -> str:
    """A database with two artifacts to which something is committed, and one without."""
    furnish(market, "a", tokens=100_000)
    for number, kind in enumerate(("hypothesis", "paper", "paper")):
        market.put_artifact(f"x{number}", kind)
        if number < 2:
            stake(market, f"s{number}", "a", f"x{number}", 10_000 * (number + 1))
    let_pass(market, clock)
    market.record_resource_spending("x1", 500, "task", "t1")
    return database_url


def test_budgets_are_shown_the_largest_first(url: str) -> None:
    """RES-7: in the terminal too."""
    found = as_json("budgets", url=url)["budgets"]
    assert [(one["artifact_id"], one["budget_tokens"], one["left_tokens"]) for one in found] == [
        ("x1", 2_000, 1_500),
        ("x0", 1_000, 1_000),
    ]
    (paper,) = as_json("budgets", "paper", "--rows", "5", url=url)["budgets"]
    assert paper == found[0]
    assert as_json("budgets", "--rows", "1", url=url)["budgets"] == found[:1]
    shown = run("budgets", url=url, CALLMARKET_LLM_TOKENS_PER_TOKEN="10")
    assert shown.returncode == 0
    for words in ("x0", "20,000", "1,500", "15,000"):
        assert words in shown.stdout
    assert "artifact_type" in complaint(run("budgets", "two words", url=url), 2)
