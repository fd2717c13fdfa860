"""A served market in a process of its own, the tools in another, and the SDK's own client in front of them."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from functools import wraps
from typing import IO, Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from callmarket import Client as MarketClient
from tests.support.databases import TestServer
from tests.support.service_process import ROOT, clean
from tests.support.service_process import served as served_process
from tests.support.small_market import WAIT_S_MAX, furnish


def awaited(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in a loop of its own, for a bounded time."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), WAIT_S_MAX))

    return run


def environment(**settings: str) -> dict[str, str]:
    """The environment with these settings of ours and no others."""
    return clean() | settings


def start(*arguments: str, errors_to: IO[bytes] | None = None, **settings: str) -> subprocess.Popen[str]:
    """A process of the command line."""
    command = [sys.executable, "-m", "callmarket", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment(**settings), stdout=subprocess.PIPE, stderr=errors_to, text=True
    )


def stop(process: subprocess.Popen[str]) -> None:
    """End it as an operator does, and insist that it ends well."""
    process.terminate()
    code = process.wait(WAIT_S_MAX)
    assert process.stdout is not None
    process.stdout.close()
    assert code == 0, code


class Served:
    """A market that is served, with an admin in front of it."""

    def __init__(self, url: str, admin_key: str) -> None:
        self.url = url
        self.admin = MarketClient(url, admin_key)
        self._admin_key = admin_key
        self._names = 0

    def key(self, **scopes: Any) -> str:
        """A new key."""
        headers = {"Authorization": f"Bearer {self._admin_key}"}
        made = httpx2.post(f"{self.url}/api/v1/keys", json={"name": "test", **scopes}, headers=headers, timeout=60)
        assert made.status_code == 201, made.text
        return str(made.json()["key"])

    def revoke(self, key: str) -> None:
        """Take a key away."""
        headers = {"Authorization": f"Bearer {self._admin_key}"}
        assert httpx2.delete(f"{self.url}/api/v1/keys/{key[4:16]}", headers=headers, timeout=60).status_code == 200

    def waits(self) -> int:
        """How many wait for an award."""
        headers = {"Authorization": f"Bearer {self._admin_key}"}
        lines = httpx2.get(f"{self.url}/metrics", headers=headers, timeout=60).text.splitlines()
        return int(float(next(line.split()[1] for line in lines if line.startswith("callmarket_award_waits "))))

    def market(self, *bidder_ids: str) -> tuple[str, ...]:
        """A new market, and new accounts with 1,000 tokens each: their names."""
        self._names += 1
        names = tuple(f"{name}-{self._names}" for name in ("m", *bidder_ids))
        furnish(self.admin, *names[1:], market_id=names[0])  # type: ignore[arg-type]  # the same verbs
        return names


@pytest.fixture(scope="module")
def served(postgres_server: TestServer, template_database: str) -> Iterator[Served]:
    """A market that is served, for all tests of a file: each makes its own market and accounts."""
    with (
        postgres_server.fresh_database(template_database) as name,
        served_process(postgres_server.url(name)) as process,
    ):
        found = Served(process.url, process.key)
        with found.admin:
            yield found
        assert process.end() == 0


@pytest.fixture(scope="module")
def tools_url(served: Served) -> Iterator[str]:
    """The tools of that market over HTTP."""
    process = start("mcp", "--http", "--port", "0", CALLMARKET_URL=served.url)
    try:
        (line,) = lines_to(process, "")
        yield line.removeprefix("tools on ").strip()
    finally:
        stop(process)


def lines_to(process: subprocess.Popen[str], last: str) -> list[str]:
    """What it says, up to a line that begins so."""
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or not lines[-1].startswith(last):
        lines.append(process.stdout.readline())
        assert lines[-1], "it ended before it was ready"
    return lines


@asynccontextmanager
async def over_stdio(url: str, key: str, *options: str, **modes: Any) -> AsyncIterator[Client]:
    """The SDK's client of a child process."""
    settings = environment(CALLMARKET_URL=url, CALLMARKET_KEY=key)
    child = StdioServerParameters(
        command=sys.executable, args=["-m", "callmarket", "mcp", *options], env=settings, cwd=str(ROOT)
    )
    async with Client(stdio_client(child), **modes) as client:
        yield client


@asynccontextmanager
async def over_http(tools_url: str, key: str, account: str = "", **modes: Any) -> AsyncIterator[Client]:
    """The SDK's client of the tools over HTTP."""
    headers = {"Authorization": f"Bearer {key}"} | ({"Callmarket-Account": account} if account else {})
    async with (
        httpx2.AsyncClient(headers=headers, timeout=WAIT_S_MAX) as http,
        Client(streamable_http_client(tools_url, http_client=http), **modes) as client,
    ):
        yield client


async def use(client: Client, tool: str, **arguments: Any) -> tuple[dict[str, Any], str]:
    """What a tool gives: the structure, and the words."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    return result.structured_content, words_of(result)


async def fail(client: Client, tool: str, **arguments: Any) -> str:
    """What a model is told of a call that fails."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result.structured_content
    words = words_of(result)
    assert "Traceback" not in words
    return words


def words_of(result: Any) -> str:
    (content,) = result.content
    return str(content.text)
