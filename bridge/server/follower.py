"""The process that takes snapshots while this one leads. It is restarted when it ends.

Rule of this file: it is a child process that can be killed at any time and that ends when its parent ends, in whatever
way. Its failures are logged and never stop the market: snapshots are a cache.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable, Mapping
from typing import Final

logger: Final = logging.getLogger(__name__)

# Between two starts, if it has ended by itself: the database is unavailable, or the journal is damaged.
RESTART_S_MIN: Final = 5.0
RESTART_S_MAX: Final = 300.0
# How long it has to undo unfinished work after SIGTERM.
_END_S_MAX: Final = 10.0


async def take_snapshots(
    shard_id: int, every_s: float, environment: Mapping[str, str], leads: Callable[[], bool]
) -> None:
    """Keep `callmarket snapshot --every` running for a shard, once this process leads, until this task is cancelled."""
    while not leads():  # noqa: ASYNC110 -- nothing signals this, and within a second is soon enough
        await asyncio.sleep(1.0)
    pause_s = RESTART_S_MIN
    while True:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "callmarket",
            "snapshot",
            "--every",
            str(every_s),
            "--attached",
            "--shard",
            str(shard_id),
            "--json",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            env=dict(environment),
        )
        began_s = asyncio.get_running_loop().time()
        try:
            code = await child.wait()
        finally:
            await _end(child)
        lived_s = asyncio.get_running_loop().time() - began_s
        pause_s = RESTART_S_MIN if lived_s > RESTART_S_MAX else min(2 * pause_s, RESTART_S_MAX)
        logger.warning("the process that takes snapshots has ended (exit code %d), restart in %.0f s", code, pause_s)
        await asyncio.sleep(pause_s)


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        await asyncio.wait_for(child.wait(), _END_S_MAX)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
