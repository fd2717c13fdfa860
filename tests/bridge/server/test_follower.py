"""The process that takes snapshots beside a service: when it is started, again and again, and that it is ended.

Method: real processes of a program that notes how it was called; pauses are written down and not waited for.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from callmarket.bridge.server import follower
from tests.support.small_market import WAIT_S_MAX

DONE = "exit 3"
STAYS = "exec sleep 1000"
STUBBORN = "trap '' TERM; while :; do sleep 0.02; done"


class Hurried:
    """As asyncio, but that a pause takes no time."""

    def __init__(self, lived_s: float) -> None:
        """Each process seems to have lived so long."""
        self.slept_s: list[float] = []
        self._now_s = 0.0
        self._lived_s = lived_s

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        await asyncio.sleep(0)

    def get_running_loop(self) -> SimpleNamespace:
        return SimpleNamespace(time=self._time)

    def _time(self) -> float:
        self._now_s += self._lived_s
        return self._now_s


class Started:
    """A program in the place of ours, and what it has noted."""

    def __init__(self, folder: Path, does: str) -> None:
        self.program, self._notes = folder / "program", folder / "notes"
        self.program.write_text(f'#!/bin/sh\necho "$$ $WHO $@" >> {self._notes}\n{does}\n')
        self.program.chmod(0o755)

    def calls(self) -> list[str]:
        return self._notes.read_text().splitlines() if self._notes.exists() else []

    def pid(self) -> int:
        return int(self.calls()[-1].split()[0])


def take_snapshots(leads: Callable[[], bool] = lambda: True) -> "asyncio.Task[None]":
    return asyncio.create_task(follower.take_snapshots(3, 60.0, {"WHO": "me"}, leads))


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S_MAX):
        while not true():  # noqa: ASYNC110 -- nobody announces it
            await asyncio.sleep(0.005)


async def cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("lived_s", "pauses_s"), [(300.0, [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]), (300.1, [5.0] * 7)]
)
def test_snapshots_begin_once_the_process_leads_and_restart_after_growing_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lived_s: float, pauses_s: list[float]
) -> None:
    """One that has lived for long begins anew after the shortest."""
    started, hurried, looks = Started(tmp_path, DONE), Hurried(lived_s), 0
    monkeypatch.setattr(follower, "asyncio", hurried)
    monkeypatch.setattr(follower, "sys", SimpleNamespace(executable=str(started.program)))

    def leads() -> bool:
        nonlocal looks
        assert not started.calls()
        looks += 1
        return looks > 2

    async def run() -> None:
        task = take_snapshots(leads)
        await until(lambda: len(hurried.slept_s) >= 2 + len(pauses_s))
        await cancelled(task)

    asyncio.run(run())
    assert hurried.slept_s[: 2 + len(pauses_s)] == [1.0, 1.0, *pauses_s]
    assert len(started.calls()) >= len(pauses_s)
    for call in started.calls():
        assert call.split(" ", 1)[1] == "me -m callmarket snapshot --every 60.0 --attached --shard 3 --json"


@pytest.mark.parametrize("does", [STAYS, STUBBORN], ids=["in order", "not in order"])
def test_cancelling_the_follower_ends_its_child_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str
) -> None:
    started = Started(tmp_path, does)
    monkeypatch.setattr(follower, "sys", SimpleNamespace(executable=str(started.program)))
    monkeypatch.setattr(follower, "_END_S_MAX", 0.2)

    children: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def starting(*given: Any, **options: Any) -> asyncio.subprocess.Process:
        children.append(await start(*given, **options))
        return children[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", starting)

    async def run() -> None:
        task = take_snapshots()
        # It may run before the follower is told that it was started.
        await until(lambda: bool(children) and bool(started.calls()))
        await cancelled(task)
        assert children[0].returncode is not None, "whoever waits for the end of the follower waits for its child"

    asyncio.run(run())
    assert len(started.calls()) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(started.pid(), 0)
