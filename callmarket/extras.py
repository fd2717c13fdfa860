"""Which extra of the distribution has a module that is not installed.

Rule of this file: the extras of pyproject.toml. It imports nothing of the product, which may not be importable.
"""

from typing import Final

_EXTRA_OF_MODULE: Final = {"matplotlib": "studies", "mcp": "mcp", "mcp_types": "mcp"}
_SERVER: Final = "server"

MODULE_OF_COMMAND: Final = {"arena": "matplotlib", "demo": "matplotlib", "economy": "matplotlib", "mcp": "mcp"}
"""What a command needs beyond the extra `server`, and would miss only after minutes of work."""


def advice(error: ModuleNotFoundError) -> str | None:
    """What to install for a missing module, as one sentence; None for one of our own, which no extra has."""
    module = (error.name or "").partition(".")[0]
    if module in ("", "callmarket"):
        return None
    return f"{module} is not installed: pip install 'callmarket[{_EXTRA_OF_MODULE.get(module, _SERVER)}]'"
