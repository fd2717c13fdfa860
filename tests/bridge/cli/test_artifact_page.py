"""docs/artifact-markets.md: its commands do what it says they do, to the last digit.

Goal: a newcomer who follows the page sees what the page shows. Method: its commands are run, each with the key that
the line before names, on a market of its own with a clock that stands still; all that is printed is compared.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from callmarket import ManualClock, open_exchange
from tests.bridge.cli.test_artifacts import Desk
from tests.support.served_market import served

PAGE = Path(__file__).resolve().parents[3] / "docs" / "artifact-markets.md"
PROMPT = "$ "


def steps(page: str) -> Iterator[tuple[str, str, str]]:
    """Whose key, the command, and what is printed."""
    for block in re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        who = block.partition("\n")[0].removeprefix("# ")
        for part in block.split(f"\n{PROMPT}")[1:]:
            command, _, printed = part.partition("\n")
            yield who, command, printed.strip("\n")


def printed_by(desk: Desk, who: str, command: str) -> str:
    """What a command prints, without blanks at the ends of lines, which no page keeps."""
    keys = {"staff": desk.staff, "ann": desk.ann, "bob": desk.bob}
    program, *arguments = shlex.split(command)
    assert program == "callmarket", command
    if arguments[0] == "artifact":
        del arguments[0]
    done = desk.run(keys[who], *arguments)
    assert (done.returncode, done.stderr) == (0, ""), (command, done)
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip("\n")


def test_the_page_shows_what_its_commands_print(database_url: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    # The first noon of 2027.
    clock = ManualClock(1_798_804_800_000_000)
    with open_exchange(database_url, clock=clock) as market, served(market) as service:
        desk = Desk(market, service)
        found = list(steps(page))
        assert len(found) > 8
        for who, command, printed in found:
            assert printed_by(desk, who, command) == printed, command
