-- Rules 4: markets for positions in artifacts. Rule: these tables follow the journal, as those of 0002, and all money in
-- them is whole: `_micros` are millionths of a token, of a share, or of a token a share. What the platform calls by another
-- name or counts in tokens is generated from them, exactly.

-- Two more accounts are there from the first row of every journal on: also of one that is there already.
INSERT INTO token_accounts (shard_id, account_id, kind, balance, held, total_earned, total_spent, created_at, updated_at, seq)
SELECT account.shard_id, added.account_id, 'system', 0, 0, 0, 0, account.created_at, account.created_at, first.seq
FROM token_accounts AS account
CROSS JOIN unnest(ARRAY['capital_escrow', 'lmsr_subsidy_pool']) AS added (account_id)
CROSS JOIN LATERAL (
    -- The first row of all, which may have left for a file.
    SELECT least((SELECT min(journal.seq) FROM journal WHERE journal.shard_id = account.shard_id),
                 (SELECT min(first_seq) FROM journal_archives WHERE journal_archives.shard_id = account.shard_id)) AS seq
) AS first
WHERE account.account_id = 'issuance' AND first.seq IS NOT NULL
ON CONFLICT (shard_id, account_id) DO NOTHING;
COMMENT ON COLUMN token_accounts.kind IS
    'agent, quest, provider; system for issuance (mint and burn), treasury, capital_escrow and lmsr_subsidy_pool, which '
    'exist from the first command on.';
COMMENT ON COLUMN token_accounts.held IS
    'Set aside for open bids, for awards in use, for named holds and for resting orders; available = balance - held.';

-- No key acts in the name of the two.
ALTER TABLE api_keys ADD CONSTRAINT api_keys_capital_accounts
    CHECK (NOT accounts || providers && ARRAY['capital_escrow', 'lmsr_subsidy_pool']) NOT VALID;

