"""Who believes nothing of the tables: keeps tables of its own, made row by row from what the journal took.

Rule of this file: it shares no code with what brings the tables along. `SqlModel` takes one event at a time, in the
plainest way, and folds nothing.
"""

from types import SimpleNamespace
from typing import Any

from callmarket.persistence.tables.rows import TABLES
from callmarket.persistence.tables.table import POSTGRES_EPOCH_US, Table
from tests.simulation.auditor import Auditor
from tests.simulation.world import Life
from tests.support.sql_model import SqlModel, at

Rows = dict[str, dict[Any, dict[str, Any]]]
"""The rows of each table by their key, with times and numbers as PostgreSQL has them."""


class TablesAuditor:
    """Safety: at each commit the tables are a prefix of the journal, each row once, by whoever leads."""

    def __init__(self, auditor: Auditor) -> None:
        self.auditor = auditor
        self.mark = 0
        # The furthest that they have been: what crashes of the server took since was there when it was told.
        self.mark_max = 0
        self._model = SqlModel()

    def committed(self, life: Life, epoch: int, after_seq: int, mark: int, rows: Rows) -> None:
        """A transaction has brought the tables from row `after_seq` to row `mark`, and this is what is in them."""
        journal = self.auditor.rows
        self.auditor.world.note(f"{life} brings the tables from {after_seq} to {mark} under epoch {epoch}")
        assert epoch == len(self.auditor.claims), (
            f"a zombie brings the tables along: {epoch} of {len(self.auditor.claims)}"
        )
        assert after_seq == self.mark, f"the tables stood at {self.mark}, and are brought along from {after_seq}"
        assert after_seq < mark <= len(journal), f"row {mark} is in the tables, and the journal ends at {len(journal)}"
        self._follow(mark)
        self.mark_max = max(self.mark_max, mark)
        self._compare(rows, after_seq)

    def went_back(self, mark: int, rows: Rows) -> None:
        """A crash of the server has taken what no disk was waited for."""
        self.mark, self._model = 0, SqlModel()
        self._follow(mark)
        self.look(mark, rows)

    def told(self, seq: int) -> None:
        """Somebody is about to be told that the tables have a row."""
        assert seq <= self.mark_max, f"the tables are said to have row {seq}, and have {self.mark_max}"

    def look(self, mark: int, rows: Rows) -> None:
        """All of the tables is what the journal says of them up to their mark."""
        assert mark == self.mark, f"the tables stand at {mark}, and were brought to {self.mark}"
        self._compare(rows, 0)

    def _follow(self, mark: int) -> None:
        for row in self.auditor.rows[self.mark : mark]:
            self._model.add(SimpleNamespace(entry=row.entry(), events=row.events()))
        self.mark = mark

    def _compare(self, rows: Rows, after_seq: int) -> None:
        """All that is later than a row on either side, and how many rows there are."""
        expected = self._model.tables()
        for table in TABLES:
            there, model = rows[table.name], expected[table.name]
            assert there.keys() == model.keys(), f"{table.name}: {there.keys() ^ model.keys()} are on one side only"
            for key, row in there.items():
                if row["seq"] > after_seq or model[key]["seq"] > after_seq:
                    shown = _shown(table, row)
                    wrong = {name: (shown[name], model[key][name]) for name in shown if shown[name] != model[key][name]}
                    assert not wrong, f"{table.name} {key} at row {self.mark}: {wrong} is there, and what is right"


def _shown(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """A row as the model has it: times of Python."""
    return {
        column: at(value + POSTGRES_EPOCH_US)
        if value is not None and table.sql_type(column) == "timestamptz"
        else value
        for column, value in row.items()
    }
