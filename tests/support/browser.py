"""A real Chromium without a window, driven over the pipe of its own DevTools protocol: no driver, no library, no port.

Rule of this file: what a person does and sees: open, resize, type, click, press, look. Where there is no Chromium,
`CHROMIUM` is None and who needs it skips.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ANSWER_S_MAX = 60.0
BEGIN_S_MAX = 20.0


class Sent(NamedTuple):
    """A request of the page."""

    url: str
    headers: dict[str, str]


class PageError(Exception):
    """The page, or the browser, says no."""


class Browser:
    """One page. `messages` are what the page wrote to its console, its errors and what its policy has blocked."""

    def __init__(self, read: int, write: int) -> None:
        self._read = read
        self._write = write
        self._rest = b""
        self._number = 0
        self._session = ""
        self.messages: list[str] = []
        self.requests: list[Sent] = []

    def begin(self) -> None:
        """Open an empty page."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            told = self._next(ANSWER_S_MAX)
            if told.get("id") == self._number:
                if "error" in told:
                    raise PageError(f"{method}: {told['error']}")
                result: dict[str, Any] = told["result"]
                return result

    def _next(self, within_s: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select.select([self._read], [], [], within_s)[0]:
                raise PageError("the browser does not answer")
            chunk = os.read(self._read, 1 << 20)
            if not chunk:
                raise PageError("the browser has gone")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\0")
        told: dict[str, Any] = json.loads(line)
        self._note(told.get("method", ""), told.get("params", {}))
        return told

    def _note(self, method: str, about: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = about["exceptionDetails"]
            self.messages.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled":
            self.messages.append(" ".join(str(one.get("value")) for one in about["args"]))
        elif method == "Log.entryAdded":
            self.messages.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(Sent(about["request"]["url"], about["request"]["headers"]))

    def open(self, url: str) -> None:
        """Go to an address, where a server may be just about to listen."""
        end_s = time.monotonic() + BEGIN_S_MAX
        while error := self.ask("Page.navigate", url=url).get("errorText"):
            if error != "net::ERR_CONNECTION_REFUSED" or time.monotonic() > end_s:
                raise PageError(f"{url}: {error}")
            time.sleep(0.05)
        self.until("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        told = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in told:
            raise PageError(f"{script}: {told['exceptionDetails']}")
        return told["result"].get("value")

    def until(self, script: str, within_s: float = 30.0) -> Any:
        """The value of an expression once it is true."""
        end_s = time.monotonic() + within_s
        while True:
            value = self.run(script)
            if value:
                return value
            if time.monotonic() > end_s:
                raise PageError(f"never: {script}\n{self.text()}\n{self.messages}")
            time.sleep(0.05)

    def text(self) -> str:
        """What is on the page, as text."""
        return str(self.run("document.body.innerText"))

    def sees(self, words: str) -> None:
        """Wait until these words are on the page."""
        self.until(f"document.body.innerText.includes({json.dumps(words)})")

    def write(self, selector: str, text: str) -> None:
        """Put text where a person would."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self.ask("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click the middle of an element."""
        box = self.run(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)}); one.scrollIntoView();"
            " const box = one.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Press a key that has a name and no sign: ArrowLeft, Enter, ..."""
        codes = {"ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35, "Enter": 13, "Tab": 9}
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key], **text)

    def resize(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """Another window, in another light."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        light = "dark" if dark else "light"
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": light}])

    def picture(self, path: Path) -> None:
        """All of the page as PNG."""
        told = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(told["data"]))


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with a profile of its own; it has ended when the block has."""
    assert CHROMIUM is not None, "no Chromium here"
    ours_read, its_write = os.pipe()
    its_read, ours_write = os.pipe()
    # Not below ours: it writes there until it has ended.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless", "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run"]
        options += ["--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-sync"]
        # Its sandbox does not work for root, which is who runs in a container.
        options += ["--no-sandbox"] if os.geteuid() == 0 else []
        # It reads at 3 and writes at 4.
        shell = f'exec "$0" "$@" 3<&{its_read} 4>&{its_write}'
        process = subprocess.Popen(
            ["bash", "-c", shell, CHROMIUM, *options, "about:blank"],
            pass_fds=(its_read, its_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(its_read)
        os.close(its_write)
        try:
            page = Browser(ours_read, ours_write)
            page.begin()
            yield page
        finally:
            os.close(ours_read)
            os.close(ours_write)  # which ends it
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