CREATE TABLE artifact_markets (
    shard_id                int          NOT NULL,
    artifact_id             text         NOT NULL,
    subsidy_tokens          bigint       NOT NULL CHECK (subsidy_tokens BETWEEN 1 AND 1000000000),
    closes_at               timestamptz  NOT NULL,
    exit_fee_ppm            bigint       NOT NULL CHECK (exit_fee_ppm BETWEEN 0 AND 1000000),
    exposure_limit_ppm      bigint       NOT NULL CHECK (exposure_limit_ppm BETWEEN 0 AND 1000000),
    decay_ppm               bigint       NOT NULL CHECK (decay_ppm >= 0),
    decay_floor_ppm         bigint       NOT NULL CHECK (decay_floor_ppm BETWEEN 0 AND 1000000),
    dispute_window_us       bigint       NOT NULL CHECK (dispute_window_us >= 0),
    arbiter_id              text         NOT NULL,
    opened_at               timestamptz  NOT NULL,
    status                  text         NOT NULL CHECK (status IN ('open', 'frozen', 'announced', 'settled')),
    status_at               timestamptz  NOT NULL,
    due_at                  timestamptz  CHECK ((due_at IS NOT NULL) = (status IN ('frozen', 'announced'))),
    announced_as            text
        CHECK (announced_as IN ('validated', 'flagged', 'deprecated', 'void')),
    announced_price_micros  bigint       CHECK (announced_price_micros BETWEEN 0 AND 1000000),
    settled_as              text
        CHECK (settled_as IN ('validated', 'flagged', 'deprecated', 'void', 'listed')),
    settle_price_micros     bigint       CHECK (settle_price_micros BETWEEN 0 AND 1000000),
    settled_at              timestamptz,
    closed_at               timestamptz,
    price_micros            bigint       NOT NULL CHECK (price_micros BETWEEN 1000 AND 999000),
    average_price_micros    bigint       NOT NULL CHECK (average_price_micros BETWEEN 0 AND 1000000),
    averaged_at             timestamptz  NOT NULL,
    subsidy_micros          bigint       NOT NULL
        CHECK (subsidy_micros > 0 AND subsidy_micros <= subsidy_tokens * 1000000),
    long_micros             bigint       NOT NULL CHECK (long_micros >= 0),
    short_micros            bigint       NOT NULL CHECK (short_micros >= 0),
    long_offset_micros      bigint       NOT NULL CHECK (long_offset_micros >= 0),
    short_offset_micros     bigint       NOT NULL
        CHECK (short_offset_micros >= 0 AND 0 IN (long_offset_micros, short_offset_micros)),
    pool_micros             bigint       NOT NULL CHECK (pool_micros >= greatest(long_micros, short_micros)),
    fees_micros             bigint       NOT NULL CHECK (fees_micros >= 0),
    returned_micros         bigint       NOT NULL
        CHECK (returned_micros BETWEEN 0 AND subsidy_tokens * 1000000),
    paid_micros             bigint       NOT NULL CHECK (paid_micros >= 0),
    remainder_micros        bigint       NOT NULL CHECK (remainder_micros >= 0),
    positions_open          bigint       NOT NULL CHECK (positions_open >= 0),
    orders_open             bigint       NOT NULL CHECK (orders_open >= 0),
    trades                  bigint       NOT NULL CHECK (trades >= 0),
    volume_micros           bigint       NOT NULL CHECK (volume_micros >= 0),
    seq                     bigint       NOT NULL,
    funds_micros            bigint       NOT NULL
        GENERATED ALWAYS AS (pool_micros + fees_micros - paid_micros - remainder_micros) STORED
        CHECK (funds_micros >= 0),
    price                   numeric      NOT NULL GENERATED ALWAYS AS (price_micros * 0.000001) STORED,
    average_price           numeric      NOT NULL GENERATED ALWAYS AS (average_price_micros * 0.000001) STORED,
    settle_price            numeric      GENERATED ALWAYS AS (settle_price_micros * 0.000001) STORED,
    PRIMARY KEY (shard_id, artifact_id),
    CHECK ((status = 'announced') = (announced_as IS NOT NULL)),
    CHECK ((announced_as IS NULL OR announced_as = 'void') = (announced_price_micros IS NULL)),
    CHECK ((status = 'settled') = (settled_at IS NOT NULL)),
    CHECK ((settled_as IS NULL) = (settled_at IS NULL)),
    CHECK ((settled_as IS NULL OR settled_as = 'void') = (settle_price_micros IS NULL)),
    CHECK (settled_at IS NOT NULL OR (paid_micros = 0 AND remainder_micros = 0 AND closed_at IS NULL)),
    -- What has ended owes nobody anything.
    CHECK (closed_at IS NULL OR (funds_micros = 0 AND positions_open = 0 AND orders_open = 0))
) WITH (
    -- The row of a busy market changes in every batch, in columns without an index.
    fillfactor = 50
);
CREATE INDEX artifact_markets_status ON artifact_markets (shard_id, status, artifact_id);
COMMENT ON TABLE artifact_markets IS
    'A market for positions in an artifact: its rules, which never change, and where it stands.';
COMMENT ON COLUMN artifact_markets.subsidy_tokens IS 'The subsidy that it was opened with; tokens.';
COMMENT ON COLUMN artifact_markets.closes_at IS 'From then on nothing trades, and it is settled at its average price.';
COMMENT ON COLUMN artifact_markets.exit_fee_ppm IS 'Of what a close brings; parts per million.';
COMMENT ON COLUMN artifact_markets.exposure_limit_ppm IS 'Of its wealth an account may commit here; parts per million.';
COMMENT ON COLUMN artifact_markets.decay_ppm IS 'How fast its liquidity may decay; millionths, 0: it does not.';
COMMENT ON COLUMN artifact_markets.decay_floor_ppm IS 'Of the subsidy, below which it does not; parts per million.';
COMMENT ON COLUMN artifact_markets.dispute_window_us IS 'Between an announced settlement and its payment; microseconds.';
COMMENT ON COLUMN artifact_markets.arbiter_id IS 'Who may settle it beside the staff, and never trades in it; or empty.';
COMMENT ON COLUMN artifact_markets.status_at IS 'Since when it has its status.';
COMMENT ON COLUMN artifact_markets.due_at IS
    'When a frozen market opens again, or an announced settlement is carried out; null otherwise.';
