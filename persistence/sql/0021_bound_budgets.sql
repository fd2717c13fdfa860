-- What is spent may only come from holds that are bound (HLD-8): those that were placed before the row that binds. Rule:
-- what gives a budget, and what it gives, are said once each, for who asks and for who spends.

CREATE VIEW artifact_commitments AS
SELECT hold.shard_id, hold.reference_id AS artifact_id, hold.placed_seq, hold.reason, hold.amount
FROM token_holds AS hold
LEFT JOIN market_now ON market_now.shard_id = hold.shard_id
WHERE hold.status = 'open' AND hold.reference_type = 'artifact' AND hold.reason IN ('stake', 'bounty')
    AND (hold.expires_at IS NULL OR hold.expires_at >= market_now.at + interval '7 days');
COMMENT ON VIEW artifact_commitments IS
    'The stakes and bounties that give budgets: open, for an artifact, and that end in a week at the soonest.';

CREATE FUNCTION resource_budget_tokens(demand_tokens numeric, bounty_tokens numeric, market_price_micros int)
RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT div(
        (demand_tokens + 10 * bounty_tokens) * (1000000 - abs(market_price_micros - 500000)),
        10000000
    )::bigint
$$;
COMMENT ON FUNCTION resource_budget_tokens IS
    'What research on an artifact may cost: (0.1 * demand + bounties) * (0.5 + 0.5 * (1 - 2 * |price - 0.5|)), down.';

-- The same columns of the same rows as before.
CREATE OR REPLACE VIEW resource_budgets AS
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
        resource_budget_tokens(
            coalesce(committed.demand_tokens, 0), coalesce(committed.bounty_tokens, 0), artifact.market_price_micros
        ) AS budget_tokens,
        artifact.spent_tokens
    FROM artifacts AS artifact
    LEFT JOIN (
        SELECT
            commitment.shard_id,
            commitment.artifact_id,
            count(*) AS holds,
            sum(commitment.amount) FILTER (WHERE commitment.reason = 'stake') AS demand_tokens,
            sum(commitment.amount) FILTER (WHERE commitment.reason = 'bounty') AS bounty_tokens
        FROM artifact_commitments AS commitment
        GROUP BY commitment.shard_id, commitment.artifact_id
    ) AS committed ON committed.shard_id = artifact.shard_id AND committed.artifact_id = artifact.artifact_id
) AS part;

-- The fence of a batch compares the digest of the row before, and computes none.
COMMENT ON FUNCTION journal_digest IS
    'The digest that a journal row must have after `previous`: the view journal_breaks compares, and `verify`.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callmarket_reader') THEN
        EXECUTE format('GRANT SELECT ON %I.artifact_commitments TO callmarket_reader', current_schema());
    END IF;
END
$$;
