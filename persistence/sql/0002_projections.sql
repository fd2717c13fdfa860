-- The tables that people and SQL tools read. Rule: they commit with the journal, each row says the seq that wrote it
-- last, and all of them can be dropped and rebuilt. Foreign keys are left out: the engine has decided already, they
-- would cost a look-up for each row, and verify() compares every row with the journal instead.

CREATE TABLE compute_auction_markets (
    shard_id                  int          NOT NULL,
    market_id                 text         NOT NULL,
    pricing_rule              text         NOT NULL,
    reserve_price_tokens      bigint       NOT NULL CHECK (reserve_price_tokens >= 0),
    awards_per_bidder_max     bigint       NOT NULL,
    lease_us                  bigint       NOT NULL,
    lapse_policy              text         NOT NULL,
    reward_tokens_per_impact  bigint       NOT NULL,
    reward_cap_tokens         bigint       NOT NULL,
    created_at                timestamptz  NOT NULL,
    seq                       bigint       NOT NULL,
    PRIMARY KEY (shard_id, market_id)
);
COMMENT ON TABLE compute_auction_markets IS 'The markets with their rules, which never change.';
COMMENT ON COLUMN compute_auction_markets.awards_per_bidder_max IS 'Awards of one bidder in one round; 0 is no cap.';

CREATE TABLE compute_auction_slots (
    shard_id              int          NOT NULL,
    slot_id               text         NOT NULL,
    market_id             text         NOT NULL,
    provider_id           text         NOT NULL,
    available_at          timestamptz  NOT NULL,
    reserve_price_tokens  bigint       NOT NULL CHECK (reserve_price_tokens >= 0),
    lease_us              bigint       NOT NULL,
    offer_seq             bigint       NOT NULL,
    status                text         NOT NULL
        CHECK (status IN ('offered', 'awarded', 'settled', 'voided', 'lapsed', 'withdrawn')),
    award_id              bigint,
    seq                   bigint       NOT NULL,
    PRIMARY KEY (shard_id, slot_id)
) WITH (fillfactor = 80);
COMMENT ON TABLE compute_auction_slots IS
    'The latest offer of each slot; past uses of a slot are in compute_auction_clears, past offers in the journal.';
COMMENT ON COLUMN compute_auction_slots.offer_seq IS 'Place in the order of offers.';
COMMENT ON COLUMN compute_auction_slots.award_id IS 'The award of this offer, null until there is one.';

CREATE TABLE compute_auction_bids (
    shard_id                 int          NOT NULL,
    id                       bigint       NOT NULL,
    market_id                text         NOT NULL,
    bidder_id                text         NOT NULL,
    task_id                  text         NOT NULL,
    max_price_tokens         bigint       NOT NULL CHECK (max_price_tokens > 0),
    expected_value_microusd  bigint       NOT NULL,
    expected_value_usd       numeric      NOT NULL GENERATED ALWAYS AS (expected_value_microusd * 0.000001) STORED,
    placed_at                timestamptz  NOT NULL,
    placed_seq               bigint       NOT NULL,
    priority_seq             bigint       NOT NULL,
    ttl_at                   timestamptz,
    time_in_force            text         NOT NULL CHECK (time_in_force IN ('round', 'gtd')),
    status                   text         NOT NULL
        CHECK (status IN ('open', 'won', 'lost', 'expired', 'cancelled', 'settled', 'voided', 'lapsed')),
    closed_at                timestamptz,
    closed_seq               bigint,
    round_no                 bigint,
    award_id                 bigint,
    seq                      bigint       NOT NULL,
    PRIMARY KEY (shard_id, id)
) WITH (
    -- A bid is written about twice, at its placing and at its end: leave room so that the second version lands on the
    -- same page, and vacuum by portions, because every status change leaves a dead entry in the index below.
    fillfactor = 85,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.1
);
CREATE INDEX compute_auction_bids_status_price ON compute_auction_bids (status, max_price_tokens DESC);
COMMENT ON TABLE compute_auction_bids IS 'Every bid that was ever accepted, with where it stands.';
COMMENT ON COLUMN compute_auction_bids.expected_value_usd IS 'Exactly expected_value_microusd / 1,000,000.';
COMMENT ON COLUMN compute_auction_bids.placed_seq IS 'The journal row that placed it.';
COMMENT ON COLUMN compute_auction_bids.priority_seq IS
    'Place in time: the journal row that placed it or last gave it a price.';