COMMENT ON COLUMN artifact_markets.announced_price_micros IS 'What a long share will be worth; null: void.';
COMMENT ON COLUMN artifact_markets.settled_as IS 'listed: nobody judged it, its closing date came. Final.';
COMMENT ON COLUMN artifact_markets.settle_price_micros IS
    'What a long share is worth, and a short one the rest; millionths of a token, null where each got back its cost.';
COMMENT ON COLUMN artifact_markets.closed_at IS 'When the last of it was paid.';
COMMENT ON COLUMN artifact_markets.price_micros IS 'Of long, after the last trade; of short it is the rest to a million.';
COMMENT ON COLUMN artifact_markets.average_price_micros IS
    'The average price of long at averaged_at (half-life six hours); as of now: the view artifact_prices.';
COMMENT ON COLUMN artifact_markets.subsidy_micros IS 'The liquidity that is left, in millionths of a token.';
COMMENT ON COLUMN artifact_markets.long_micros IS 'Long shares outstanding, in millionths; once settled, those of then.';
COMMENT ON COLUMN artifact_markets.short_micros IS 'Short shares outstanding, in millionths; once settled, those of then.';
COMMENT ON COLUMN artifact_markets.long_offset_micros IS 'Shares that the maker counts in addition since a decay.';
COMMENT ON COLUMN artifact_markets.short_offset_micros IS 'Shares that the maker counts in addition since a decay.';
COMMENT ON COLUMN artifact_markets.pool_micros IS
    'What pays the positions, in millionths of a token: at least all shares of either side. Once settled, that of then.';
COMMENT ON COLUMN artifact_markets.fees_micros IS 'Exit fees, in millionths of a token. Once settled, those of then.';
COMMENT ON COLUMN artifact_markets.returned_micros IS 'What decays gave back to the subsidy pool.';
COMMENT ON COLUMN artifact_markets.paid_micros IS 'What positions were paid after the settlement.';
COMMENT ON COLUMN artifact_markets.remainder_micros IS 'What then went to the subsidy pool.';
COMMENT ON COLUMN artifact_markets.volume_micros IS 'Tokens that changed hands in all trades, in millionths.';
COMMENT ON COLUMN artifact_markets.funds_micros IS
    'Its part of capital_escrow: pool and fees, less what was paid and the remainder; millionths of a token.';

CREATE TABLE artifact_states (
    shard_id              int          NOT NULL,
    artifact_id           text         NOT NULL,
    entered_seq           bigint       NOT NULL,
    state                 text         NOT NULL
        CHECK (state IN ('listed', 'challenged', 'announced', 'validated', 'flagged', 'deprecated', 'void')),
    announced_as          text         CHECK ((state = 'announced') = (announced_as IS NOT NULL)),
    price_micros          bigint       CHECK (price_micros BETWEEN 0 AND 1000000),
    average_price_micros  bigint       CHECK (average_price_micros BETWEEN 0 AND 1000000),
    until_at              timestamptz  CHECK ((state IN ('challenged', 'announced')) = (until_at IS NOT NULL)),
    entered_at            timestamptz  NOT NULL,
    seq                   bigint       NOT NULL,
    PRIMARY KEY (shard_id, artifact_id, entered_seq)
);
COMMENT ON TABLE artifact_states IS 'The states of each artifact with a market, in their order; a row never changes.';
COMMENT ON COLUMN artifact_states.entered_seq IS 'The journal row that led to it.';
COMMENT ON COLUMN artifact_states.state IS
    'listed: its market trades. challenged: frozen. announced: to be settled as announced_as. The others are final, and so '
    'is listed where it has a price.';
