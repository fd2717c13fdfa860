"""The command `callmarket`, and `python -m callmarket`.

Rule of this file: it says which version this is, and what is to be installed where something is not. All else is the
command line's.
"""

import sys
from importlib.metadata import version
from importlib.util import find_spec
from typing import Final

from callmarket.extras import MODULE_OF_COMMAND, advice

EXIT_USAGE: Final = 2


def main() -> None:
    """Run the command line."""
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        sys.stdout.write(f"callmarket {version('callmarket')}\n")
        return
    try:
        _look_for_extra(arguments)
        from callmarket.bridge.cli.commands import main as run  # noqa: PLC0415 -- it may not be installed

        run()
    except ModuleNotFoundError as error:
        line = advice(error)
        if line is None:
            raise
        sys.stderr.write(_as_json(line) if "--json" in arguments else f"callmarket: {line}\n")
        sys.exit(EXIT_USAGE)


def _look_for_extra(arguments: list[str]) -> None:
    """Raise `ModuleNotFoundError` for what the command would find missing only at its end."""
    command = next((one for one in arguments if not one.startswith("-")), "")
    module = MODULE_OF_COMMAND.get(command)
    asks_for_help = "--help" in arguments or "-h" in arguments
    if module is not None and not asks_for_help and find_spec(module) is None:
        raise ModuleNotFoundError(name=module)


def _as_json(line: str) -> str:
    import json  # noqa: PLC0415 -- only here

    return json.dumps({"error": {"type": "usage", "message": line, "exit_code": EXIT_USAGE}}) + "\n"


if __name__ == "__main__":
    main()
