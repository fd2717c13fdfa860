-- What a person asks, as views: why did my bid lose, why was my command refused.

CREATE VIEW bid_outcomes AS
SELECT
    bid.shard_id,
    bid.id AS bid_id,
    bid.bidder_id,
    bid.market_id,
    bid.task_id,
    bid.max_price_tokens,
    bid.status,
    round.round_no,
    round.called_at,
    round.clearing_price_tokens,
    award.clearing_price_tokens AS paid_price_tokens,
    winners.lowest_winning_bid_tokens,
    CASE
        WHEN bid.status IN ('won', 'settled', 'voided', 'lapsed') THEN
            format('%s: slot %s in round %s at %s, bid %s', bid.status, award.slot_id, bid.round_no,
                   award.clearing_price_tokens, bid.max_price_tokens)
        WHEN bid.status = 'cancelled' THEN 'cancelled before a round ended it'
        WHEN bid.status = 'expired' THEN format('expired: its deadline was %s', bid.ttl_at)
        WHEN round.round_no IS NULL THEN 'open: its market has not been called since it took its place'
        ELSE
            CASE
                WHEN bid.status = 'lost' THEN format('lost round %s', round.round_no)
                WHEN bid.time_in_force = 'round' THEN
                    format('lost round %s, tokens released by one of the next sweeps', round.round_no)
                ELSE format('open, did not win round %s', round.round_no)
            END || ': ' ||
            CASE
                WHEN round.slots_available = 0 THEN 'no slot was on offer'
                WHEN round.awards_granted = 0 THEN 'no bid reached the reserve of a slot'
                WHEN bid.max_price_tokens < winners.lowest_winning_bid_tokens THEN
                    format('outbid, the lowest winning bid was %s and this one %s',
                           winners.lowest_winning_bid_tokens, bid.max_price_tokens)
                WHEN bid.max_price_tokens = winners.lowest_winning_bid_tokens THEN
                    format('as high as the lowest winning bid, %s, but later', bid.max_price_tokens)
                ELSE 'passed over: past its deadline, its task had an award, or its bidder was at the cap of awards'
            END
    END AS reason
FROM compute_auction_bids AS bid
LEFT JOIN compute_auction_clears AS award ON award.shard_id = bid.shard_id AND award.award_id = bid.award_id
-- The round that decided it or, for a bid that no round has ended, the last that it stood in with its present price.
LEFT JOIN LATERAL (
    SELECT called.* FROM compute_auction_rounds AS called
    WHERE called.shard_id = bid.shard_id AND called.market_id = bid.market_id
      AND CASE WHEN bid.round_no IS NOT NULL THEN called.round_no = bid.round_no
               ELSE called.seq > bid.priority_seq AND called.seq < coalesce(bid.closed_seq, 9223372036854775807) END
    -- A bid for one round was decided by the first call after it took its place.
    ORDER BY CASE WHEN bid.time_in_force = 'round' THEN -called.round_no ELSE called.round_no END DESC
    LIMIT 1
) AS round ON true
LEFT JOIN LATERAL (
    SELECT min(won.clearing_price_tokens + won.premium_tokens) AS lowest_winning_bid_tokens
    FROM compute_auction_clears AS won
    WHERE won.shard_id = bid.shard_id AND won.market_id = bid.market_id AND won.round_no = round.round_no
) AS winners ON true;
COMMENT ON VIEW bid_outcomes IS
    'Why a bid won or lost, in words: SELECT reason FROM bid_outcomes WHERE shard_id = 0 AND bid_id = 7. Name the bid: '
    'the view looks at the rounds of each bid that it is asked for.';

CREATE VIEW refusals AS
SELECT
    shard_id,
    seq,
    to_timestamp(at_us / 1000000) + (at_us % 1000000) * interval '1 microsecond' AS refused_at,
    actor,
    command ->> 'type' AS command_type,
    events -> 0 ->> 'reason' AS reason,
    events -> 0 ->> 'field' AS field,
    events -> 0 ->> 'value' AS value,
    events -> 0 ->> 'bound' AS bound,
    command
FROM journal
WHERE events -> 0 ->> 'type' = 'rejected';
COMMENT ON VIEW refusals IS
    'Commands that were refused, and what they met. Bound it by seq, else it reads the whole journal: '
    'SELECT * FROM refusals WHERE shard_id = 0 AND seq > 1000000 AND actor = ''alice''.';

-- A role for those who only look. Roles belong to the whole cluster, not to this database: it may exist already,
-- somebody may be creating it at this moment for another database, and we may not be allowed to. None of these is a
-- reason to fail. Where it could not be made, a superuser does by hand what the block below does.
DO $$
BEGIN
    BEGIN
        CREATE ROLE callmarket_reader NOLOGIN;
    EXCEPTION
        WHEN duplicate_object OR unique_violation THEN NULL;
        WHEN insufficient_privilege THEN
            RAISE NOTICE 'role callmarket_reader was not created: no right to create roles';
    END;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callmarket_reader') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO callmarket_reader', current_schema());
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO callmarket_reader', current_schema());
    END IF;
END
$$;