COMMENT ON COLUMN artifact_states.price_micros IS
    'What a long share is worth from then on, or will be; millionths of a token, null where nothing is settled, or void.';
COMMENT ON COLUMN artifact_states.average_price_micros IS 'The average at which a frozen market stands still.';
COMMENT ON COLUMN artifact_states.until_at IS 'When it ends by itself.';

CREATE TABLE artifact_positions (
    shard_id                 int          NOT NULL,
    id                       bigint       NOT NULL,
    account_id               text         NOT NULL,
    artifact_id              text         NOT NULL,
    side                     text         NOT NULL CHECK (side IN ('long', 'short')),
    bought_micros            bigint       NOT NULL CHECK (bought_micros > 0),
    paid_micros              bigint       NOT NULL CHECK (paid_micros >= 0),
    shares_micros            bigint       NOT NULL CHECK (shares_micros BETWEEN 0 AND bought_micros),
    cost_micros              bigint       NOT NULL CHECK (cost_micros BETWEEN 0 AND paid_micros),
    realised_micros          bigint       NOT NULL CHECK (realised_micros >= -paid_micros),
    settled_as               text
        CHECK (settled_as IN ('validated', 'flagged', 'deprecated', 'void', 'listed')),
    settlement_price_micros  bigint       CHECK (settlement_price_micros BETWEEN 0 AND 1000000),
    settlement_micros        bigint       CHECK (settlement_micros >= 0),
    settled_at               timestamptz,
    opened_at                timestamptz  NOT NULL,
    traded_at                timestamptz  NOT NULL,
    seq                      bigint       NOT NULL,
    status                   text         NOT NULL GENERATED ALWAYS AS (
        CASE
            WHEN settled_as = 'void' THEN 'cancelled'
            WHEN settlement_micros > cost_micros THEN 'settled_profit'
            WHEN settled_as IS NOT NULL THEN 'settled_loss'
            WHEN shares_micros > 0 THEN 'open'
            ELSE 'closed'
        END) STORED,
    tokens_committed         bigint       NOT NULL GENERATED ALWAYS AS ((paid_micros + 999999) / 1000000) STORED,
    entry_price              numeric      NOT NULL
        GENERATED ALWAYS AS (round(paid_micros::numeric / bought_micros, 6)) STORED,
    settlement_price         numeric      GENERATED ALWAYS AS (settlement_price_micros * 0.000001) STORED,
    settlement_pnl           numeric      GENERATED ALWAYS AS ((settlement_micros - cost_micros) * 0.000001) STORED,
    PRIMARY KEY (shard_id, id),
    CHECK ((shares_micros = 0) <= (cost_micros = 0)),
    CHECK ((settled_as IS NULL) = (settled_at IS NULL)),
    CHECK ((settled_as IS NULL) = (settlement_micros IS NULL)),
    CHECK ((settled_as IS NULL OR settled_as = 'void') = (settlement_price_micros IS NULL)),
    -- A share pays what its side is worth, and a void market no more than the cost.
    CHECK (settlement_price_micros IS NULL OR settlement_micros = div(
        shares_micros::numeric
            * CASE side WHEN 'long' THEN settlement_price_micros ELSE 1000000 - settlement_price_micros END,
        1000000)),
    CHECK (settled_as <> 'void' OR settlement_micros <= cost_micros)
) WITH (fillfactor = 80);
-- Each ends with the key that pages go by.
CREATE INDEX artifact_positions_account ON artifact_positions (shard_id, account_id, status, id);
CREATE INDEX artifact_positions_artifact ON artifact_positions (shard_id, artifact_id, status, id);
-- Who earned what: of a period, without a look at the table itself.
CREATE INDEX artifact_positions_settled ON artifact_positions (shard_id, settled_at, id)
    INCLUDE (account_id, realised_micros, status) WHERE status IN ('settled_profit', 'settled_loss');
