-- Artifacts, who works for which bounty, and what research on each artifact has cost (BRG-3). Rule: plain tables beside
-- the journal. All tokens that are committed to an artifact are holds, which the journal has; what these rows say of a
-- stake or a bounty follows from its hold, so the two cannot disagree. Nothing that the engine decides depends on them.

CREATE TABLE artifacts (
    shard_id             int          NOT NULL,
    artifact_id          text         NOT NULL,
    artifact_type        text         NOT NULL,
    title                text         NOT NULL,
    market_price_micros  int          NOT NULL CHECK (market_price_micros BETWEEN 0 AND 1000000),
    market_price         numeric      NOT NULL GENERATED ALWAYS AS (market_price_micros * 0.000001) STORED,
    priced_at            timestamptz  NOT NULL,
    priced_by            text         NOT NULL,
    spent_tokens         bigint       NOT NULL DEFAULT 0 CHECK (spent_tokens BETWEEN 0 AND 9007199254740991),
    created_at           timestamptz  NOT NULL,
    updated_at           timestamptz  NOT NULL,
    PRIMARY KEY (shard_id, artifact_id)
);
CREATE INDEX artifacts_type ON artifacts (shard_id, artifact_type, artifact_id);
COMMENT ON TABLE artifacts IS 'What is researched: tokens are committed to it, and give it a budget (resource_budgets).';
COMMENT ON COLUMN artifacts.market_price IS
    'From 0, nobody believes in it, to 1; exactly market_price_micros / 1,000,000. 0.5 until it is priced.';
COMMENT ON COLUMN artifacts.priced_by IS 'Who set the price, at priced_at.';
COMMENT ON COLUMN artifacts.spent_tokens IS 'The sum of its rows in resource_allocations, which commit with it.';
COMMENT ON COLUMN artifacts.updated_at IS 'By the clock of the database, as all times here: type, title or price.';

CREATE TABLE resource_allocations (
    shard_id          int          NOT NULL,
    id                bigint       NOT NULL GENERATED ALWAYS AS IDENTITY,
    artifact_id       text         NOT NULL,
    tokens            bigint       NOT NULL CHECK (tokens > 0),
    reference_type    text         NOT NULL,
    reference_id      text         NOT NULL,
    impact_micros     bigint       CHECK (impact_micros >= 0),
    efficiency_score  numeric      GENERATED ALWAYS AS (impact_micros * 0.000001 / tokens) STORED,
    allocated_at      timestamptz  NOT NULL,
    recorded_by       text         NOT NULL,
    PRIMARY KEY (shard_id, id),
    UNIQUE (shard_id, artifact_id, reference_type, reference_id)
);
CREATE INDEX resource_allocations_artifact ON resource_allocations (shard_id, artifact_id, id);
COMMENT ON TABLE resource_allocations IS 'What research on each artifact has cost: its budget less these is what is left.';
COMMENT ON COLUMN resource_allocations.reference_id IS 'The work, as a task or an award; it is recorded once for each.';
COMMENT ON COLUMN resource_allocations.impact_micros IS 'What the work was good for, in millionths; null: not known.';
COMMENT ON COLUMN resource_allocations.efficiency_score IS 'Impact per token; null while the impact is not known.';

CREATE TABLE bounty_claims (
    shard_id     int          NOT NULL,
    posted_seq   bigint       NOT NULL,
    claimant_id  text         NOT NULL,
    claimed_at   timestamptz  NOT NULL,
    PRIMARY KEY (shard_id, posted_seq)
);
COMMENT ON TABLE bounty_claims IS 'Who works for a bounty; one for each. The bounty itself is a hold: see token_bounties.';
COMMENT ON COLUMN bounty_claims.posted_seq IS 'The journal row that placed the hold.';

-- The bounties for an artifact, page after page, without a step for each stake on it.
CREATE INDEX token_holds_bounties ON token_holds (shard_id, reference_id, status, placed_seq)
    WHERE reason = 'bounty' AND reference_type = 'artifact';

