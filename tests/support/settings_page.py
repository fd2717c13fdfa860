"""Writes docs/settings.md from the settings themselves: `python3 -m tests.support.settings_page > docs/settings.md`.

Rule of this file: what the page says of a setting is its docstring, its default and its bounds in `bridge/config.py`,
nothing else; a test compares.
"""

import ast
import inspect
import itertools
import json
import sys
from typing import Any

import msgspec

from callmarket.bridge import config
from callmarket.bridge.config import FILE_VARIABLE, PREFIX, SECRETS, Config

HEAD = f"""# Settings

Every setting, from the environment or a file in TOML that `{FILE_VARIABLE}` or `--config` names; the environment wins,
and what a command line says wins over both. An unknown name or a wrong value is refused with the name of the setting
and, of a file, the line. `callmarket config` shows the settings in force and where each value comes from.

```toml
# market.toml: the names of the file
port = 8321
log_level = "info"
```

```sh
CALLMARKET_PORT=8322 callmarket --config market.toml serve     # the names of the environment
```

This page is written by `python3 -m tests.support.settings_page` from `bridge/config.py`.

| in the file | in the environment | default | allowed | |
|---|---|---|---|---|
"""


def docstrings() -> dict[str, str]:
    """The text under each field of the settings."""
    tree = ast.parse(inspect.getsource(config))
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Config").body
    texts = {}
    for field, text in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            assert isinstance(field.target, ast.Name), ast.dump(field)
            texts[field.target.id] = " ".join(str(ast.literal_eval(text.value)).split())
    return texts


def bounds(schema: dict[str, Any]) -> str:
    """What a setting may be, in words."""
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    words = {
        "minimum": "at least {}",
        "exclusiveMinimum": "more than {}",
        "maximum": "at most {}",
        "minLength": "at least {} characters",
        "maxLength": "at most {} characters",
    }
    kind = {"integer": "whole number", "number": "number", "string": "text"}[schema["type"]]
    return ", ".join([kind, *(text.format(schema[name]) for name, text in words.items() if name in schema)])


def page() -> str:
    """The page."""
    texts = docstrings()
    fields = msgspec.json.schema(Config)["$defs"]["Config"]["properties"]
    rows = []
    for name, schema in fields.items():
        secret = " Never shown." if name in SECRETS else ""
        default = f"`{json.dumps(schema['default'])}`"
        rows.append(f"| `{name}` | `{PREFIX}{name.upper()}` | {default} | {bounds(schema)} | {texts[name]}{secret} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    sys.stdout.write(page())
