"""The running service does what its OpenAPI document says: Schemathesis makes up requests, good and bad, and checks.

A real process with a real PostgreSQL. Every status, content type, header and body has to be one of those that the
document promises; bad data is refused; no request is answered without its key; nothing ends in an error of the service.
"""

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.cases import BY_ID
from tests.support.service_process import ServiceProcess, served

CONFIG = Path(__file__).with_name("schemathesis.toml")
# The first one's answer never ends. The second takes a key away, and now and then the checker's own, which it has read
# in a list of them: then all that it asks is answered with 401. Its examples are tried in `test_openapi`.
LEFT_OUT = ("events", "revoke_key")
# The service as a user starts it, but for one bound: a checker fails hundreds of times a second from one address and
# wants to be told 401 each time. The bound itself has tests of its own.
_OPEN = """\
from callmarket.bridge.access import authenticator
authenticator.FAILURES_BURST = authenticator.FAILURES_PER_S = 1_000_000
from callmarket.bridge.cli.commands import main
main()
"""


@pytest.fixture(scope="module")
def service(module_database_url: str) -> Iterator[ServiceProcess]:
    """A service with one market, one wallet and a key that may do everything."""
    with served(module_database_url, start=("-c", _OPEN)) as running:
        running.make(
            ("/markets", {"market_id": "agents"}),
            ("/wallets", {"account_id": "alpha"}),
            ("/wallets/alpha/mint", {"amount_tokens": 1_000_000, "reason": "grant:initial"}),
        )
        yield running


def check(service: ServiceProcess, seed: int, examples: int, *more: str) -> None:
    """Let the checker loose."""
    with service.client() as client:
        everything = {"name": "checker", "bid": ["alpha"], "offer": ["gpu"], "operate": True, "admin": True}
        asked = client.post("/api/v1/keys", json=everything | {"rate_per_s": 1_000_000, "burst": 1_000_000})
    command = [sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", str(CONFIG), "run"]
    command += [f"{service.url}/api/openapi.json", "--header", f"Authorization: Bearer {asked.json()['key']}"]
    command += ["--seed", str(seed), "--max-examples", str(examples), "--request-timeout", "20", *more]
    for name in LEFT_OUT:
        command += ["--exclude-operation-id", name]
    # It keeps what it finds in the folder that it is started in.
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"seed {seed}\n{done.stdout[-20_000:]}\n{done.stderr[-2_000:]}"
    assert "Traceback" not in service.log, service.log[-5_000:]


@pytest.mark.timeout(600)  # half a minute on a quiet machine
def test_the_service_does_what_its_document_says(service: ServiceProcess, seed: int) -> None:
    check(service, seed, 3, "--phases", "examples,coverage,fuzzing")


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_the_service_does_what_its_document_says_at_length(service: ServiceProcess, seed: int) -> None:
    check(service, seed, 200)


def test_a_cycle_is_set_by_its_example_and_by_the_admin(service: ServiceProcess) -> None:
    """Here, and not with the other examples, because it takes the process that calls the markets."""
    with service.client() as client:
        client.post("/api/v1/markets", json={"market_id": "called"}).raise_for_status()
        case = BY_ID["set_cycle"]
        told = client.put(case.at(market_id="called"), **case.body)
        asked = client.get("/api/v1/markets/called/cycle")
    for answer in (told, asked):
        assert answer.status_code == 200, answer.text
        assert (answer.json()["mode"], answer.json()["period"]) == ("every", "PT30S")
        assert 0 < answer.json()["seq"] <= answer.json()["durable_seq"]


# --- what no client library sends ------------------------------------------------------------------------------------

TARGETS = [
    "/api/v1/markets",
    "/api/v1//markets",
    "//api/v1/markets",
    "/healthz/../api/v1/markets",
    "/healthz/..%2fapi/v1/markets",
    "/healthz%2f..%2fapi%2fv1%2fmarkets",
    "/problems/../api/v1/markets",
    "/problems/%2e%2e/api/v1/markets",
    "/api/docs/../v1/markets",
    "/resources/../api/v1/markets",
    "/resources/..%2fapi/v1/markets",
    "/api/docs/..;/v1/markets",
    "/api/docs%00/../v1/markets",
    "/api/openapi.json/../v1/markets",
    "/API/V1/markets",
    "/api/v1/markets/",
    "/api/v1/markets;x=/healthz",
    "/api/v1/markets?/healthz",
    "/api/v1/markets#/healthz",
    "/api/v1/m%61rkets",
    "/api/v1/markets%20",
    "/api%2fv1%2fmarkets",
    "\\api\\v1\\markets",
    "/./api/v1/markets",
    "/api/wallets",
    "/api/compute-auction/stats",
    "http://localhost/api/v1/markets",
    "http://localhost/healthz/../api/v1/markets",
    "*",
]
METHODS = ["GET", "HEAD", "OPTIONS", "TRACE", "POST", "PUT", "DELETE", "PATCH", "CONNECT", "PROPFIND", "get", "GET\tX"]


def raw(service: ServiceProcess, request: bytes) -> bytes:
    """The bytes of an answer."""
    where = urlsplit(service.url)
    with socket.create_connection((where.hostname, where.port), timeout=20) as line:
        line.sendall(request)
        answer = b""
        while chunk := line.recv(65_536):
            answer += chunk
    return answer


def test_no_spelling_of_a_path_and_no_method_gets_past_the_gateway(service: ServiceProcess) -> None:
    for method in METHODS:
        for target in TARGETS:
            request = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
            answer = raw(service, request)
            status = int(answer.split(b" ", 2)[1])
            assert status in (400, 401, 404, 405, 501), (method, target, answer)
            assert b"agents" not in answer, (method, target, answer)


def test_nothing_is_smuggled_in_with_a_header_or_a_body(service: ServiceProcess) -> None:
    """One request is one request, whatever a proxy might make of it."""
    inner = b"GET /api/v1/markets HTTP/1.1\r\nHost: x\r\n\r\n"
    key = f"Authorization: Bearer {service.key}\r\n".encode()
    end = b"Connection: close\r\n\r\n"
    post = b"POST /api/v1/sweep HTTP/1.1\r\nHost: x\r\n"
    attacks = {
        "two lengths": post + b"Content-Length: 0\r\nContent-Length: 45\r\n",
        "length and chunks": post + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "a folded header": b"GET /api/v1/markets HTTP/1.1\r\nHost: x\r\nX: y\r\n Authorization: Bearer z\r\n",
        "a bare line feed": b"GET /api/v1/markets HTTP/1.1\nHost: x\nX: y\r\n",
        "a blank before the colon": b"GET /api/v1/markets HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer z\r\n",
        "an underscore": b"GET /api/v1/markets HTTP/1.1\r\nHost: x\r\n" + key.replace(b"zation", b"_zation"),
    }
    for name, head in attacks.items():
        answer = raw(service, head + end + inner)
        assert int(answer.split(b" ", 2)[1]) in (400, 401), (name, answer)
        assert b"agents" not in answer, (name, answer)
    answer = raw(service, b"GET /api/v1/markets HTTP/1.1\r\nHost: x\r\n" + key + end)
    assert b"agents" in answer, "with its key it is answered, so that the rest proves something"
