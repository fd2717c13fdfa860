"""The tools as an agent uses them: the SDK's own client, a child process or HTTP, and a market that is served."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from mcp import Client, MCPError

from callmarket.bridge.mcp_server import markets
from callmarket.bridge.mcp_server.calls import Agent
from callmarket.bridge.mcp_server.catalogue import BY_NAME
from callmarket.bridge.mcp_server.markets import Agents, market_of
from callmarket.bridge.mcp_server.server import RULES_URI, tools_server
from tests.bridge.mcp_server.conftest import (
    Served,
    awaited,
    environment,
    fail,
    lines_to,
    over_http,
    over_stdio,
    start,
    stop,
    use,
)
from tests.support.own_server import stopped_still
from tests.support.service_process import ROOT
from tests.support.small_market import WAIT_S_MAX

WAYS = pytest.mark.parametrize("way", ["stdio", "http", "http of 2025"])
NO_KEY = "cmk_" + "x" * 12 + "_" + "y" * 43


def connected(
    way: str, served: Served, tools_url: str, key: str, account: str = ""
) -> AbstractAsyncContextManager[Client]:
    if way == "stdio":
        return over_stdio(served.url, key, *(["--account", account] if account else []))
    return over_http(tools_url, key, account, mode="auto" if way == "http" else "legacy")


@WAYS
@awaited
async def test_an_agent_quotes_bids_waits_settles_and_looks_at_its_wallet(
    way: str, served: Served, tools_url: str
) -> None:
    m, a, b = served.market("a", "b")
    async with connected(way, served, tools_url, served.key(bid=[a])) as client:
        listed, words = await use(client, "markets")
        assert m in [row["market_id"] for row in listed["items"]]
        assert m in words
        # Whose a task_id is decides whether a bid on another's name competes with it (BID-6).
        await asyncio.to_thread(served.admin.open_market, f"{m}-own", task_scope="bidder")
        _, words = await use(client, "markets")
        for name, own in ((m, False), (f"{m}-own", True)):
            line = next(line for line in words.splitlines() if f"{name}:" in line)
            assert ("task_ids are its own" in line) == own
        await asyncio.to_thread(served.admin.offer_slot, m, f"slot-{m}")
        await asyncio.to_thread(served.admin.place_bid, m, b, "rival", 300)
        quote, words = await use(client, "quote", market_id=m, max_price_tokens=500)
        assert (quote["wins"], quote["price_tokens"]) == (True, 300)
        assert "would win" in words
        placed, words = await use(client, "place_bid", market_id=m, task_id="t", max_price_tokens=500)
        bid_id = placed["bid_id"]
        assert placed["held_tokens"] == 500
        assert f"Bid {bid_id}" in words
        words = await fail(client, "place_bid", market_id=m, task_id="t", max_price_tokens=500)
        assert "TASK_BID_OPEN" in words
        assert str(bid_id) in words, "the bid that is there already is named"
        waiting = asyncio.create_task(use(client, "my_awards", wait_s=50))
        wallet, _ = await use(client, "wallet")
        assert (wallet["account_id"], wallet["held_tokens"], wallet["available_tokens"]) == (a, 500, 500)
        await asyncio.to_thread(served.admin.clear_round, m)
        awards, words = await waiting
        (award,) = awards["items"]
        assert (award["task_id"], award["price_tokens"], award["status"]) == ("t", 300, "awarded")
        assert f"award_id {award['award_id']}, provider_id treasury, slot_id slot-{m}" in words
        report = {
            "provider_id": "treasury",
            "slot_id": f"slot-{m}",
            "award_id": award["award_id"],
            "actual_cost_tokens": 200,
            "actual_impact": 1.5,
        }
        settled, words = await use(client, "settle", **report)
        assert (settled["price_tokens"], settled["stamp"]["repeated"]) == (300, False)
        again, _ = await use(client, "settle", **report)
        assert again["stamp"]["repeated"], "a model that reports twice has reported once"
        assert "SLOT_SETTLED" in await fail(client, "settle", **{**report, "actual_cost_tokens": 201})
        wallet, words = await use(client, "wallet")
        assert (wallet["balance_tokens"], wallet["held_tokens"]) == (700, 0)
        assert "700" in words
        assert (await use(client, "why", bid_id=bid_id))[0]["status"] == "settled"
        assert (await use(client, "my_awards"))[0]["items"] == []
        assert len((await use(client, "my_awards", status="any"))[0]["items"]) == 1


@awaited
async def test_bids_are_amended_listed_cancelled_and_pages_go_on(served: Served, tools_url: str) -> None:
    m, a = served.market("a")
    async with over_http(tools_url, served.key(bid=[a])) as client:
        ids = [
            (await use(client, "place_bid", market_id=m, task_id=f"t{number}", max_price_tokens=10))[0]["bid_id"]
            for number in range(3)
        ]
        amended, _ = await use(client, "amend_bid", bid_id=ids[0], max_price_tokens=20)
        assert amended["max_price_tokens"] == 20
        book, words = await use(client, "order_book", market_id=m, limit=1)
        assert ([bid["bid_id"] for bid in book["bids"]], book["bids_total"]) == ([ids[0]], 3)
        assert "1 at 20" in words
        page, words = await use(client, "my_bids", market_id=m, status="open", limit=2)
        assert [row["bid_id"] for row in page["items"]] == [ids[2], ids[1]]
        assert page["next"] in words
        page, _ = await use(client, "my_bids", market_id=m, status="open", limit=2, after=page["next"])
        assert ([row["bid_id"] for row in page["items"]], page["next"]) == ([ids[0]], None)
        first, _ = await use(client, "cancel_bid", bid_id=ids[0])
        again, _ = await use(client, "cancel_bid", bid_id=ids[0])
        assert (first["repeated"], again["repeated"]) == (False, True)
        assert (await use(client, "wallet"))[0]["held_tokens"] == 20


@awaited
async def test_a_bid_is_repeated_by_its_key_and_placed_anew_without(served: Served, tools_url: str) -> None:
    m, a = served.market("a")
    asked = {"market_id": m, "task_id": "t", "max_price_tokens": 10}
    async with over_http(tools_url, served.key(bid=[a])) as client:
        first, _ = await use(client, "place_bid", **asked, idempotency_key="k-1")
        again, words = await use(client, "place_bid", **asked, idempotency_key="k-1")
        assert (first["bid_id"], again["stamp"]["repeated"]) == (again["bid_id"], True)
        assert "earlier attempt" in words
        await asyncio.to_thread(served.admin.clear_round, m)
        new, _ = await use(client, "place_bid", **asked)
        assert (new["bid_id"] != first["bid_id"], new["stamp"]["repeated"]) == (True, False), "it lost: bid again"


@awaited
async def test_errors_say_what_to_do(served: Served, tools_url: str) -> None:
    m, a = served.market("a")
    async with over_http(tools_url, served.key(bid=[a])) as client:
        bid = {"market_id": m, "task_id": "t", "max_price_tokens": 10}
        words = await fail(client, "place_bid", **{**bid, "max_price_tokens": 1_001})
        assert words.startswith("FUNDS_INSUFFICIENT: max_price_tokens 1001 (against 1000). ")
        assert "Bid less" in words
        assert "tool markets" in await fail(client, "place_bid", **{**bid, "market_id": "nowhere"})
        assert "NOT_FOUND" in await fail(client, "quote", market_id="nowhere", max_price_tokens=1)
        assert "max_price_tokens" in await fail(client, "place_bid", **{**bid, "max_price_tokens": "ten"})
        assert "bidder_id" in await fail(client, "place_bid", **bid, bidder_id="somebody")
        assert "limit" in await fail(client, "my_bids", limit=1_000)
        assert "without `/`" in await fail(client, "order_book", market_id="a/b")
        refused, words = await use(client, "quote", market_id=m, max_price_tokens=1_001)
        assert refused["refusal"]["reason"] == "FUNDS_INSUFFICIENT"
        assert "would be refused" in words
        with pytest.raises(MCPError, match="there is no tool"):
            await client.call_tool("mint", {"account_id": a})


@WAYS
@awaited
async def test_a_key_is_limited_to_its_scopes(way: str, served: Served, tools_url: str) -> None:
    m, a, b = served.market("a", "b")
    async with (
        connected(way, served, tools_url, served.key()) as reader,
        connected(way, served, tools_url, served.key(bid=[a, b]), b) as beta,
        over_http(tools_url, served.key(bid=[a])) as alpha,
    ):
        assert "FORBIDDEN" in await fail(reader, "place_bid", market_id=m, task_id="t", max_price_tokens=1)
        assert "FORBIDDEN" in await fail(reader, "my_bids")
        assert (await use(reader, "wallet", account_id=a))[0]["balance_tokens"] == 1_000
        placed, _ = await use(beta, "place_bid", market_id=m, task_id="t", max_price_tokens=1)
        assert (await use(beta, "wallet"))[0]["account_id"] == b, "of its two accounts the one that was named"
        assert "NOT_PERMITTED" in await fail(alpha, "cancel_bid", bid_id=placed["bid_id"])
        assert (await use(alpha, "my_bids"))[0]["items"] == [], "one server, and each agent sees its own"
        await use(beta, "cancel_bid", bid_id=placed["bid_id"])
    async with connected(way, served, tools_url, served.key(bid=[a, b])) as either:
        assert f"one of {a}, {b}" in await fail(either, "wallet")
    async with connected(way, served, tools_url, NO_KEY) as nobody:
        assert "UNAUTHORIZED" in await fail(nobody, "markets")


@awaited
async def test_only_a_provider_settles_where_impact_is_rewarded(served: Served, tools_url: str) -> None:
    m, a = served.market("a")
    await asyncio.to_thread(
        lambda: served.admin.open_market(
            f"{m}-paid", reward_tokens_per_impact=5, reward_cap_tokens=9, reward_day_cap_tokens=9
        )
    )
    await asyncio.to_thread(served.admin.mint, "treasury", 5, "fund:rewards")
    await asyncio.to_thread(served.admin.open_account, f"p-{m}", "provider")
    keys = served.key(bid=[a]), served.key(offer=[f"p-{m}"])
    await asyncio.to_thread(lambda: served.admin.offer_slot(f"{m}-paid", f"s-{m}", provider_id=f"p-{m}"))
    async with over_http(tools_url, keys[0]) as bidder, over_http(tools_url, keys[1]) as provider:
        await use(bidder, "place_bid", market_id=f"{m}-paid", task_id="t", max_price_tokens=1)
        await asyncio.to_thread(served.admin.clear_round, f"{m}-paid")
        ((award,), _) = (await use(bidder, "my_awards"))[0]["items"], ""
        slot = {"provider_id": award["provider_id"], "slot_id": award["slot_id"], "award_id": award["award_id"]}
        report = {**slot, "actual_cost_tokens": 0, "actual_impact": 1}
        assert "FORBIDDEN" in await fail(bidder, "settle", **report)
        assert "FORBIDDEN" in await fail(bidder, "void", **slot)
        assert (await use(provider, "settle", **report))[0]["reward_tokens"] == 5


@awaited
async def test_an_unavailable_market_is_reported(served: Served) -> None:
    async with over_stdio("http://127.0.0.1:9", served.key()) as client:
        words = await fail(client, "markets")
        assert words.startswith("UNAVAILABLE")
        assert "Nothing happened" in words


@pytest.mark.slow
@awaited
async def test_a_bid_in_doubt_can_be_repeated(served: Served, tools_url: str) -> None:
    """The market stands still after the bid was sent: nobody knows. With the key that is told it is done once."""
    m, a = served.market("a")
    bid = {"market_id": m, "task_id": "t", "max_price_tokens": 10}
    async with over_http(tools_url, served.key(bid=[a])) as client:
        await use(client, "wallet")
        with stopped_still([served.process.pid]):
            words = await fail(client, "place_bid", **bid)
        assert words.startswith("UNKNOWN_OUTCOME")
        key = words.partition("idempotency_key='")[2].partition("'")[0]
        placed, _ = await use(client, "place_bid", **bid, idempotency_key=key)
        assert placed["stamp"]["repeated"], "it had arrived"
        assert (await use(client, "wallet"))[0]["held_tokens"] == 10


@awaited
async def test_a_cancelled_call_closes_its_request_to_the_market(served: Served) -> None:
    _, a = served.market("a")
    began, ended = asyncio.Event(), asyncio.Event()
    async with market_of(served.url, served.key(bid=[a]), a) as market:

        @asynccontextmanager
        async def seen(_: object) -> AsyncIterator[Agent]:
            began.set()
            try:
                yield Agent(market, a)
            finally:
                ended.set()

        async with Client(tools_server(seen)) as client:
            waiting = asyncio.create_task(client.call_tool("my_awards", {"wait_s": 50}))
            await began.wait()
            waiting.cancel()
            async with asyncio.timeout(20):
                await ended.wait()
            assert (await use(client, "wallet"))[0]["account_id"] == a


@awaited
async def test_http_accepts_only_local_requests_with_a_key(served: Served, tools_url: str) -> None:
    ask = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    good = {"Authorization": f"Bearer {served.key()}", "Accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient(timeout=60) as http:
        assert (await http.post(tools_url, json=ask, headers=good)).status_code == 200
        for wrong, status in (
            ({"Authorization": ""}, 401),
            ({"Authorization": "Basic abc"}, 401),
            ({"Authorization": "Bearer cmk_short"}, 401),
            ({"Host": "market.example.org"}, 421),
            ({"Origin": "https://market.example.org"}, 403),
        ):
            answer = await http.post(tools_url, json=ask, headers=good | wrong)
            assert answer.status_code == status, wrong
        twice = [*good.items(), ("Authorization", "Bearer " + NO_KEY)]
        assert (await http.post(tools_url, json=ask, headers=twice)).status_code == 401, "which of them counts?"
        long = {**ask, "params": {"_meta": {"x": "y" * 70_000}}}
        assert (await http.post(tools_url, json=long, headers=good)).status_code == 413


@awaited
async def test_http_accepts_only_post_and_no_duplicate_names(served: Served, tools_url: str) -> None:
    """No sessions: so there is no stream to open, to resume (Last-Event-ID) or to end. And an offer is passed over."""
    good = {"Authorization": f"Bearer {served.key()}", "Accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient(headers=good, timeout=60) as http:
        for method in ("GET", "DELETE", "HEAD", "OPTIONS", "PUT"):
            for more in ({}, {"Last-Event-ID": "1"}, {"Mcp-Session-Id": "x"}):
                answer = await http.request(method, tools_url, headers=more)
                assert (answer.status_code, answer.headers["allow"]) == (405, "POST"), method
        asked = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}'
        offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABk"}
        answer = await http.post(tools_url, content=asked, headers={"Content-Type": "application/json", **offer})
        assert answer.status_code == 200, answer.text
        for twice in (
            b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list", "method": "tools/call"}',
            b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "quote", "arguments": '
            b'{"market_id": "m", "max_price_tokens": 1, "max_price\\u005ftokens": 2}}}',
        ):
            answer = await http.post(tools_url, content=twice, headers={"Content-Type": "application/json"})
            assert (answer.status_code, "twice" in answer.text) == (400, True), answer.text
        for bad in (b"", b"{", b"\xff"):
            answer = await http.post(tools_url, content=bad, headers={"Content-Type": "application/json"})
            assert answer.status_code == 400, answer.text


@awaited
async def test_a_tool_refuses_values_of_the_wrong_type_or_range(served: Served, tools_url: str) -> None:
    m, a = served.market("a")
    async with over_http(tools_url, served.key(bid=[a])) as client:
        for odd in ("5", " 5", "1e3", "0x10", True, None, 5.0, 5.5, 1e3, [5], -1, 2**53):
            words = await fail(client, "place_bid", market_id=m, task_id="t", max_price_tokens=odd)
            assert words.startswith("INVALID: max_price_tokens: "), words
            assert "max_price_tokens" in await fail(client, "quote", market_id=m, max_price_tokens=odd)
            assert "bid_id" in await fail(client, "why", bid_id=odd)
        words = await fail(
            client, "place_bid", market_id=m, task_id="t", max_price_tokens=5, ttl_at="9999-01-01T00:00:00Z"
        )
        assert "ttl_at: expected a time from 1970 to" in words, words
        words = await fail(client, "place_bid", market_id=m, task_id="a task", max_price_tokens=5)
        assert words.startswith("INVALID: task_id: Expected visible ASCII without spaces. "), words
        assert (await use(client, "wallet"))[0]["held_tokens"] == 0


def test_stdio_ends_when_its_reader_is_gone(served: Served) -> None:
    """Though its input stays open: a client that died may have left that to another process."""
    settings = environment(CALLMARKET_URL=served.url, CALLMARKET_KEY=served.key())
    command = [sys.executable, "-m", "callmarket", "mcp"]
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    }
    for greets in (True, False):
        process = subprocess.Popen(command, cwd=ROOT, env=settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin:
            if greets:
                process.stdin.write(json.dumps(hello).encode() + b"\n")
                process.stdin.flush()
                assert b"callmarket" in process.stdout.readline()
            process.stdout.close()
            assert process.wait(WAIT_S_MAX) == 0


@awaited
async def test_the_rules_are_a_resource(tools_url: str) -> None:
    async with over_http(tools_url, NO_KEY) as client:
        assert RULES_URI in (client.instructions or "")
        (resource,) = (await client.list_resources()).resources
        (page,) = (await client.read_resource(resource.uri)).contents
        assert "FUNDS_INSUFFICIENT" in page.text  # type: ignore[union-attr]
        with pytest.raises(MCPError):
            await client.read_resource("callmarket://else")
        assert {tool.name for tool in (await client.list_tools()).tools} == set(BY_NAME)


@awaited
async def test_clients_of_keys_are_bounded_and_never_closed_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markets, "KEYS_KEPT", 1)
    agents = Agents("http://127.0.0.1:9")
    async with agents.using("one", "") as one:
        async with agents.using("two", "") as two:
            assert one is not two
        async with agents.using("one", "") as again:
            assert again is one, "still there: it was in use"
        async with agents.using("one", "other") as other:
            assert other is not one, "another account is another agent"
    async with agents.using("two", "") as anew:
        assert anew is not two
    assert len(agents._agents) == 1
    await agents.close()
    assert not agents._agents


@awaited
async def test_the_tools_shut_down_cleanly_while_a_call_waits(served: Served) -> None:
    """The wait is cut short: nobody waits a minute for a server that was told to end."""
    _, a = served.market("a")
    process = start("mcp", "--http", "--port", "0", CALLMARKET_URL=served.url)
    (line,) = await asyncio.to_thread(lines_to, process, "")
    async with over_http(line.removeprefix("tools on ").strip(), served.key(bid=[a])) as client:
        await use(client, "wallet")
        waiting = asyncio.create_task(client.call_tool("my_awards", {"wait_s": 50}))
        while not await asyncio.to_thread(served.waits):  # noqa: ASYNC110 -- it is the market that knows
            await asyncio.sleep(0.05)
        async with asyncio.timeout(25):
            await asyncio.to_thread(stop, process)
        with pytest.raises(MCPError):
            await waiting


@pytest.mark.parametrize("way", ["http", "stdio"])
@awaited
async def test_a_wait_ends_when_its_key_is_revoked(served: Served, tools_url: str, way: str) -> None:
    """A call that waits for an award is told that its key was taken away, and so is every call after it."""
    _, a = served.market("a")
    key = served.key(bid=[a])
    async with over_http(tools_url, key) if way == "http" else over_stdio(served.url, key) as client:
        await use(client, "wallet")
        waiting = asyncio.create_task(fail(client, "my_awards", wait_s=50))
        while not await asyncio.to_thread(served.waits):  # noqa: ASYNC110 -- it is the market that knows
            await asyncio.sleep(0.05)
        await asyncio.to_thread(served.revoke, key)
        async with asyncio.timeout(30):
            words = await waiting
        assert words.startswith(f"UNAUTHORIZED: key {key[4:16]} was taken away")
        assert (await fail(client, "wallet")).startswith("UNAUTHORIZED")


def test_a_key_in_a_trailer_is_ignored(tools_url: str) -> None:
    """A trailer counts for nothing here either: a proxy that keeps rules about headers has not seen it."""
    asked = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}'
    place = httpx2.URL(tools_url)
    head = f"POST {place.path} HTTP/1.1\r\nHost: {place.host}:{place.port}\r\nConnection: close\r\n".encode()
    head += b"Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
    head += b"Transfer-Encoding: chunked\r\n"
    key = f"Authorization: Bearer {NO_KEY}\r\n".encode()
    chunks = b"%x\r\n%b\r\n0\r\n" % (len(asked), asked)
    for parts, statuses in (
        ((head + b"\r\n" + chunks + key + b"\r\n",), {400, 401}),
        ((head + b"\r\n", chunks + key, b"\r\n"), {400, 401}),
        ((head + key + b"\r\n", chunks + b"Callmarket-Account: x\r\n", b"\r\n"), {400}),
        ((head + key + b"\r\n", chunks + b"\r\n"), {200}),
    ):
        with socket.create_connection((place.host, place.port or 80), timeout=30) as line:
            for part in parts:
                line.sendall(part)
            told = line.makefile("rb").readline()
        assert int(told.split()[1]) in statuses, (parts, told)


def test_refused_requests_are_logged_in_the_usual_format(tmp_path: Path) -> None:
    """In JSON where no person reads it, whatever stands in a stranger's header."""
    log = tmp_path / "log"
    with log.open("wb") as errors:
        process = start("mcp", "--http", "--port", "0", errors_to=errors, CALLMARKET_URL="http://127.0.0.1:9")
        (line,) = lines_to(process, "")
        ask = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        good = {"Authorization": f"Bearer {NO_KEY}", "Accept": "application/json, text/event-stream"}
        with httpx2.Client(timeout=60) as client:
            for number in range(4):
                wrong = {"Host": f"market{number}.example.org"} if number % 2 else {"Origin": 'http://x"y.org'}
                answer = client.post(line.removeprefix("tools on ").strip(), json=ask, headers=good | wrong)
                assert answer.status_code == (421 if number % 2 else 403)
        stop(process)
    lines = [json.loads(text) for text in log.read_text(encoding="utf-8").splitlines()]
    assert {one["level"] for one in lines} == {"warning"}, lines
    assert any("market1.example.org" in one["event"] for one in lines)
