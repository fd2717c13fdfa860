"""Earning outside the slots: rewards for good work, the first tokens of an account, and the charge on idle ones.

Rule of this folder: tokens are made and taken by the market's own verbs alone, each once, however often it is asked
for. What work pays is in `rates`, as a table that a file replaces; `demurrage` decides what idle tokens cost,
`collector` asks.
"""

from callmarket.bridge.fleet.earning.grants import create_account, grant_initial
from callmarket.bridge.fleet.earning.rates import Rates, load_rates
from callmarket.bridge.fleet.earning.rewards import Context, Reward, reward_action

__all__ = ["Context", "Rates", "Reward", "create_account", "grant_initial", "load_rates", "reward_action"]
