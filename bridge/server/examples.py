"""Examples for the OpenAPI document: request bodies and parameter values that work together, one after the other.

Rule of this file: values only, by operation; a test sends every one of them to a market.
"""

from collections.abc import Mapping
from typing import Any, Final

BODIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "open_account": {"account_id": "alpha"},
    "mint": {"amount_tokens": 1_000, "reason": "grant:initial", "memo": "to begin with"},
    "burn": {"amount_tokens": 1_000, "reason": "grant:initial", "memo": "to begin with"},
    "transfer": {"to_account_id": "beta", "amount_tokens": 50, "reason": "payment:review"},
    "place_hold": {
        "hold_id": "stake-1",
        "amount_tokens": 40,
        "reason": "stake",
        "reference_type": "artifact",
        "reference_id": "paper-7",
    },
    "capture_hold": {"to_account_id": "beta", "amount_tokens": 30},
    "open_market": {"market_id": "agents", "lease": "PT1800S"},
    "set_cycle": {"mode": "every", "period": "PT30S"},
    "offer_slot": {"slot_id": "slot-1", "reserve_price_tokens": 100},
    "place_bid": {"task_id": "task-1", "max_price_tokens": 300, "expected_value_usd": 1.5},
    "place_bids": {
        "bids": [{"task_id": "task-2", "max_price_tokens": 90}, {"task_id": "task-3", "max_price_tokens": 90}]
    },
    "amend_bid": {"max_price_tokens": 350},
    "settle": {"actual_cost_tokens": 180, "actual_impact": 0.7},
    "void": {},
    "put_artifact": {"artifact_type": "hypothesis", "title": "Sleep clears amyloid"},
    "set_market_price": {"market_price": 0.4},
    "record_resource_spending": {"tokens": 20, "reference_type": "task", "reference_id": "task-1", "impact": 0.7},
    "stake": {"stake_id": "belief-1", "tokens": 200},
    "post_bounty": {
        "bounty_id": "bounty-1",
        "tokens": 100,
        "expires_at": "2100-01-01T00:00:00Z",
        "description": "Repeat the second experiment",
    },
    "pay_bounty": {"tokens": 60},
    "create_key": {"name": "alpha's agent", "bid": ["alpha"]},
}

VALUES: Final[Mapping[str, Any]] = {
    "account_id": "alpha",
    "artifact_id": "hypothesis-1",
    "bid_id": 1,
    "bounty_id": "bounty-1",
    "from_account_id": "alpha",
    "hold_id": "stake-1",
    "key_id": "8ZkQ3nWb5xYt",
    "market_id": "agents",
    "max_price_tokens": 300,
    "provider_id": "treasury",
    "slot_id": "slot-1",
    "stake_id": "belief-1",
    "slug": "funds-insufficient",
}
