"""The figures of the demo: what is drawn is what was played. Method: the cells of a picture, not its look."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from callmarket.bridge.studies.demo import figures


def test_who_won_and_who_was_priced_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bidder that won and could not pay for more in the same call was priced out; each stands in its line."""
    drawn: list[Any] = []
    monkeypatch.setattr(figures, "svg", lambda figure, title: drawn.append(figure) or title)
    monkeypatch.setattr(figures, "_minutes", lambda _: np.array([1.0, 2.0]))
    bidders = [SimpleNamespace(bidder_id=name) for name in ("a", "b", "c")]
    cycles = [
        SimpleNamespace(won=[0, 1, 1], priced_out=[False, True, False]),
        SimpleNamespace(won=[2], priced_out=[True, False, False]),
    ]
    played = SimpleNamespace(workload=SimpleNamespace(bidders=bidders), cycles=cycles)
    figures.bidders_over_time(cast(figures.FigureInputs, played))
    (axes,) = drawn[0].axes
    assert axes.images[0].get_array().tolist() == [[1, 2], [2, 0], [0, 1]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
