-- The daily budget that pays for work while the auction cannot be used. Rule: operations, not history. These are no
-- tokens of the ledger: what is spent here is compute that was given out, and no wallet changes. So the rows are not in
-- the journal. Those of past days may be deleted, spendings before allocations.

CREATE TABLE quest_budget_allocations (
    shard_id          int          NOT NULL,
    day               date         NOT NULL,
    quest             text         NOT NULL,
    allocated_tokens  bigint       NOT NULL CHECK (allocated_tokens BETWEEN 0 AND 9007199254740991),
    reserved_tokens   bigint       NOT NULL DEFAULT 0 CHECK (reserved_tokens >= 0),
    spent_tokens      bigint       NOT NULL DEFAULT 0 CHECK (spent_tokens >= 0),
    overrun_tokens    bigint       NOT NULL DEFAULT 0 CHECK (overrun_tokens >= 0),
    updated_at        timestamptz  NOT NULL,
    PRIMARY KEY (shard_id, day, quest),
    CHECK (spent_tokens + reserved_tokens <= allocated_tokens)
);
COMMENT ON TABLE quest_budget_allocations IS 'What each quest may spend in a day while the auction cannot be used.';
COMMENT ON COLUMN quest_budget_allocations.day IS 'In UTC.';
COMMENT ON COLUMN quest_budget_allocations.allocated_tokens IS 'Its part of the day; never less than it has used of it.';
COMMENT ON COLUMN quest_budget_allocations.reserved_tokens IS 'Set aside for work that is under way.';
COMMENT ON COLUMN quest_budget_allocations.spent_tokens IS 'What finished work was charged, failed attempts too.';
COMMENT ON COLUMN quest_budget_allocations.overrun_tokens IS
    'What work has cost beyond all that its quest had left; with spent_tokens, what all of it has cost.';
COMMENT ON COLUMN quest_budget_allocations.updated_at IS 'By the clock of the database, as all times of these tables.';

CREATE TABLE quest_budget_spendings (
    shard_id         int          NOT NULL,
    reservation_id   bigint       NOT NULL GENERATED ALWAYS AS IDENTITY,
    task_id          text         NOT NULL,
    worker_id        text         NOT NULL,
    day              date         NOT NULL,
    quest            text         NOT NULL,
    status           text         NOT NULL CHECK (status IN ('reserved', 'spent', 'released')),
    reserved_tokens  bigint       NOT NULL CHECK (reserved_tokens > 0),
    cost_tokens      bigint       CHECK (cost_tokens BETWEEN 0 AND 9007199254740991),
    charged_tokens   bigint       CHECK (charged_tokens BETWEEN 0 AND cost_tokens),
    reserved_at      timestamptz  NOT NULL,
    ended_at         timestamptz,
    PRIMARY KEY (shard_id, reservation_id),
    FOREIGN KEY (shard_id, day, quest) REFERENCES quest_budget_allocations,
    CHECK ((status = 'spent') = (cost_tokens IS NOT NULL)),
    CHECK ((status = 'spent') = (charged_tokens IS NOT NULL)),
    CHECK ((status = 'reserved') = (ended_at IS NULL))
);
-- A task has one payer's attention at a time: of any number that reserve for it, one does.
CREATE UNIQUE INDEX quest_budget_spendings_live ON quest_budget_spendings (shard_id, task_id) WHERE status = 'reserved';
CREATE INDEX quest_budget_spendings_task ON quest_budget_spendings (shard_id, task_id, worker_id, reservation_id);
CREATE INDEX quest_budget_spendings_quest ON quest_budget_spendings (shard_id, day, quest);
COMMENT ON TABLE quest_budget_spendings IS
    'One row for each attempt at a task that the daily budget pays: reserved before its claim, ended once after it.';
COMMENT ON COLUMN quest_budget_spendings.reserved_tokens IS 'What it was thought to cost.';
COMMENT ON COLUMN quest_budget_spendings.cost_tokens IS 'What it has cost, null unless it is spent.';
COMMENT ON COLUMN quest_budget_spendings.charged_tokens IS 'What of that its quest had left; the rest is an overrun.';

-- As for the tables before them, where the role is there.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callmarket_reader') THEN
        EXECUTE format(
            'GRANT SELECT ON %1$I.quest_budget_allocations, %1$I.quest_budget_spendings TO callmarket_reader',
            current_schema());
    END IF;
END
$$;