COMMENT ON COLUMN compute_auction_bids.ttl_at IS 'From then on it never wins; null for a bid that ends with its round.';
COMMENT ON COLUMN compute_auction_bids.status IS
    'open -> won, lost, expired or cancelled; won -> settled, voided or lapsed. A bid that has lost stays open here '
    'until its tokens are released: see the view bid_outcomes.';
COMMENT ON COLUMN compute_auction_bids.closed_at IS 'When it stopped being open; null while it is.';
COMMENT ON COLUMN compute_auction_bids.closed_seq IS 'The journal row that ended its being open.';
COMMENT ON COLUMN compute_auction_bids.round_no IS 'The round that it won or lost; null if none did.';
COMMENT ON COLUMN compute_auction_bids.award_id IS 'Its award in compute_auction_clears; null if it never won.';

CREATE TABLE compute_auction_rounds (
    shard_id               int          NOT NULL,
    market_id              text         NOT NULL,
    round_no               bigint       NOT NULL,
    called_at              timestamptz  NOT NULL,
    slots_available        bigint       NOT NULL,
    bids_open              bigint       NOT NULL,
    awards_granted         bigint       NOT NULL,
    clearing_price_tokens  bigint,
    best_rejected_bid_id   bigint,
    bids_visited           bigint       NOT NULL,
    losers_remaining       bigint       NOT NULL,
    seq                    bigint       NOT NULL,
    PRIMARY KEY (shard_id, market_id, round_no)
);
CREATE INDEX compute_auction_rounds_called_at ON compute_auction_rounds (called_at);
COMMENT ON TABLE compute_auction_rounds IS 'Every call of a market, also those that matched nothing.';
COMMENT ON COLUMN compute_auction_rounds.slots_available IS 'Supply: slots offered and available at the call.';
COMMENT ON COLUMN compute_auction_rounds.bids_open IS 'Demand: open bids at the call, eligible or not.';
COMMENT ON COLUMN compute_auction_rounds.clearing_price_tokens IS
    'The one price of all winners; null where nobody won or where each pays a price of its own.';
COMMENT ON COLUMN compute_auction_rounds.bids_visited IS 'What the call cost: bids looked at.';
COMMENT ON COLUMN compute_auction_rounds.losers_remaining IS
    'Bids that had lost and whose tokens the sweeps after the round released.';

CREATE TABLE compute_auction_clears (
    shard_id               int          NOT NULL,
    award_id               bigint       NOT NULL,
    market_id              text         NOT NULL,
    round_no               bigint       NOT NULL,
    slot_id                text         NOT NULL,
    bid_id                 bigint       NOT NULL,
    bidder_id              text         NOT NULL,
    provider_id            text         NOT NULL,
    clearing_price_tokens  bigint       NOT NULL CHECK (clearing_price_tokens >= 0),
    premium_tokens         bigint       NOT NULL CHECK (premium_tokens >= 0),
    winning_task_id        text         NOT NULL,
    runner_up_task_id      text,
    slot_started_at        timestamptz  NOT NULL,
    slot_finished_at       timestamptz,
    lease_until            timestamptz  NOT NULL,
    status                 text         NOT NULL CHECK (status IN ('awarded', 'settled', 'voided', 'lapsed')),
    charged_tokens         bigint       CHECK (charged_tokens IN (0, clearing_price_tokens)),
    actual_cost_tokens     bigint,
    actual_impact_micros   bigint,
    actual_impact          numeric      GENERATED ALWAYS AS (actual_impact_micros * 0.000001) STORED,
    reward_tokens          bigint,
    seq                    bigint       NOT NULL,
    PRIMARY KEY (shard_id, award_id),
    CHECK ((status = 'awarded') = (slot_finished_at IS NULL)),
    CHECK ((status = 'awarded') = (charged_tokens IS NULL)),
    CHECK ((status = 'settled') = (actual_cost_tokens IS NOT NULL))
) WITH (fillfactor = 85);
CREATE INDEX compute_auction_clears_round ON compute_auction_clears (shard_id, market_id, round_no);
CREATE INDEX compute_auction_clears_started ON compute_auction_clears (slot_started_at);
CREATE INDEX compute_auction_clears_bidder ON compute_auction_clears (shard_id, bidder_id, award_id);
COMMENT ON TABLE compute_auction_clears IS 'Every award: who got which slot at what price, and how it ended.';
COMMENT ON COLUMN compute_auction_clears.award_id IS 'Only grows; whoever settles may name it, to fence off stale workers.';
COMMENT ON COLUMN compute_auction_clears.clearing_price_tokens IS 'What the winner pays when the slot is settled.';
COMMENT ON COLUMN compute_auction_clears.premium_tokens IS 'Its bid less the price: what it got back at the call.';
COMMENT ON COLUMN compute_auction_clears.runner_up_task_id IS 'The task of the best bid that did not win.';
COMMENT ON COLUMN compute_auction_clears.charged_tokens IS
    'What the bidder paid in the end: the price, or 0 where the award was voided or lapsed with a refund.';
