"""What clients of the tools are told, as text; run as a program, it writes the file that the test compares with.

Rule of this file: nothing but that.
"""

import json
from pathlib import Path

from callmarket.bridge.mcp_server.catalogue import TOOLS
from callmarket.bridge.mcp_server.server import declared

PATH = Path(__file__).resolve().parents[1] / "bridge" / "mcp_server" / "tools.json"


def tools_text() -> str:
    """All tools, as `tools/list` shows them."""
    shown = [declared(tool).model_dump(by_alias=True, exclude_none=True, mode="json") for tool in TOOLS]
    return json.dumps(shown, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(tools_text(), encoding="utf-8")
