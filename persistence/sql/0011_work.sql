-- What there is to do, who has it in hand, and how it ended. Rule: no tokens. Who pays for a task is decided by the
-- market, or by the daily budget, and is in their rows; here is only that it was decided, once. So these rows are not in
-- the journal, and are not made again from it.

CREATE TABLE work_quests (
    shard_id      int          NOT NULL,
    quest_id      text         NOT NULL,
    account_id    text         NOT NULL,
    bid_fraction  float8       NOT NULL CHECK (bid_fraction BETWEEN 0 AND 10),
    updated_at    timestamptz  NOT NULL,
    PRIMARY KEY (shard_id, quest_id)
);
COMMENT ON TABLE work_quests IS 'Goals with a backlog, each with the wallet from which its bids are paid.';
COMMENT ON COLUMN work_quests.account_id IS 'The account that bids; it need not be open yet.';
COMMENT ON COLUMN work_quests.bid_fraction IS 'How much of a task''s worth the quest bids; 1 is the truth.';
COMMENT ON COLUMN work_quests.updated_at IS 'By the clock of the database, as all times of these tables.';

CREATE TABLE work_tasks (
    shard_id               int          NOT NULL,
    task_id                text         NOT NULL,
    quest_id               text         NOT NULL,
    importance             float8       NOT NULL CHECK (importance BETWEEN 0 AND 1e6),
    downstream_impact      float8       NOT NULL CHECK (downstream_impact BETWEEN 0 AND 1e6),
    tractability           float8       CHECK (tractability BETWEEN 0 AND 1e6),
    estimated_cost_tokens  bigint       CHECK (estimated_cost_tokens BETWEEN 1 AND 9007199254740991),
    task_type              text         NOT NULL,
    artifact_id            text         NOT NULL,
    blocked                boolean      NOT NULL,
    status                 text         NOT NULL CHECK (status IN ('open', 'awarded', 'done', 'failed')),
    failed_attempts        int          NOT NULL DEFAULT 0,
    latest_award_id        bigint       NOT NULL DEFAULT 0,
    updated_at             timestamptz  NOT NULL,
    PRIMARY KEY (shard_id, task_id),
    FOREIGN KEY (shard_id, quest_id) REFERENCES work_quests
);
CREATE INDEX work_tasks_quest ON work_tasks (shard_id, quest_id, task_id);
CREATE INDEX work_tasks_status ON work_tasks (shard_id, status, task_id);
COMMENT ON TABLE work_tasks IS 'Pieces of work. open -> awarded -> done | failed, or back to open to be tried again.';
COMMENT ON COLUMN work_tasks.tractability IS 'Null where unknown.';
COMMENT ON COLUMN work_tasks.estimated_cost_tokens IS 'What it will burn; null: as similar finished work did.';
COMMENT ON COLUMN work_tasks.task_type IS 'What makes work similar; may be empty.';
COMMENT ON COLUMN work_tasks.artifact_id IS 'What it is about; empty if that is nothing.';
COMMENT ON COLUMN work_tasks.blocked IS 'It waits for another task, so nobody bids for it.';
COMMENT ON COLUMN work_tasks.failed_attempts IS 'How many of its claims have failed.';
COMMENT ON COLUMN work_tasks.latest_award_id IS
    'The newest award that had it in hand, 0 for none. An award that is not newer never gets it: this is the fence.';

CREATE TABLE work_claims (
    shard_id    int          NOT NULL,
    task_id     text         NOT NULL,
    worker_id   text         NOT NULL,
    payer       text         NOT NULL CHECK (payer IN ('auction', 'budget')),
    award_id    bigint,
    claimed_at  timestamptz  NOT NULL,
    PRIMARY KEY (shard_id, task_id),
    FOREIGN KEY (shard_id, task_id) REFERENCES work_tasks,
    CHECK ((payer = 'auction') = (award_id IS NOT NULL))
);
CREATE INDEX work_claims_worker ON work_claims (shard_id, worker_id, task_id);
COMMENT ON TABLE work_claims IS 'Who has which task in hand at this moment, and who pays. A task has at most one claim.';
COMMENT ON COLUMN work_claims.award_id IS 'The award that pays, null where the daily budget does.';

CREATE TABLE work_completions (
    shard_id       int          NOT NULL,
    completion_id  bigint       NOT NULL GENERATED ALWAYS AS IDENTITY,
    task_id        text         NOT NULL,
    worker_id      text         NOT NULL,
    payer          text         NOT NULL CHECK (payer IN ('auction', 'budget')),
    award_id       bigint,
    succeeded      boolean      NOT NULL,
    cost_tokens    bigint       NOT NULL CHECK (cost_tokens BETWEEN 0 AND 9007199254740991),
    impact         float8       NOT NULL CHECK (impact BETWEEN 0 AND 9007199254),
    claimed_at     timestamptz  NOT NULL,
    finished_at    timestamptz  NOT NULL,
    reason         text         NOT NULL,
    PRIMARY KEY (shard_id, completion_id),
    FOREIGN KEY (shard_id, task_id) REFERENCES work_tasks,
    CHECK ((payer = 'auction') = (award_id IS NOT NULL))
);
CREATE INDEX work_completions_task ON work_completions (shard_id, task_id, completion_id);
CREATE UNIQUE INDEX work_completions_award ON work_completions (shard_id, task_id, award_id) WHERE award_id IS NOT NULL;
COMMENT ON TABLE work_completions IS 'How each claim ended: one row for each attempt, never changed.';
COMMENT ON COLUMN work_completions.cost_tokens IS 'What the work burned.';
COMMENT ON COLUMN work_completions.impact IS 'What it brought, as its worker reports it; 0 if it failed.';
COMMENT ON COLUMN work_completions.reason IS 'Why it failed; empty if it did not.';

CREATE TABLE work_costs (
    shard_id     int      NOT NULL,
    task_type    text     NOT NULL,
    finished     bigint   NOT NULL,
    cost_tokens  numeric  NOT NULL,
    PRIMARY KEY (shard_id, task_type)
);
COMMENT ON TABLE work_costs IS
    'What the completions that succeeded have cost, summed by task_type, so that a mean need not read all of them.';

-- As for the tables before them, where the role is there.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'callmarket_reader') THEN
        EXECUTE format(
            'GRANT SELECT ON %1$I.work_quests, %1$I.work_tasks, %1$I.work_claims, %1$I.work_completions, %1$I.work_costs '
            'TO callmarket_reader', current_schema());
    END IF;
END
$$;