COMMENT ON TABLE artifact_positions IS 'Shares of one side of an artifact that an order bought, and what became of them.';
COMMENT ON COLUMN artifact_positions.id IS 'That of the order that opened it.';
COMMENT ON COLUMN artifact_positions.bought_micros IS 'All shares that it ever bought, in millionths.';
COMMENT ON COLUMN artifact_positions.paid_micros IS 'All that these cost, in millionths of a token.';
COMMENT ON COLUMN artifact_positions.shares_micros IS
    'The shares that it has, in millionths; once it is settled, those for which it was paid.';
COMMENT ON COLUMN artifact_positions.cost_micros IS 'What these have cost, in millionths of a token.';
COMMENT ON COLUMN artifact_positions.realised_micros IS
    'Earned so far: by closes after their fee, and by its settlement; millionths of a token.';
COMMENT ON COLUMN artifact_positions.settlement_micros IS 'What it was paid when it was settled; millionths of a token.';
COMMENT ON COLUMN artifact_positions.status IS
    'open; closed: all was sold; settled_profit where it was paid more than its cost, else settled_loss; cancelled: void.';
COMMENT ON COLUMN artifact_positions.tokens_committed IS 'All that it has cost, in whole tokens, rounded up.';
COMMENT ON COLUMN artifact_positions.entry_price IS 'Tokens a share, on average, rounded to millionths.';
COMMENT ON COLUMN artifact_positions.settlement_pnl IS 'Exactly (settlement_micros - cost_micros) / 1,000,000.';

CREATE TABLE market_orders (
    shard_id              int          NOT NULL,
    order_id              bigint       NOT NULL,
    account_id            text         NOT NULL,
    artifact_id           text         NOT NULL,
    position_id           bigint       NOT NULL,
    side                  text         NOT NULL CHECK (side IN ('long', 'short')),
    effect                text         NOT NULL CHECK (effect IN ('open', 'close')),
    limit_price_micros    bigint       NOT NULL CHECK (limit_price_micros BETWEEN 1000 AND 999000),
    rested_micros         bigint       NOT NULL CHECK (rested_micros > 0),
    left_micros           bigint       NOT NULL CHECK (left_micros >= 0),
    filled_shares_micros  bigint       NOT NULL CHECK (filled_shares_micros >= 0),
    filled_tokens_micros  bigint       NOT NULL CHECK (filled_tokens_micros >= 0),
    fee_micros            bigint       NOT NULL CHECK (fee_micros >= 0 AND (effect = 'close' OR fee_micros = 0)),
    realised_micros       bigint       NOT NULL CHECK (effect = 'close' OR realised_micros = 0),
    returned_micros       bigint       NOT NULL CHECK (returned_micros >= 0),
    status                text         NOT NULL
        CHECK (status IN ('open', 'filled', 'cancelled', 'self_trade', 'expired', 'settled')),
    rested_at             timestamptz  NOT NULL,
    expires_at            timestamptz  NOT NULL,
    ended_at              timestamptz,
    seq                   bigint       NOT NULL,
    limit_price           numeric      NOT NULL GENERATED ALWAYS AS (limit_price_micros * 0.000001) STORED,
    PRIMARY KEY (shard_id, order_id),
    CHECK ((status = 'open') = (ended_at IS NULL)),
    CHECK ((status = 'filled') = (left_micros = 0)),
    CHECK (rested_micros = left_micros + returned_micros
           + CASE effect WHEN 'open' THEN filled_tokens_micros ELSE filled_shares_micros END)
) WITH (fillfactor = 80);
CREATE INDEX market_orders_account ON market_orders (shard_id, account_id, status, order_id);
CREATE INDEX market_orders_artifact ON market_orders (shard_id, artifact_id, status, order_id);
COMMENT ON TABLE market_orders IS 'Every order that rested. What it did before it rested is in market_trades.';
COMMENT ON COLUMN market_orders.position_id IS 'What it opens or closes; a position that it opens has its id.';
COMMENT ON COLUMN market_orders.limit_price_micros IS 'Of its own side; millionths of a token a share.';
COMMENT ON COLUMN market_orders.rested_micros IS
    'What was left when it began to rest: millionths of a token if it opens, of a share if it closes.';
