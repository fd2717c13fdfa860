"""The page `/resources` in a real browser, in front of a real market on a real socket.

Goal: who opens the page sees the market as it is, live, in words when something is wrong, and nothing that a stranger
puts into a name does anything. Method: Chromium over its own protocol (`tests.support.browser`), one browser and one
market for the file; each test opens the page anew. Where there is no Chromium these tests are skipped.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from callmarket import Exchange, open_exchange
from callmarket.bridge.api.contract.results import accepted
from callmarket.bridge.api.messages import Request
from callmarket.bridge.fleet.quest_budgets.daily import DailyBudgets
from callmarket.bridge.fleet.research import post_bounty, stake
from callmarket.engine import commands
from tests.support.aged import age_stakes
from tests.support.browser import CHROMIUM, Browser, browser
from tests.support.proxy import Proxy
from tests.support.served_market import Served, served

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

# What would run if any of it were taken for markup. Names have no blanks.
EVIL = "<img/src=x/onerror=document.title='owned'>"
EVIL_TASK = "<script>document.title='owned'</script>&amp;"
# New names of artifacts have no slash.
EVIL_ARTIFACT = "<i>x<img>&amp;"
TABS = ("auction", "markets", "budgets", "research", "wallets")


class Town:
    """A market that is served, and what a test needs of it."""

    def __init__(self, market: Exchange, service: Served) -> None:
        self.market = market
        self.service = service
        self.key = service.key()
        self.numbers = iter(range(1, 10_000))

    def page(self, where: str = "") -> str:
        """The address of the page."""
        return f"{self.service.url}/resources{where}"

    def call(self, price: int, bidder: str = "a", task: str = "", impact: float | None = None) -> str:
        """One bid wins one slot at a call, against one at `price`; returns the task."""
        number = next(self.numbers)
        task = task or f"task-{number}"
        self.market.offer_slot("m", f"slot-{number}")
        self.market.place_bid("m", bidder, task, max_price_tokens=price + 5)
        self.market.place_bid("m", "b", f"loses-{number}", max_price_tokens=price)
        (award,) = self.market.clear_round("m").awards
        if impact is not None:
            self.market.settle(award.slot_id, actual_cost_tokens=1, actual_impact=impact, award_id=award.award_id)
        return task


@pytest.fixture(scope="module")
def town(module_database_url: str) -> Iterator[Town]:
    """A market with calls, a book, budgets and artifacts, and names that strangers gave."""
    with open_exchange(module_database_url) as market, served(market) as service:
        for name in ("m", "quiet"):
            market.open_market(name)
        for account_id in ("a", "b", "poor"):
            market.open_account(account_id)
        # As a market may have them from before such names were refused.
        older = (commands.OpenMarket(EVIL), commands.OpenAccount(EVIL, "agent"))
        accepted(market.node.submit([Request(commands.ADMIN, command) for command in older], "durable"))
        for account_id in ("a", "b", EVIL, "poor"):
            market.mint(account_id, 3 if account_id == "poor" else 1_000_000, "grant:initial")
        place = Town(market, service)
        place.call(1_200, impact=2.5)
        place.call(900, EVIL, EVIL_TASK)
        market.place_bid("m", EVIL, "<b>open</b>", max_price_tokens=777, time_in_force="gtd", ttl_at=_soon())
        market.offer_slot("m", "<i>slot", available_at=_soon(), reserve_price_tokens=42)
        market.put_artifact("h-1", "hypothesis", "<b>Sleep</b> clears amyloid")
        stake(market, "stake-1", "a", "h-1", 20_000)
        market.compute_resource_budget("h-1")
        age_stakes(module_database_url)
        post_bounty(market, "bounty-1", "b", "h-1", 300, expires_at=_soon() + timedelta(days=30))
        market.record_resource_spending("h-1", 700, "task", "t")
        market.mint("lmsr_subsidy_pool", 500, "grant:initial")
        for artifact_id in ("h-1", "h-2", EVIL_ARTIFACT):
            market.open_artifact_market(artifact_id, 10)
        market.open_position("h-2", "a", "long", 10)
        market.close_position(market.positions("a").items[0].position_id, 5.25)
        market.open_position("h-2", "b", "short", 40, limit_price=0.2, time_in_force="gtd", expires_at=_soon())
        market.open_position(EVIL_ARTIFACT, EVIL, "short", 3)
        with DailyBudgets(module_database_url) as budgets:
            budgets.allocate({f"quest-{number}": 1_000 for number in range(9)} | {"<b>q</b>": 50_000})
            spent = budgets.reserve("t", "<b>q</b>", 4_321, "w")
            assert spent
            budgets.spend(spent.reservation_id, 4_321)
        yield place


def _soon() -> datetime:
    return datetime.now(UTC) + timedelta(hours=5)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture
def page(chromium: Browser, town: Town) -> Iterator[Browser]:
    """The browser, with nothing remembered, and no complaint of its own after the test."""
    chromium.resize(1280, 900)
    chromium.ask("Storage.clearDataForOrigin", origin=town.service.url, storageTypes="all")
    # That leaves the tab's own storage, which has the key of the test before.
    chromium.open(town.page("/page.css"))
    chromium.run("sessionStorage.clear()")
    chromium.open("about:blank")
    chromium.messages.clear()
    chromium.requests.clear()
    yield chromium
    assert chromium.run("document.title") != "owned"
    blocked = [message for message in chromium.messages if "Content Security" in message or "Error" in message]
    assert not blocked


def enter(page: Browser, town: Town, where: str = "#auction/m", at: Proxy | None = None) -> None:
    """Open the page, perhaps by a line that can be cut, and give it a key."""
    page.open(town.page(where) if at is None else f"http://127.0.0.1:{at.listener.getsockname()[1]}/resources{where}")
    page.write("#key", town.key)
    page.press("Enter")
    page.until("document.querySelector('#status').dataset.state === 'live'")


def cells(page: Browser, caption: str) -> list[list[str]]:
    """The rows of a table, as text."""
    rows = (
        f"[...document.querySelectorAll('[aria-label={json.dumps(caption)}] tbody tr')]"
        ".map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    found: list[list[str]] = page.until(f"({rows}).length ? {rows} : null")
    return found


WINS = "Top 10 winning bids against their realised impact"


def test_the_key_is_asked_for_and_kept_for_the_tab_only(page: Browser, town: Town) -> None:
    page.open(town.page("#auction/m"))
    page.sees("session storage")
    page.write("#key", "cmk_nobody")
    page.click("#door button")
    page.sees("The key does not work")
    page.write("#key", f" {town.key} ")
    page.press("Enter")
    page.sees("Fill rate")
    assert page.run("[sessionStorage.length, localStorage.length, document.cookie]") == [1, 0, ""]
    assert town.key not in page.run("location.href + document.documentElement.outerHTML")
    assert not [sent for sent in page.requests if town.key in sent.url]
    asked = {urlsplit(sent.url).netloc for sent in page.requests if not sent.url.startswith("data:")}
    assert asked == {urlsplit(town.service.url).netloc}
    page.open(town.page("#wallets/m"))
    page.sees("Priced out")
    page.click("#forget")
    page.sees("An API key, to look at the market")
    assert page.run("sessionStorage.length") == 0
    assert "Priced out" not in page.text()


def test_a_revoked_key_is_reported(page: Browser, town: Town) -> None:
    town.key, kept = town.service.key(), town.key
    try:
        enter(page, town)
        town.service.keyring.revoke(town.key[4:16])
        page.sees("revoked")
        page.until("!document.querySelector('#door').hidden")
        assert page.run("sessionStorage.length") == 0, "it is not tried again"
    finally:
        town.key = kept


def test_the_auction_is_shown_with_its_figures(page: Browser, town: Town) -> None:
    """AUC-18, /resources: clearing prices of 24 h, fill rate, top wins against realised impact, the open book."""
    enter(page, town)
    page.sees("100%")
    assert page.until("document.querySelectorAll('.history path.price').length") == 1
    top = cells(page, WINS)
    assert [top[0][number] for number in (0, 2, 3, 5, 7, 8)] == ["a", "1,205", "1,200", "2.5", "2.08", "settled"]
    assert ["900" in row[3] for row in top if row[0] == EVIL] == [True]
    assert cells(page, "Best open bids")[0][:3] == ["777", EVIL, "<b>open</b>"]
    (ask,) = cells(page, "Slots on offer")
    assert (ask[0], ask[2], ask[3]) == ("<i>slot", "42", "treasury")
    assert [row[2:4] for row in cells(page, "The latest calls, newest first")][-1] == ["1,200", "1"]


def test_events_of_the_market_are_shown_live(page: Browser, town: Town) -> None:
    enter(page, town)
    page.sees("1,205")
    number = next(town.numbers)
    town.market.place_bid("m", "a", f"seen-{number}", max_price_tokens=33_333, time_in_force="gtd", ttl_at=_soon())
    page.sees(f"seen-{number}")
    town.market.offer_slot("m", f"live-{number}")
    (award,) = town.market.clear_round("m").awards
    page.until(f"document.querySelector('[aria-label=\"{WINS}\"]').textContent.includes('33,333')")
    town.market.settle(award.slot_id, actual_cost_tokens=1, actual_impact=7.25, award_id=award.award_id)
    page.until(f"document.querySelector('[aria-label=\"{WINS}\"]').textContent.includes('7.25')")


def test_the_stream_reconnects_with_its_last_id(page: Browser, town: Town) -> None:
    with Proxy(f"host=127.0.0.1 port={urlsplit(town.service.url).port}") as line:
        enter(page, town, at=line)
        town.call(44_000)
        page.sees("44,000")
        page.requests.clear()
        line.cut_all()
        page.until("document.querySelector('#status').dataset.state === 'polling'")
        page.until("document.querySelector('#status').dataset.state === 'live'")
        town.call(45_000)
        page.sees("45,000")
        resumed = [sent.headers for sent in page.requests if urlsplit(sent.url).path == "/api/v1/events"]
        assert resumed
        assert int(resumed[-1]["Last-Event-ID"]) > 0
        page.open("about:blank")
    page.messages.clear()  # the browser complains of the line


def test_if_the_service_does_not_respond_the_page_says_so_and_keeps_the_old_data(page: Browser, town: Town) -> None:
    with Proxy(f"host=127.0.0.1 port={urlsplit(town.service.url).port}") as line:
        enter(page, town, at=line)
        page.sees("1,205")
        line.refusing = True
        line.cut_all()
        page.sees("The service does not answer.")
        page.sees("What stands here is of before.")
        assert "1,205" in page.text()
        line.refusing = False
        page.click("button.retry")
        page.until("!document.body.innerText.includes('What stands here is of before.')")
        page.open("about:blank")
    page.messages.clear()  # the browser complains of the line


def test_the_page_is_not_blank_before_the_first_response(page: Browser, town: Town) -> None:
    with Proxy(f"host=127.0.0.1 port={urlsplit(town.service.url).port}") as line:
        page.open(f"http://127.0.0.1:{line.listener.getsockname()[1]}/resources")
        line.refusing = True
        line.cut_all()
        page.write("#key", town.key)
        page.press("Enter")
        page.sees("The service does not answer.")
        line.refusing = False
        page.click("#again")
        page.sees("Fill rate")
        assert page.run("document.querySelector('#notice').hidden")
        page.open("about:blank")
    page.messages.clear()  # the browser complains of the line


def test_a_hidden_page_sends_no_requests(page: Browser, town: Town) -> None:
    enter(page, town)
    page.sees("1,205")
    hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
    tell = "document.dispatchEvent(new Event('visibilitychange'))"
    page.run(hide % "true" + tell)
    # What was under way may still come.
    page.run("new Promise((resolve) => setTimeout(resolve, 500))")
    page.requests.clear()
    task = town.call(60_000)
    # Longer than anything on the page is left alone.
    page.run("new Promise((resolve) => setTimeout(resolve, 6000))")
    assert page.requests == []
    page.run(hide % "false" + tell)
    page.sees(task)


def test_tabs_are_links_and_are_walked_with_the_keyboard(page: Browser, town: Town) -> None:
    enter(page, town)
    page.run("document.querySelector('#tab-auction').focus()")
    for name in (*TABS[1:], "auction"):
        page.press("ArrowRight")
        where = "#markets" if name == "markets" else f"#{name}/m"
        page.until(f"location.hash === '{where}' && !document.querySelector('#panel-{name}').hidden")
        shown = "[...document.querySelectorAll('[role=tab][aria-selected=true]')].map((tab) => tab.id)"
        assert page.run(shown) == [f"tab-{name}"]
        assert page.run("document.activeElement.id") == f"tab-{name}"
        assert page.run("document.querySelectorAll('[role=tabpanel]:not([hidden])').length") == 1
    page.click("#tab-research")
    page.until("location.hash === '#research/m'")


def test_the_chart_is_read_with_the_keyboard(page: Browser, town: Town) -> None:
    enter(page, town)
    page.until("document.querySelector('.history path.price') !== null")
    page.run("document.querySelector('.history svg').focus()")
    page.press("End")
    readout = "document.querySelector('.readout').textContent"
    words = page.until(f"{readout}.includes('UTC') && {readout}")
    assert "token" in words
    assert "awarded" in words
    assert page.run("document.querySelector('.history svg').getAttribute('aria-valuetext')") == words


def test_budgets_show_who_pays_and_each_quests_part(page: Browser, town: Town) -> None:
    """AUC-18: the per-quest budget pie, and which of auction and fallback is active."""
    enter(page, town, "#budgets")
    page.sees("Work was last paid by")
    assert page.run("document.querySelectorAll('.pie .slice').length") == 8
    page.sees("3 other quests")
    assert cells(page, "Budgets of quests today, the largest first")[0][:5] == [
        "<b>q</b>",
        "50,000",
        "0",
        "4,321",
        "45,679",
    ]
    town.call(10)
    page.sees("the auction")


def test_research_shows_the_way_from_capital_to_compute(page: Browser, town: Town) -> None:
    """BRG-3, RES-8: (0.1 * 20,000 + 300) * 1 at a price of 0.5, less 700."""
    enter(page, town, "#research")
    # The markets may come after the budgets.
    page.sees("open, 0.500")
    (row,) = cells(page, "Artifacts by what is left of their budgets")
    assert row[0] == "h-1<b>Sleep</b> clears amyloid"
    assert row[2:7] == ["0.5", "20,000", "300", "1", "2,300"]
    assert row[8:] == ["700", "1,600", "open, 0.500"]
    page.sees("→ Settlement")
    page.click("#panel-research td a")
    page.until("location.hash === '#markets/h-1'")
    page.sees("Nothing was traded yet")


def test_an_artifact_market_is_shown_with_its_figures(page: Browser, town: Town) -> None:
    """10 tokens at a subsidy of 10 buy 15.84963 shares and move the price to 0.75 (Gnosis); 5.25 are sold again."""
    enter(page, town, "#markets/h-2")
    listed = {row[0]: row for row in cells(page, "Artifact markets by name")}
    assert set(listed) >= {"h-1", "h-2", EVIL_ARTIFACT}
    book = town.market.artifact_market("h-2")
    assert listed["h-2"][2] == f"{book.price:.3f}"
    assert [row[2:4] for row in cells(page, "Latest trades, newest first")] == [
        ["sold long", "5.25"],
        ["bought long", "15.85"],
    ]
    assert len(cells(page, "What it takes to move the price")) == len(book.depth)
    (resting,) = cells(page, "Resting orders by price, highest first")
    assert resting[:2] == ["0.800", "down"]
    pool = cells(page, "The pool against both payouts")
    assert [row[1] for row in pool] == [
        f"{one:.2f}" for one in (book.amm.pool_tokens, book.amm.long_shares, book.amm.short_shares)
    ]
    page.sees(f"the maker loses {book.amm.loss_bound_tokens:g} tokens at the most")
    assert page.run("document.querySelectorAll('#panel-markets circle.fill').length") == 2


def test_positions_are_those_of_the_key_or_of_whom_one_names(page: Browser, town: Town) -> None:
    """What stands there is what selling would bring, to the hundredth."""
    own, town.key = town.key, town.service.key(bid=("a", "b"))
    try:
        enter(page, town, "#markets/h-2")
        (position,) = town.market.positions("a").items
        (row,) = cells(page, "Open positions of the account")
        assert row[:3] == [str(position.position_id), "h-2", "long"]
        assert row[7] == f"{position.exit_value_tokens:.2f}"
        portfolio = town.market.get_portfolio("a")
        page.sees(f"{portfolio.equity_tokens:,.2f}")
        page.sees(f"{portfolio.realised_tokens:,.2f}")
        page.run("document.querySelector('#account').value = ''")
        page.write("#account", "poor")
        page.click(".account button")
        page.sees("This account has no open positions.")
        page.run("document.querySelector('#account').value = ''")
        page.write("#account", "nobody")
        page.press("Enter")
        page.sees("There is nothing of this name.")
        page.messages.clear()  # the browser complains of the 404
    finally:
        town.key = own


def test_a_key_without_accounts_is_asked_whose_positions(page: Browser, town: Town) -> None:
    enter(page, town, "#markets")
    page.sees("This key has no account of its own.")
    page.sees("Nobody has traded in five artifacts that were judged yet.")
    page.until("document.querySelector('[aria-current=true]') !== null")
    first = cells(page, "Artifact markets by name")[0][0]
    assert page.run("document.querySelector('#panel-markets .card:nth-child(2) h2').textContent") == first


def test_trades_are_shown_live(page: Browser, town: Town) -> None:
    """Also while no market for compute has any news."""
    enter(page, town, "#markets/h-1")
    page.sees("Nothing was traded yet")
    town.market.open_position("h-1", "b", "long", 7)
    page.until("document.querySelector('#panel-markets .history path.price') !== null")
    (trade,) = cells(page, "Latest trades, newest first")
    assert trade[1:5] == ["b", "bought long", trade[3], "7.00"]
    page.run("document.querySelector('#panel-markets .history svg').focus()")
    page.press("End")
    readout = "document.querySelector('#panel-markets .readout').textContent"
    assert "price from 0.500" in page.until(f"{readout}.includes('bought long') && {readout}")
    town.market.settle_artifact("h-1", "flagged")
    page.sees("settled as flagged")
    page.sees("a long share was worth 0.250")
    page.sees("A settled market trades nothing more.")


def test_wallets_show_who_is_priced_out(page: Browser, town: Town) -> None:
    """LED-7: who has less available than the last price, and nothing held."""
    town.call(500)
    enter(page, town, "#wallets/m")
    # The last price may come after the wallets.
    page.until("document.querySelector('#panel-wallets').textContent.includes('priced out')")
    rows = cells(page, "Wallets of agents and quests, those with least available first")
    assert (rows[0][0], rows[0][2], rows[0][-1]) == ("poor", "3", "priced out")
    assert [row[-1] for row in rows[1:]] == [""] * (len(rows) - 1)


def test_untrusted_names_are_plain_text_everywhere(page: Browser, town: Town) -> None:
    """A market, a bidder, a task, a slot, a quest and a title that look like markup make no element and run nothing."""
    enter(page, town, "#auction/m")
    for name in TABS:
        for market_id in ("m", EVIL_ARTIFACT if name == "markets" else EVIL):
            page.run(f"location.hash = '#{name}/' + encodeURIComponent({json.dumps(market_id)})")
            page.until(f"!document.querySelector('#panel-{name}').hidden")
            page.until(f"!document.querySelector('#panel-{name}').textContent.includes('Asking')")
            assert page.run("document.querySelectorAll('main img, main script, main b, main i, option *').length") == 0
    assert EVIL in page.run("document.querySelector('#market').textContent")
    assert page.run("document.title") == f"{EVIL} · callmarket"
    # The browser itself refuses what this page never does.
    assert (
        page.run("(() => { try { document.body.innerHTML = '<b>' } catch (error) { return error.name } })()")
        == "TypeError"
    )
    page.messages.clear()  # it says so


def test_an_empty_market_says_so_in_words(page: Browser, town: Town) -> None:
    enter(page, town, "#auction/quiet")
    for words in (
        "No call in the last 24 hours, so there is no price to show.",
        "Nothing was won in the last 24 hours.",
        "The book is empty",
        "No slots on offer.",
    ):
        page.sees(words)


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_a_phone(page: Browser, town: Town, dark: bool) -> None:
    enter(page, town)
    page.resize(360, 740, dark=dark, phone=True)
    for name in TABS:
        page.run(f"location.hash = '#{name}/{'h-2' if name == 'markets' else 'm'}'")
        page.until(f"!document.querySelector('#panel-{name}').textContent.includes('Asking')")
        assert page.run("document.documentElement.scrollWidth <= innerWidth"), name


def test_a_service_without_markets_says_so(page: Browser, database_url: str) -> None:
    with open_exchange(database_url) as market, served(market) as service:
        page.open(f"{service.url}/resources")
        page.write("#key", service.key())
        page.press("Enter")
        page.sees("There is no market yet.")
        for name, words in (
            ("markets", "No artifact has a market yet."),
            ("budgets", "No budget has been split"),
            ("research", "No artifact"),
            ("wallets", "No wallets"),
        ):
            page.click(f"#tab-{name}")
            page.sees(words)
        page.click("#tab-auction")
        market.open_market("first")
        page.until("document.querySelector('#market').value === 'first'")
        page.sees("The book is empty")
        page.open("about:blank")
