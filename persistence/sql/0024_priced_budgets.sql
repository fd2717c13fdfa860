-- Prices and capital of artifact markets direct research (BRG-3). Rule: what an artifact costs to look at for an hour must
-- not be what it costs to direct its research, so prices and capital count by how long they have been there.

-- Whose positions and orders are committed to each artifact, without a look at those that have ended.
CREATE INDEX artifact_positions_open ON artifact_positions (shard_id, artifact_id, account_id) WHERE status = 'open';
CREATE INDEX market_orders_opening ON market_orders (shard_id, artifact_id) WHERE status = 'open' AND effect = 'open';
-- What an account was paid in the days of a portfolio.
CREATE INDEX artifact_positions_paid ON artifact_positions (shard_id, account_id, settled_at) WHERE settled_at IS NOT NULL;

DROP VIEW resource_budgets;
DROP VIEW artifact_commitments;

-- The name is that of a view now: where there is a market, its price is the artifact's.
ALTER TABLE artifacts RENAME TO artifact_records;
COMMENT ON TABLE artifact_records IS 'What is researched, and the price that staff set. To be read as the view artifacts.';
COMMENT ON COLUMN artifact_records.market_price IS 'What staff set; it counts until the artifact has a market.';

CREATE VIEW artifacts AS
SELECT part.*, part.market_price_micros * 0.000001 AS market_price
FROM (
    SELECT
        record.shard_id,
        record.artifact_id,
        record.artifact_type,
        record.title,
        coalesce(price.settle_price_micros, price.average_price_micros, record.market_price_micros)::int
            AS market_price_micros,
        CASE
            WHEN price.artifact_id IS NULL THEN record.market_price_micros
            WHEN price.settle_price_micros IS NOT NULL THEN price.settle_price_micros
            WHEN (SELECT count(*) FROM (
                    SELECT DISTINCT position.account_id FROM artifact_positions AS position
                    WHERE position.shard_id = record.shard_id AND position.artifact_id = record.artifact_id
                        AND position.status = 'open' LIMIT 3) AS holders) = 3
                THEN price.average_price_micros
            ELSE 500000
        END::int AS research_price_micros,
        coalesce(price.moved_at, record.priced_at) AS priced_at,
        CASE WHEN price.artifact_id IS NULL THEN record.priced_by ELSE 'its market' END AS priced_by,
        record.spent_tokens,
        record.created_at,
        record.updated_at
    FROM artifact_records AS record
    -- Looked up for each row that is shown, by its key: a page does not walk along all markets.
    LEFT JOIN LATERAL (
        SELECT found.*, greatest(market.averaged_at, market.status_at) AS moved_at
        FROM artifact_prices AS found
        JOIN artifact_markets AS market ON market.shard_id = found.shard_id AND market.artifact_id = found.artifact_id
        WHERE found.shard_id = record.shard_id AND found.artifact_id = record.artifact_id LIMIT 1
    ) AS price ON true
) AS part;
COMMENT ON VIEW artifacts IS 'What is researched: tokens are committed to it, and give it a budget (resource_budgets).';
COMMENT ON COLUMN artifacts.market_price IS
    'From 0, nobody believes in it, to 1. The average price of its market, and once that is settled what a long share was '
    'worth; without a market what staff set, 0.5 before.';
COMMENT ON COLUMN artifacts.research_price_micros IS
    'The price that budgets reckon with. 500,000 where fewer than three accounts have open positions in its market.';
COMMENT ON COLUMN artifacts.priced_by IS 'Who set the price, at priced_at; its market, where it has one.';

CREATE FUNCTION demand_weight_ppm(waited interval, is_bound boolean)
RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN waited IS NULL OR waited <= interval '0' THEN 0
        WHEN waited > interval '60 days' THEN 1000000
        ELSE least(
            round(1000000 * (1 - power(0.5::float8, (extract(epoch FROM waited) / 86400)::float8))),
            CASE WHEN is_bound THEN 1000000 ELSE floor(1000000 * extract(epoch FROM waited) / 604800)::float8 END
        )::int
    END
$$;
COMMENT ON FUNCTION demand_weight_ppm IS
    'How much of a commitment counts as demand after this time, in millionths: its own average of a half-life of a day. '
    'What spending does not bind counts by its part of a week at most, so moved about it gives no more than at rest.';

CREATE VIEW artifact_commitments AS
SELECT part.*, CASE part.reason
        WHEN 'bounty' THEN 1000000
        ELSE demand_weight_ppm(market_now.at - part.placed_at, part.reason = 'stake')
    END AS weight_ppm
