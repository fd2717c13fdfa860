"""Examples of parameters for the OpenAPI document. They go with the bodies that the declarations have as `example`.

Rule of this file: values only, by name; a test sends every one of them to a market.
"""

from collections.abc import Mapping
from typing import Any, Final

VALUES: Final[Mapping[str, Any]] = {
    "account_id": "alpha",
    "amount_tokens": 10,
    "agent_id": "alpha",
    "artifact_id": "hypothesis-1",
    "bid_id": 1,
    "bounty_id": "bounty-1",
    "from_account_id": "alpha",
    "hold_id": "stake-1",
    "key_id": "8ZkQ3nWb5xYt",
    "market_id": "agents",
    "max_price_tokens": 300,
    "order_id": 1,
    "position_id": 1,
    "month": "2026-11",
    "provider_id": "treasury",
    "settled_as": "validated",
    "side": "long",
    "slot_id": "slot-1",
    "stake_id": "belief-1",
    "slug": "funds-insufficient",
}