COMMENT ON COLUMN market_orders.left_micros IS 'What of that is left, or was when it ended; in the same unit.';
COMMENT ON COLUMN market_orders.fee_micros IS 'Exit fees that it paid; millionths of a token.';
COMMENT ON COLUMN market_orders.returned_micros IS
    'What of a filled order was too little to go on with, and is its account''s again; in the unit of left_micros.';
COMMENT ON COLUMN market_orders.expires_at IS 'From then on it never fills.';

CREATE TABLE market_trades (
    shard_id              int          NOT NULL,
    order_id              bigint       NOT NULL,
    traded_at             timestamptz  NOT NULL,
    artifact_id           text         NOT NULL,
    account_id            text         NOT NULL,
    position_id           bigint       NOT NULL,
    side                  text         NOT NULL CHECK (side IN ('long', 'short')),
    effect                text         NOT NULL CHECK (effect IN ('open', 'close')),
    shares_micros         bigint       NOT NULL CHECK (shares_micros > 0),
    tokens_micros         bigint       NOT NULL CHECK (tokens_micros >= 0),
    fee_micros            bigint       NOT NULL CHECK (fee_micros BETWEEN 0 AND tokens_micros),
    realised_micros       bigint       NOT NULL CHECK (effect = 'close' OR realised_micros = 0),
    fill_orders           bigint[]     NOT NULL CHECK (cardinality(fill_orders) BETWEEN 1 AND 64),
    fill_shares_micros    bigint[]     NOT NULL CHECK (cardinality(fill_shares_micros) = cardinality(fill_orders)),
    fill_tokens_micros    bigint[]     NOT NULL CHECK (cardinality(fill_tokens_micros) = cardinality(fill_orders)),
    price_before_micros   bigint       NOT NULL CHECK (price_before_micros BETWEEN 1000 AND 999000),
    price_after_micros    bigint       NOT NULL CHECK (price_after_micros BETWEEN 1000 AND 999000),
    average_price_micros  bigint       NOT NULL CHECK (average_price_micros BETWEEN 0 AND 1000000),
    long_micros           bigint       NOT NULL CHECK (long_micros >= 0),
    short_micros          bigint       NOT NULL CHECK (short_micros >= 0),
    subsidy_micros        bigint       NOT NULL CHECK (subsidy_micros > 0),
    pool_micros           bigint       NOT NULL CHECK (pool_micros >= greatest(long_micros, short_micros)),
    fees_micros           bigint       NOT NULL CHECK (fees_micros >= 0),
    loss_bound_micros     bigint       NOT NULL CHECK (loss_bound_micros >= 0),
    seq                   bigint       NOT NULL,
    price_after           numeric      NOT NULL GENERATED ALWAYS AS (price_after_micros * 0.000001) STORED,
    PRIMARY KEY (shard_id, order_id)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);
CREATE INDEX market_trades_artifact ON market_trades (shard_id, artifact_id, seq);
CREATE INDEX market_trades_time ON market_trades (shard_id, artifact_id, traded_at, seq);
CREATE INDEX market_trades_account ON market_trades (shard_id, account_id, seq);
COMMENT ON TABLE market_trades IS
    'The receipt of each order that traded, with the market after it: the history of prices. A row never changes.';
COMMENT ON COLUMN market_trades.position_id IS 'What it opened or reduced.';
COMMENT ON COLUMN market_trades.tokens_micros IS 'What it paid or brought before the fee; millionths of a token.';
COMMENT ON COLUMN market_trades.fill_orders IS
    'Its fills in their order, in three arrays: the resting order that each was with, 0 for the maker;';