FROM (
    SELECT hold.shard_id, hold.reference_id AS artifact_id, hold.placed_seq, hold.reason, hold.amount::numeric AS amount,
        hold.placed_at, hold.expires_at
    FROM token_holds AS hold
    WHERE hold.status = 'open' AND hold.reference_type = 'artifact' AND hold.reason IN ('stake', 'bounty')
    UNION ALL
    SELECT shard_id, artifact_id, 0, 'position', cost_micros * 0.000001, opened_at, NULL
    FROM artifact_positions WHERE status = 'open'
    UNION ALL
    SELECT shard_id, artifact_id, 0, 'order', left_micros * 0.000001, rested_at, NULL
    FROM market_orders WHERE status = 'open' AND effect = 'open'
) AS part
LEFT JOIN market_now ON market_now.shard_id = part.shard_id
WHERE part.expires_at IS NULL OR part.expires_at >= market_now.at + interval '7 days';
COMMENT ON VIEW artifact_commitments IS
    'What gives budgets: stakes and bounties that end in a week at the soonest, open positions at their cost, and resting '
    'orders that open some; in tokens.';
COMMENT ON COLUMN artifact_commitments.placed_seq IS
    'The row that placed a stake or a bounty, by which spending binds it; 0 of what nothing binds.';
COMMENT ON COLUMN artifact_commitments.weight_ppm IS 'What of it counts: all of a bounty, of others as long as they are there.';

CREATE VIEW resource_budgets AS
SELECT part.*, greatest(part.budget_tokens - part.spent_tokens, 0) AS left_tokens
FROM (
    SELECT
        artifact.shard_id,
        artifact.artifact_id,
        artifact.artifact_type,
        artifact.title,
        artifact.market_price,
        artifact.research_price_micros * 0.000001 AS research_price,
        committed.commitments AS open_commitments,
        coalesce(committed.committed_tokens, 0)::bigint AS committed_tokens,
        coalesce(committed.demand_tokens, 0)::bigint AS demand_tokens,
        coalesce(committed.bounty_tokens, 0)::bigint AS bounty_tokens,
        coalesce(committed.demand_tokens, 0) * 0.1 AS base_budget_tokens,
        (1000000 - 2 * abs(artifact.research_price_micros - 500000)) * 0.000001 AS uncertainty_multiplier,
        resource_budget_tokens(
            coalesce(committed.demand_tokens, 0), coalesce(committed.bounty_tokens, 0), artifact.research_price_micros
        ) AS budget_tokens,
        artifact.spent_tokens
    FROM artifacts AS artifact
    LEFT JOIN (
        SELECT
            shard_id,
            artifact_id,
            count(*) AS commitments,
            floor(sum(amount) FILTER (WHERE reason <> 'bounty')) AS committed_tokens,
            div(sum(amount * weight_ppm) FILTER (WHERE reason <> 'bounty'), 1000000) AS demand_tokens,
            sum(amount) FILTER (WHERE reason = 'bounty') AS bounty_tokens
        FROM artifact_commitments
        GROUP BY shard_id, artifact_id
    ) AS committed ON committed.shard_id = artifact.shard_id AND committed.artifact_id = artifact.artifact_id
) AS part;
COMMENT ON VIEW resource_budgets IS
    'What may be spent on research on each artifact: from what is committed to it, its bounties, and how uncertain it is.';
COMMENT ON COLUMN resource_budgets.research_price IS 'The price that the budget reckons with; see artifacts.';
COMMENT ON COLUMN resource_budgets.open_commitments IS 'Stakes, bounties, positions and orders; null where there is none.';
COMMENT ON COLUMN resource_budgets.committed_tokens IS 'Stakes, positions and resting orders as they are now.';
COMMENT ON COLUMN resource_budgets.demand_tokens IS 'Of these, what counts by the time that it has been there.';
COMMENT ON COLUMN resource_budgets.bounty_tokens IS
    'Tokens on open holds for the reason bounty that end in a week at the soonest.';
COMMENT ON COLUMN resource_budgets.uncertainty_multiplier IS '1 at a price of 0.5, 0 at a price of 0 or 1.';
COMMENT ON COLUMN resource_budgets.left_tokens IS 'The budget less what was spent, never below 0.';

-- As for the tables before them, where the role is there. The table that was renamed keeps its grant.
DO $$
DECLARE
    name text;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callmarket_reader') THEN
        FOREACH name IN ARRAY ARRAY['artifacts', 'artifact_commitments', 'resource_budgets'] LOOP
            EXECUTE format('GRANT SELECT ON %I.%I TO callmarket_reader', current_schema(), name);
        END LOOP;
    END IF;
END
$$;
