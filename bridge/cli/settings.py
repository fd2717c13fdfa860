"""The command that shows the settings: `config`.

Rule of this file: it shows the settings that every other command would use, without secrets.
"""

import os
from collections.abc import Sequence

from msgspec import Struct
from rich.table import Table

from callmarket.bridge.cli.output import AsJson, show
from callmarket.bridge.cli.tables import table
from callmarket.bridge.config import Config, load, shown


class Setting(Struct):
    """One setting, with where its value comes from."""

    name: str
    value: object
    source: str


def print_settings(as_json: AsJson = False) -> None:
    """Show every setting, and whether its value comes from a variable, a line of the file or the default."""
    loaded = load(os.environ)
    settings = [
        Setting(name, shown(name, getattr(loaded.config, name)), loaded.sources.get(name, "default"))
        for name in Config.__struct_fields__
    ]
    show({"settings": settings}, as_json, lambda: _table(settings))


def _table(settings: Sequence[Setting]) -> Table:
    shown_settings = table("settings", "setting", "value", "from")
    for one in settings:
        shown_settings.add_row(one.name, str(one.value), one.source)
    return shown_settings
