-- Rules 3: whose a task id is, and what a round left unsold, so that `bid_outcomes` names the one reason for which a bid
-- did not win. Rule: of several reasons it is the first in the order in which a call asks (CLR-2): the deadline, an
-- award of the task, the cap, a rival for the task; only then the price.

ALTER TABLE compute_auction_markets
    ADD COLUMN task_scope text NOT NULL DEFAULT 'market' CHECK (task_scope IN ('market', 'bidder'));
COMMENT ON COLUMN compute_auction_markets.task_scope IS
    'Whose a task id is: market, one task for all bidders; bidder, one for each of them.';

ALTER TABLE compute_auction_rounds ADD COLUMN next_reserve_tokens bigint;
COMMENT ON COLUMN compute_auction_rounds.next_reserve_tokens IS
    'The reserve of the cheapest slot that was not sold; null where all were sold, and in rounds of rules 1 and 2.';
COMMENT ON COLUMN compute_auction_rounds.clearing_price_tokens IS
    'The one price of the round; null where nobody won or each pays a price of its own. A winner whose task another '
    'bidder bid for may pay more: compute_auction_clears has what each pays.';

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
-- The look for an earlier award of a task.
CREATE INDEX compute_auction_clears_task ON compute_auction_clears (shard_id, market_id, winning_task_id, award_id);
