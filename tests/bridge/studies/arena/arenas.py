"""Small arenas for tests."""

from functools import cache

from callmarket.bridge.studies.arena.scenario import Draw, draw

SEED, ROUNDS, BIDDERS = 7, 4, 6


@cache
def small_draw(seed: int = SEED, rounds: int = ROUNDS, bidders: int = BIDDERS) -> Draw:
    return draw(seed, rounds, bidders)
