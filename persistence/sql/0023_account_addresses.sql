-- The addresses that accounts have on chains, for the export of the ledger and for what comes from there. Rule: an
-- address, once registered, stays that account's for ever, because what arrived for it is remembered by account (LED-4):
-- with another owner the same log would be paid again. An account may register another one; the latest is shown.

CREATE TABLE account_addresses (
    shard_id       int          NOT NULL,
    chain          text         NOT NULL,
    address        text         NOT NULL CHECK (address ~ '^0x[0-9A-Fa-f]{40}$'),
    account_id     text         NOT NULL,
    registered_at  timestamptz  NOT NULL,
    registered_by  text         NOT NULL,
    PRIMARY KEY (shard_id, chain, address)
);
CREATE INDEX account_addresses_account ON account_addresses (shard_id, chain, account_id, registered_at);
COMMENT ON TABLE account_addresses IS
    'Which account an address on a chain belongs to. An account without one has a derived address, which is in no table.';
COMMENT ON COLUMN account_addresses.address IS 'As EIP-55 spells it. That of the account issuance is the token itself.';
COMMENT ON COLUMN account_addresses.registered_at IS
    'By the clock of the database; an address that is registered again is the latest again.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callmarket_reader') THEN
        EXECUTE format('GRANT SELECT ON %I.account_addresses TO callmarket_reader', current_schema());
    END IF;
END
$$;