COMMENT ON COLUMN market_trades.fill_shares_micros IS 'its shares, in millionths;';
COMMENT ON COLUMN market_trades.fill_tokens_micros IS 'and what they cost or brought, in millionths of a token.';
COMMENT ON COLUMN market_trades.price_before_micros IS 'Of long, as price_after_micros and the average.';
COMMENT ON COLUMN market_trades.average_price_micros IS 'At the time of the trade, before it.';
COMMENT ON COLUMN market_trades.long_micros IS 'Long shares after it: what the pool pays if long is worth 1.';
COMMENT ON COLUMN market_trades.short_micros IS 'Short shares after it: what the pool pays if short is worth 1.';
COMMENT ON COLUMN market_trades.loss_bound_micros IS 'What of the subsidy can be lost at the most.';

CREATE TABLE market_fills (
    shard_id         int          NOT NULL,
    order_id         bigint       NOT NULL,
    filled_seq       bigint       NOT NULL,
    filled_at        timestamptz  NOT NULL,
    account_id       text         NOT NULL,
    artifact_id      text         NOT NULL,
    position_id      bigint       NOT NULL,
    side             text         NOT NULL CHECK (side IN ('long', 'short')),
    effect           text         NOT NULL CHECK (effect IN ('open', 'close')),
    shares_micros    bigint       NOT NULL CHECK (shares_micros > 0),
    tokens_micros    bigint       NOT NULL CHECK (tokens_micros >= 0),
    fee_micros       bigint       NOT NULL CHECK (fee_micros BETWEEN 0 AND tokens_micros),
    realised_micros  bigint       NOT NULL CHECK (effect = 'close' OR realised_micros = 0),
    seq              bigint       NOT NULL,
    PRIMARY KEY (shard_id, order_id, filled_seq)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);
CREATE INDEX market_fills_account ON market_fills (shard_id, account_id, filled_seq, order_id);
COMMENT ON TABLE market_fills IS
    'What each order bought or sold in one journal row, the one that came and those that rested. A row never changes.';
COMMENT ON COLUMN market_fills.filled_seq IS 'The journal row; the receipt of the order that came is in market_trades.';
COMMENT ON COLUMN market_fills.tokens_micros IS 'What it paid or brought before the fee; millionths of a token.';