COMMENT ON COLUMN compute_auction_clears.actual_impact IS 'Exactly actual_impact_micros / 1,000,000.';

-- The totals are numeric: two accounts that pay each other all day pass the end of a bigint within days.
CREATE TABLE token_accounts (
    shard_id      int          NOT NULL,
    account_id    text         NOT NULL,
    kind          text         NOT NULL CHECK (kind IN ('agent', 'quest', 'provider', 'system')),
    balance       bigint       NOT NULL,
    held          bigint       NOT NULL CHECK (held >= 0),
    total_earned  numeric      NOT NULL CHECK (total_earned >= 0),
    total_spent   numeric      NOT NULL CHECK (total_spent >= 0),
    total_staked  bigint       NOT NULL GENERATED ALWAYS AS (held) STORED,
    created_at    timestamptz  NOT NULL,
    updated_at    timestamptz  NOT NULL,
    seq           bigint       NOT NULL,
    PRIMARY KEY (shard_id, account_id),
    CHECK (balance = total_earned - total_spent),
    CHECK (held <= balance OR account_id = 'issuance')
) WITH (
    -- Busy accounts change in every batch, in columns without an index: keep their versions on one page.
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.05
);
COMMENT ON TABLE token_accounts IS
    'Every account. All balances of a shard, that of issuance negative, sum to zero.';
COMMENT ON COLUMN token_accounts.kind IS
    'agent, quest, provider; system for issuance (mint and burn) and treasury, which exist from the first command on.';
COMMENT ON COLUMN token_accounts.balance IS 'What it owns, with what is held. Always total_earned - total_spent.';
COMMENT ON COLUMN token_accounts.held IS 'Set aside for open bids and for awards in use; available = balance - held.';
COMMENT ON COLUMN token_accounts.total_earned IS
    'All it was ever credited: mints, transfers to it, slots sold, rewards. For issuance: all that was burned.';
COMMENT ON COLUMN token_accounts.total_spent IS
    'All it was ever debited: burns, transfers from it, awards paid. For issuance: all that was minted.';
COMMENT ON COLUMN token_accounts.total_staked IS 'The same as held, under the name that older readers know.';
COMMENT ON COLUMN token_accounts.updated_at IS 'When its balance or what it holds last changed.';

CREATE TABLE token_ledger (
    shard_id            int          NOT NULL,
    id                  bigint       NOT NULL,
    "timestamp"         timestamptz  NOT NULL,
    from_account        text         NOT NULL,
    to_account          text         NOT NULL CHECK (to_account <> from_account),
    amount              bigint       NOT NULL CHECK (amount > 0),
    reason              text         NOT NULL,
    reference_type      text         NOT NULL,
    reference_id        text         NOT NULL,
    memo                text         NOT NULL,
    balance_after_from  bigint       NOT NULL,
    balance_after_to    bigint       NOT NULL,
    seq                 bigint       NOT NULL,
    PRIMARY KEY (shard_id, id)
) WITH (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 1000000);
CREATE INDEX token_ledger_from ON token_ledger (shard_id, from_account, id);
CREATE INDEX token_ledger_to ON token_ledger (shard_id, to_account, id);
COMMENT ON TABLE token_ledger IS 'Every movement of tokens: one row, one debit, one credit. Mint and burn are with issuance.';
COMMENT ON COLUMN token_ledger.balance_after_from IS 'Balance of the debited account after this movement.';
COMMENT ON COLUMN token_ledger.balance_after_to IS 'Balance of the credited account after this movement.';
