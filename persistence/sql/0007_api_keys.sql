-- Who may use the market from another machine. Rule: plain tables, written by people's requests and not by the engine's
-- batches. A key moves no token: nothing in the journal depends on it, so history can be replayed without any key, and a
-- key can be taken away at once, also while the journal is behind.

CREATE TABLE api_keys (
    shard_id       int          NOT NULL,
    key_id         text         NOT NULL CHECK (key_id ~ '^[0-9A-Za-z]{12}$'),
    secret_sha256  bytea        NOT NULL CHECK (octet_length(secret_sha256) = 32),
    name           text         NOT NULL CHECK (name <> ''),
    scopes         text[]       NOT NULL
        CHECK (scopes <@ ARRAY['read', 'bid', 'offer', 'operate', 'admin'] AND 'read' = ANY (scopes)),
    -- A key that acts under one of the engine's own names would pass for staff, whatever its scopes say.
    accounts       text[]       NOT NULL
        CHECK (NOT accounts && ARRAY['admin', 'operator', 'issuance', 'treasury'] AND cardinality(accounts) <= 100),
    providers      text[]       NOT NULL
        CHECK (NOT providers && ARRAY['admin', 'operator', 'issuance'] AND cardinality(providers) <= 100),
    rate_per_s     int          NOT NULL CHECK (rate_per_s BETWEEN 1 AND 1000000),
    burst          int          NOT NULL CHECK (burst BETWEEN 1 AND 1000000),
    created_at     timestamptz  NOT NULL DEFAULT now(),
    created_by     text         NOT NULL,
    expires_at     timestamptz,
    revoked_at     timestamptz,
    PRIMARY KEY (shard_id, key_id),
    CHECK (('bid' = ANY (scopes)) = (accounts <> '{}')),
    CHECK (('offer' = ANY (scopes)) = (providers <> '{}'))
);
COMMENT ON TABLE api_keys IS
    'The keys of the HTTP service, kept for ever. To take one away by hand: UPDATE api_keys SET revoked_at = now() WHERE '
    'shard_id = 0 AND key_id = ''...''; servers hear of it within a second.';
COMMENT ON COLUMN api_keys.key_id IS 'The public part of the key: it may be shown and logged.';
COMMENT ON COLUMN api_keys.secret_sha256 IS
    'SHA-256 of the secret part, which is stored nowhere. One round is enough: slow hashes protect words that people '
    'choose, and nobody can try 256 random bits.';
COMMENT ON COLUMN api_keys.name IS 'What a person calls it.';
COMMENT ON COLUMN api_keys.scopes IS 'What it may do: read (all may), bid, offer, operate, admin.';
COMMENT ON COLUMN api_keys.accounts IS 'The accounts that it may bid for; * is every one.';
COMMENT ON COLUMN api_keys.providers IS 'The accounts whose slots it may offer; * is every one.';
COMMENT ON COLUMN api_keys.rate_per_s IS 'Requests that it may make each second in the long run; each bid of a batch counts.';
COMMENT ON COLUMN api_keys.burst IS 'Requests that it may make at once after a rest, and the bids of its largest batch.';
COMMENT ON COLUMN api_keys.created_by IS 'The key or the process that made it.';
COMMENT ON COLUMN api_keys.expires_at IS 'From then on it is refused, by the clock of the process that is asked.';
COMMENT ON COLUMN api_keys.revoked_at IS 'When it was taken away: refused, whatever the clock says.';

CREATE TABLE api_key_versions (
    shard_id  int     PRIMARY KEY,
    version   bigint  NOT NULL
);
COMMENT ON TABLE api_key_versions IS
    'Counts the changes of a shard''s keys, whoever made them, so that servers see by one row whether to read them again. '
    'Its row is also the lock that puts those changes into one order.';

CREATE FUNCTION api_keys_have_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO api_key_versions AS known (shard_id, version)
    VALUES (CASE WHEN TG_OP = 'DELETE' THEN OLD.shard_id ELSE NEW.shard_id END, 1)
    ON CONFLICT (shard_id) DO UPDATE SET version = known.version + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER api_keys_have_changed AFTER INSERT OR UPDATE OR DELETE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION api_keys_have_changed();

CREATE FUNCTION api_keys_are_revoked_not_emptied() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'api_keys cannot be truncated: servers would not hear of it. DELETE the rows, or set revoked_at.';
END
$$;
CREATE TRIGGER api_keys_are_revoked_not_emptied BEFORE TRUNCATE ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION api_keys_are_revoked_not_emptied();

-- As for the tables before it, where the role is there; but who only looks sees no hash.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callmarket_reader') THEN
        EXECUTE format('GRANT SELECT (shard_id, key_id, name, scopes, accounts, providers, rate_per_s, burst, created_at, '
                       'created_by, expires_at, revoked_at) ON %1$I.api_keys TO callmarket_reader', current_schema());
        EXECUTE format('GRANT SELECT ON %1$I.api_key_versions TO callmarket_reader', current_schema());
    END IF;
END
$$;
