-- Named holds: tokens set aside outside the auction, for stakes, bounties or whatever the reason says. Rule: a row is
-- never replaced. An id that has been forgotten by the market may be used for another hold, so the key is the journal
-- row that placed it; whoever joins something to a hold joins it to that.

CREATE TABLE token_holds (
    shard_id        int          NOT NULL,
    placed_seq      bigint       NOT NULL,
    hold_id         text         NOT NULL,
    account_id      text         NOT NULL,
    placed_by       text         NOT NULL,
    amount          bigint       NOT NULL CHECK (amount > 0),
    captured        bigint       CHECK (captured BETWEEN 1 AND amount),
    captured_to     text         CHECK (captured_to <> account_id),
    reason          text         NOT NULL,
    reference_type  text         NOT NULL,
    reference_id    text         NOT NULL,
    memo            text         NOT NULL,
    status          text         NOT NULL CHECK (status IN ('open', 'captured', 'released', 'expired')),
    placed_at       timestamptz  NOT NULL,
    expires_at      timestamptz,
    ended_at        timestamptz,
    seq             bigint       NOT NULL,
    PRIMARY KEY (shard_id, placed_seq),
    CHECK ((status = 'open') = (ended_at IS NULL)),
    CHECK ((status = 'captured') = (captured IS NOT NULL)),
    CHECK ((status = 'captured') = (captured_to IS NOT NULL))
);
-- Each ends with the key that pages go by. A hold is written twice, so it takes two entries of each of the last three.
CREATE INDEX token_holds_id ON token_holds (shard_id, hold_id, placed_seq);
CREATE INDEX token_holds_account ON token_holds (shard_id, account_id, status, placed_seq);
CREATE INDEX token_holds_reference ON token_holds (shard_id, reference_type, reference_id, status, placed_seq);
CREATE INDEX token_holds_reason ON token_holds (shard_id, reason, status, placed_seq);
COMMENT ON TABLE token_holds IS 'Every named hold: whose tokens were set aside, what for, and how that ended.';
COMMENT ON COLUMN token_holds.placed_seq IS 'The journal row that placed it, and its key.';
COMMENT ON COLUMN token_holds.hold_id IS
    'One open hold has it; a hold that ended long ago may have had it too: the latest is that of the highest placed_seq.';
COMMENT ON COLUMN token_holds.placed_by IS 'The account itself, or admin: who may end it, besides the admin.';
COMMENT ON COLUMN token_holds.amount IS 'Tokens set aside, of what the account has held in token_accounts while it is open.';
COMMENT ON COLUMN token_holds.captured IS 'Tokens that were paid; the rest went back. Null unless it was captured.';
COMMENT ON COLUMN token_holds.captured_to IS 'Who was paid, by a movement in token_ledger with this reason and reference.';
COMMENT ON COLUMN token_holds.expires_at IS 'From then on it ends by going back; one past it stays open until a sweep.';
COMMENT ON COLUMN token_holds.ended_at IS 'When it stopped being open; null while it is.';

COMMENT ON COLUMN token_accounts.held IS
    'Set aside for open bids, for awards in use, and for named holds; available = balance - held.';

-- As for the tables before it, where the role is there.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callmarket_reader') THEN
        EXECUTE format('GRANT SELECT ON %I.token_holds TO callmarket_reader', current_schema());
    END IF;
END
$$;
