-- Rules 3: a slot is named by its provider and its id, a hold by its account and its id, so nobody takes an id from anybody
-- else. Rule: the rows that are there stay as they are: under rules 1 and 2 no two slots of a shard had one id at a time.

ALTER TABLE compute_auction_slots DROP CONSTRAINT compute_auction_slots_pkey;
-- The id first: rows of rules 1 and 2 that end a slot do not say whose it is.
ALTER TABLE compute_auction_slots ADD PRIMARY KEY (shard_id, slot_id, provider_id);
COMMENT ON TABLE compute_auction_slots IS
    'The latest offer of each slot of a provider; past uses are in compute_auction_clears, past offers in the journal.';
COMMENT ON COLUMN compute_auction_slots.slot_id IS
    'Its provider''s own: others may have slots of the same id. Up to rules 2 an offer replaced that of another provider.';

DROP INDEX compute_auction_slots_market;
CREATE INDEX compute_auction_slots_market
    ON compute_auction_slots (shard_id, market_id, status, slot_id, provider_id);

DROP INDEX token_holds_id;
CREATE INDEX token_holds_id ON token_holds (shard_id, account_id, hold_id, placed_seq);
COMMENT ON COLUMN token_holds.hold_id IS
    'Its account''s own: one open hold of it has the id; one that ended long ago may have had it too, and others'' holds.';

-- As before, but that a slot is named with its provider.
CREATE OR REPLACE VIEW bid_outcomes AS
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
            format('%s: slot %s of %s in round %s at %s, bid %s', bid.status, award.slot_id, award.provider_id,
                   bid.round_no, award.clearing_price_tokens, bid.max_price_tokens)
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
                WHEN bid.ttl_at <= round.called_at THEN format('past its deadline, %s', bid.ttl_at)
                WHEN task_award.award_id IS NOT NULL THEN
                    format('its task had award %s of round %s', task_award.award_id, task_award.round_no)
                WHEN market.awards_per_bidder_max > 0 AND better.awards >= market.awards_per_bidder_max THEN
                    format('better bids of its bidder won the cap of %s a round', market.awards_per_bidder_max)
                WHEN rival.bid_id IS NOT NULL THEN
                    format('bid %s, a rival for its task, won with %s, and this one is %s', rival.bid_id,
                           rival.clearing_price_tokens + rival.premium_tokens, bid.max_price_tokens)
                WHEN round.slots_available = 0 THEN 'no slot was on offer'
                WHEN round.awards_granted < round.slots_available THEN
                    -- Rounds of rules 1 and 2 do not know which reserve that was.
                    format('under the reserve of the next slot%s%s, this one %s', ', ' || round.next_reserve_tokens,
                           '; the lowest winning bid was ' || winners.lowest_winning_bid_tokens, bid.max_price_tokens)
                WHEN bid.max_price_tokens = winners.lowest_winning_bid_tokens THEN
                    format('as high as the lowest winning bid, %s, but later', bid.max_price_tokens)
                ELSE format('outbid, the lowest winning bid was %s and this one %s',
                            winners.lowest_winning_bid_tokens, bid.max_price_tokens)
            END
    END AS reason
FROM compute_auction_bids AS bid
JOIN compute_auction_markets AS market ON market.shard_id = bid.shard_id AND market.market_id = bid.market_id
LEFT JOIN compute_auction_clears AS award ON award.shard_id = bid.shard_id AND award.award_id = bid.award_id
-- The round that decided it or, for a bid that no round has ended, the last that it stood in with its present price.
LEFT JOIN LATERAL (
    (SELECT called.* FROM compute_auction_rounds AS called
     WHERE bid.round_no IS NOT NULL AND called.shard_id = bid.shard_id AND called.market_id = bid.market_id
       AND called.round_no = bid.round_no)
    UNION ALL
    -- A bid for one round was decided by the first call after it took its place.
    (SELECT called.* FROM compute_auction_rounds AS called
     WHERE bid.round_no IS NULL AND bid.time_in_force = 'round'
       AND called.shard_id = bid.shard_id AND called.market_id = bid.market_id
       AND called.seq > bid.priority_seq AND called.seq < coalesce(bid.closed_seq, 9223372036854775807)
     ORDER BY called.seq LIMIT 1)
    UNION ALL
    (SELECT called.* FROM compute_auction_rounds AS called
     WHERE bid.round_no IS NULL AND bid.time_in_force <> 'round'
       AND called.shard_id = bid.shard_id AND called.market_id = bid.market_id
       AND called.seq > bid.priority_seq AND called.seq < coalesce(bid.closed_seq, 9223372036854775807)
     ORDER BY called.seq DESC LIMIT 1)
) AS round ON true
LEFT JOIN LATERAL (
    SELECT min(won.clearing_price_tokens + won.premium_tokens) AS lowest_winning_bid_tokens
    FROM compute_auction_clears AS won
    WHERE won.shard_id = bid.shard_id AND won.market_id = bid.market_id AND won.round_no = round.round_no
) AS winners ON true
-- What its bidder won in that round with bids that stood before it.
LEFT JOIN LATERAL (
    SELECT count(*) AS awards
    FROM compute_auction_clears AS won
    JOIN compute_auction_bids AS ahead ON ahead.shard_id = won.shard_id AND ahead.id = won.bid_id
    WHERE won.shard_id = bid.shard_id AND won.market_id = bid.market_id AND won.round_no = round.round_no
      AND won.bidder_id = bid.bidder_id
      AND (ahead.max_price_tokens > bid.max_price_tokens
           OR (ahead.max_price_tokens = bid.max_price_tokens AND ahead.priority_seq < bid.priority_seq))
) AS better ON true
-- Who won its task in that round.
LEFT JOIN LATERAL (
    SELECT won.* FROM compute_auction_clears AS won
    WHERE won.shard_id = bid.shard_id AND won.market_id = bid.market_id AND won.round_no = round.round_no
      AND won.winning_task_id = bid.task_id AND (market.task_scope = 'market' OR won.bidder_id = bid.bidder_id)
) AS rival ON true
-- The award of its task that was live at the call: granted before it, and ended after it or not yet.
LEFT JOIN LATERAL (
    SELECT earlier.* FROM compute_auction_clears AS earlier
    WHERE earlier.shard_id = bid.shard_id AND earlier.market_id = bid.market_id
      AND earlier.winning_task_id = bid.task_id AND (market.task_scope = 'market' OR earlier.bidder_id = bid.bidder_id)
      AND earlier.round_no < round.round_no AND (earlier.status = 'awarded' OR earlier.seq > round.seq)
    ORDER BY earlier.award_id DESC
    LIMIT 1
) AS task_award ON true;
