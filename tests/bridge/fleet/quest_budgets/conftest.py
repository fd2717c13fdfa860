"""Fixtures of the daily budget."""

from tests.support.daily_budgets import budgets, clock, shard_id

__all__ = ["budgets", "clock", "shard_id"]
