"""The campaign from the command line: `python -m tests.faults --rounds 10`, or `python3 dev.py faults`.

Rule of this file: arguments in, the table out.
"""

import argparse
import random
import sys
from pathlib import Path

from tests.faults.campaign import FAULTS, Round, messages, run, table


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run it, and write the table where it is wanted."""
    parser = argparse.ArgumentParser(prog="dev.py faults", description="Hurt a real market and audit it.")
    parser.add_argument("--rounds", type=int, default=10, help="of each fault; a fifth for those that take long")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--only", default="", help="only faults with this in their names")
    parser.add_argument("--output", type=Path, help="a file that the table is written to, too")
    arguments = parser.parse_args()
    say(f"seed: {arguments.seed} (repeat with --seed {arguments.seed})")
    chosen = [fault for fault in FAULTS if arguments.only in fault.name]
    rounds: list[Round] = []
    try:
        rounds.extend(run(chosen, arguments.rounds, arguments.seed, say))
    finally:
        text = f"{table(rounds)}\n\n{messages(rounds)}"
        say(text)
        if arguments.output:
            arguments.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