CREATE VIEW token_bounties AS
SELECT
    hold.shard_id,
    hold.hold_id AS id,
    hold.placed_seq AS posted_seq,
    hold.reference_id AS artifact_id,
    hold.amount AS tokens_offered,
    hold.captured AS tokens_paid,
    CASE hold.status
        WHEN 'open' THEN CASE WHEN claim.claimant_id IS NULL THEN 'open' ELSE 'claimed' END
        WHEN 'captured' THEN 'paid'
        WHEN 'released' THEN 'withdrawn'
        ELSE 'expired'
    END AS status,
    coalesce(hold.captured_to, claim.claimant_id) AS claimant_id,
    hold.account_id AS bounty_source,
    hold.placed_by AS posted_by,
    hold.memo AS description,
    hold.status AS hold_status,
    hold.expires_at,
    hold.placed_at AS created_at,
    greatest(hold.placed_at, claim.claimed_at, hold.ended_at) AS updated_at
FROM token_holds AS hold
-- Looked up for each row that is shown, by its key: however few claims there are, a page is not sorted for them.
LEFT JOIN LATERAL (
    SELECT * FROM bounty_claims WHERE shard_id = hold.shard_id AND posted_seq = hold.placed_seq LIMIT 1
) AS claim ON true
WHERE hold.reason = 'bounty' AND hold.reference_type = 'artifact';
COMMENT ON VIEW token_bounties IS
    'Tokens offered for work on an artifact, with where each offer stands: open, claimed, paid, withdrawn or expired.';

-- The formula of BRG-3, exact but for its one rounding: (0.1 * demand + bounties) * (1 - |price - 0.5|), rounded down.
CREATE VIEW resource_budgets AS
SELECT part.*, greatest(part.budget_tokens - part.spent_tokens, 0) AS left_tokens
FROM (
    SELECT
        artifact.shard_id,
        artifact.artifact_id,
        artifact.artifact_type,
        artifact.title,
        artifact.market_price,
        committed.holds AS open_holds,
        coalesce(committed.demand_tokens, 0)::bigint AS demand_tokens,
        coalesce(committed.bounty_tokens, 0)::bigint AS bounty_tokens,
        coalesce(committed.demand_tokens, 0) * 0.1 AS base_budget_tokens,
        (1000000 - 2 * abs(artifact.market_price_micros - 500000)) * 0.000001 AS uncertainty_multiplier,
        div(
            (coalesce(committed.demand_tokens, 0) + 10 * coalesce(committed.bounty_tokens, 0))
                * (1000000 - abs(artifact.market_price_micros - 500000)),
            10000000
        )::bigint AS budget_tokens,
        artifact.spent_tokens
    FROM artifacts AS artifact
    LEFT JOIN (
        SELECT
            hold.shard_id,
            hold.reference_id,
            count(*) AS holds,
            sum(hold.amount) FILTER (WHERE hold.reason = 'stake') AS demand_tokens,
            sum(hold.amount) FILTER (WHERE hold.reason = 'bounty') AS bounty_tokens
        FROM token_holds AS hold
        WHERE hold.status = 'open' AND hold.reference_type = 'artifact' AND hold.reason IN ('stake', 'bounty')
        GROUP BY hold.shard_id, hold.reference_id
    ) AS committed ON committed.shard_id = artifact.shard_id AND committed.reference_id = artifact.artifact_id
) AS part;
COMMENT ON VIEW resource_budgets IS
    'What may be spent on research on each artifact: from what is staked on it, its bounties, and how uncertain it is.';
COMMENT ON COLUMN resource_budgets.open_holds IS 'Stakes and bounties; null where nothing is committed.';
COMMENT ON COLUMN resource_budgets.demand_tokens IS 'Tokens on open holds for the reason stake.';
COMMENT ON COLUMN resource_budgets.bounty_tokens IS 'Tokens on open holds for the reason bounty.';
COMMENT ON COLUMN resource_budgets.uncertainty_multiplier IS '1 at a price of 0.5, 0 at a price of 0 or 1.';
COMMENT ON COLUMN resource_budgets.left_tokens IS 'The budget less what was spent, never below 0.';

-- As for the tables before them, where the role is there.
DO $$
DECLARE
    name text;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callmarket_reader') THEN
        FOREACH name IN ARRAY ARRAY[
            'artifacts', 'resource_allocations', 'bounty_claims', 'token_bounties', 'resource_budgets'
        ] LOOP
            EXECUTE format('GRANT SELECT ON %I.%I TO callmarket_reader', current_schema(), name);
        END LOOP;
    END IF;
END
$$;