CREATE TABLE account_purses (
    shard_id      int          NOT NULL,
    account_id    text         NOT NULL,
    purse_micros  bigint       NOT NULL CHECK (purse_micros BETWEEN 0 AND 999999),
    updated_at    timestamptz  NOT NULL,
    seq           bigint       NOT NULL,
    PRIMARY KEY (shard_id, account_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE account_purses IS 'What accounts have of a started token, in capital_escrow; millionths of it.';

-- The platform reads positions under this name, and bounties among them.
CREATE VIEW market_positions AS
SELECT
    position.shard_id,
    position.id,
    position.account_id AS agent_id,
    position.artifact_id,
    position.side AS position_type,
    position.tokens_committed,
    position.entry_price,
    (SELECT limit_price FROM market_orders WHERE shard_id = position.shard_id AND order_id = position.id) AS target_price,
    position.status,
    position.settlement_price,
    position.settlement_pnl,
    position.settled_at,
    position.opened_at AS created_at,
    position.shares_micros,
    position.cost_micros,
    position.realised_micros,
    position.id AS order_id,
    position.seq
FROM artifact_positions AS position
UNION ALL
SELECT
    hold.shard_id,
    -hold.placed_seq,
    hold.account_id,
    hold.reference_id,
    'bounty',
    hold.amount,
    NULL,
    NULL,
    CASE hold.status WHEN 'open' THEN 'open' WHEN 'captured' THEN 'closed' ELSE 'cancelled' END,
    NULL,
    NULL,
    hold.ended_at,
    hold.placed_at,
    NULL,
    NULL,
    NULL,
    NULL,
    hold.seq
FROM token_holds AS hold
WHERE hold.reason = 'bounty' AND hold.reference_type = 'artifact';
COMMENT ON VIEW market_positions IS
    'Positions in artifacts (long, short) and bounties for work on them, each with what an account has committed.';
COMMENT ON COLUMN market_positions.id IS 'Below 0 of a bounty: the journal row that posted it.';
COMMENT ON COLUMN market_positions.target_price IS 'The limit of its order, where that rested.';
COMMENT ON COLUMN market_positions.status IS
    'As in artifact_positions. A bounty is closed when it was paid, and cancelled when it was withdrawn or expired.';

-- PRC-1 at a later time, to the nearest millionth. The engine keeps twenty bits more, so it may differ by one.
CREATE FUNCTION artifact_average_micros(price_micros bigint, average_micros bigint, waited interval)
RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN waited > interval '60 days' THEN price_micros ELSE price_micros + round(
        (average_micros - price_micros) * power(0.5::numeric, extract(epoch FROM greatest(waited, interval '0')) / 21600)
    )::bigint END
$$;
COMMENT ON FUNCTION artifact_average_micros IS
    'What an average price has become, in millionths, when another price was in force for so long: half-life six hours.';

CREATE VIEW artifact_prices AS
SELECT
    market.shard_id,
    market.artifact_id,
    market.status,
    market.price_micros,
    artifact_average_micros(
        market.price_micros,
        market.average_price_micros,
        CASE WHEN market.status = 'open' THEN market_now.at ELSE stopped.at END - market.averaged_at
    ) AS average_price_micros,
    market.settle_price_micros
FROM artifact_markets AS market
JOIN market_now ON market_now.shard_id = market.shard_id
-- It stands from the first state on in which nothing trades: one may follow another.
LEFT JOIN LATERAL (
    SELECT min(entered_at) AS at FROM artifact_states
    WHERE market.status <> 'open' AND shard_id = market.shard_id AND artifact_id = market.artifact_id
      AND entered_seq > (
        SELECT entered_seq FROM artifact_states
        WHERE shard_id = market.shard_id AND artifact_id = market.artifact_id
          AND state = 'listed' AND price_micros IS NULL
        ORDER BY entered_seq DESC LIMIT 1)
) AS stopped ON true;
COMMENT ON VIEW artifact_prices IS
    'The price of long of each market and its average as of the last journal row; frozen or settled, the average stands.';

-- What is in escrow is somebody's (CAP-2): `difference` is 0.
CREATE VIEW capital_escrow AS
SELECT part.*, part.escrow_micros - part.funds_micros - part.purses_micros - part.change_micros AS difference_micros
FROM (
    SELECT
        escrow.shard_id,
        escrow.balance * 1000000::numeric AS escrow_micros,
        (SELECT coalesce(sum(funds_micros), 0) FROM artifact_markets AS market
         WHERE market.shard_id = escrow.shard_id) AS funds_micros,
        (SELECT coalesce(sum(purse_micros), 0) FROM account_purses AS purse
         WHERE purse.shard_id = escrow.shard_id) AS purses_micros,
        (SELECT coalesce(sum(left_micros % 1000000), 0) FROM market_orders AS resting
         WHERE resting.shard_id = escrow.shard_id AND resting.status = 'open' AND resting.effect = 'open') AS change_micros
    FROM token_accounts AS escrow
    WHERE escrow.account_id = 'capital_escrow'
) AS part;
COMMENT ON VIEW capital_escrow IS
    'Whose the tokens of capital_escrow are, in millionths: of markets, of purses, and what orders have of a started token.';
COMMENT ON COLUMN capital_escrow.difference_micros IS '0, or something is wrong: run verify.';

-- As for the tables before them, where the role is there.
DO $$
DECLARE
    name text;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callmarket_reader') THEN
        FOREACH name IN ARRAY ARRAY[
            'artifact_markets', 'artifact_states', 'artifact_positions', 'market_orders', 'market_trades', 'market_fills',
            'account_purses', 'market_positions', 'artifact_prices', 'capital_escrow'
        ] LOOP
            EXECUTE format('GRANT SELECT ON %I.%I TO callmarket_reader', current_schema(), name);
        END LOOP;
    END IF;
END
$$;
