"""A naive market: RULES.md once more, as plainly as it can be written, to be the oracle of the engine.

Rule of this folder: obviously right beats fast. It shares only the contracts with the engine (`engine.commands`,
`engine.events`, `engine.reject`, `engine.limits`), never a line of how the engine works.
"""

from tests.support.naive.market import NaiveMarket, comparable, rejected

__all__ = ["NaiveMarket", "comparable", "rejected"]
