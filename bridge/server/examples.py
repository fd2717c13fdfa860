"""Examples for the OpenAPI document: bodies and values of one small story, which work as they stand.

Rule of this file: values only, made of the structs themselves; a test sends every one of them to a market.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from callmarket.bridge.access.issue import NewKey
from callmarket.bridge.api.bodies import (
    Amendment,
    ArtifactSetting,
    BountyPayment,
    Capture,
    CycleSetting,
    Minting,
    NewAccount,
    NewBid,
    NewBids,
    NewBounty,
    NewHold,
    NewMarket,
    NewSlot,
    NewSpending,
    NewStake,
    NewTransfer,
    PriceSetting,
    Settlement,
    Voiding,
)

BODIES: Final[Mapping[Any, Any]] = {
    NewAccount: NewAccount(account_id="alpha"),
    Minting: Minting(amount_tokens=1_000, reason="grant:initial", memo="to begin with"),
    NewTransfer: NewTransfer(to_account_id="beta", amount_tokens=50, reason="payment:review"),
    NewHold: NewHold(
        hold_id="stake-1", amount_tokens=40, reason="stake", reference_type="artifact", reference_id="paper-7"
    ),
    Capture: Capture(to_account_id="beta", amount_tokens=30),
    NewMarket: NewMarket(market_id="agents", lease=timedelta(minutes=30)),
    CycleSetting: CycleSetting(mode="every", period=timedelta(seconds=30)),
    NewSlot: NewSlot(slot_id="slot-1", reserve_price_tokens=100),
    NewBid: NewBid(task_id="task-1", max_price_tokens=300, expected_value_usd=1.5),
    NewBids: NewBids(bids=tuple(NewBid(task_id=f"task-{number}", max_price_tokens=90) for number in (2, 3))),
    Amendment: Amendment(max_price_tokens=350),
    Settlement: Settlement(actual_cost_tokens=180, actual_impact=0.7),
    Voiding: Voiding(),
    ArtifactSetting: ArtifactSetting(artifact_type="hypothesis", title="Sleep clears amyloid"),
    PriceSetting: PriceSetting(market_price=0.4),
    NewSpending: NewSpending(tokens=20, reference_type="task", reference_id="task-1", impact=0.7),
    NewStake: NewStake(stake_id="belief-1", tokens=200),
    NewBounty: NewBounty(
        bounty_id="bounty-1",
        tokens=100,
        expires_at=datetime(2100, 1, 1, tzinfo=UTC),
        description="Repeat the second experiment",
    ),
    BountyPayment: BountyPayment(tokens=60),
    NewKey: NewKey(name="alpha's agent", bid=("alpha",)),
}

VALUES: Final[Mapping[str, Any]] = {
    "account_id": "alpha",
    "artifact_id": "hypothesis-1",
    "bid_id": 1,
    "bounty_id": "bounty-1",
    "hold_id": "stake-1",
    "key_id": "8ZkQ3nWb5xYt",
    "market_id": "agents",
    "max_price_tokens": 300,
    "provider_id": "treasury",
    "slot_id": "slot-1",
    "stake_id": "belief-1",
    "slug": "funds-insufficient",
}
