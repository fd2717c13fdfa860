"""The command `callmarket`, and `python -m callmarket`.

Rule of this file: it says which version this is, and what is to be installed where something is not. All else is the
command line's.
"""

import sys
from importlib.metadata import version
from typing import Final

# What a module that is not there belongs to: the extras of pyproject.toml.
EXTRAS: Final = {
    "mcp": "mcp",
    "mcp_types": "mcp",
    "matplotlib": "studies",
}
SERVER: Final = "server"
EXIT_USAGE: Final = 2


def main() -> None:
    """Run the command line."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"callmarket {version('callmarket')}\n")
        return
    try:
        from callmarket.bridge.cli.commands import main as run  # noqa: PLC0415 -- it may not be installed

        run()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "callmarket"):
            raise
        extra = EXTRAS.get(missing, SERVER)
        sys.stderr.write(f"callmarket: {missing} is not installed: pip install 'callmarket[{extra}]'\n")
        sys.exit(EXIT_USAGE)


if __name__ == "__main__":
    main()
