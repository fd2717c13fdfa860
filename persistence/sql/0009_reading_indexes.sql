-- Indexes for the lists of a service: the bids, awards, slots and rounds of a market or of a bidder, by status, page
-- after page. Rule: each ends with the key that the pages go by, so that a page is one short walk however long the list.
--
-- What they cost: a bid is written about twice and its status changes, so each of its two indexes takes two entries for
-- each bid, and a third one where it wins. Slots and awards were updated in place so far, because their status was in no
-- index; now each change of it adds an entry to all indexes of its table. They are few beside the bids. Rounds are
-- written once.

CREATE INDEX compute_auction_bids_market ON compute_auction_bids (shard_id, market_id, status, id);
CREATE INDEX compute_auction_bids_bidder ON compute_auction_bids (shard_id, bidder_id, status, id);

CREATE INDEX compute_auction_slots_market ON compute_auction_slots (shard_id, market_id, status, slot_id);

CREATE INDEX compute_auction_clears_market ON compute_auction_clears (shard_id, market_id, status, award_id);
-- In place of the one without the status, which answered the same questions but that for the live awards of a bidder.
DROP INDEX compute_auction_clears_bidder;
CREATE INDEX compute_auction_clears_bidder ON compute_auction_clears (shard_id, bidder_id, status, award_id);

CREATE INDEX compute_auction_rounds_seq ON compute_auction_rounds (shard_id, seq);
CREATE INDEX compute_auction_rounds_market ON compute_auction_rounds (shard_id, market_id, seq);

-- The view as before, but the round that decided a bid is found by an index: it was looked for among all rounds of the
-- market, which a service that is asked "why" cannot do.
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
) AS winners ON true;
