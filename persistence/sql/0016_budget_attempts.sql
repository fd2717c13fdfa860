-- Each attempt that the daily budget pays is known by its reservation, as one that the auction pays is by its award.
-- Rule: a task alone names no attempt, for it may have had many, and a worker may have had it twice.

ALTER TABLE work_tasks ADD COLUMN latest_reservation_id bigint NOT NULL DEFAULT 0;
ALTER TABLE work_claims ADD COLUMN reservation_id bigint;
ALTER TABLE work_completions ADD COLUMN reservation_id bigint;

-- What is in hand now was claimed for the worker's latest reservation; 0 where there is none.
UPDATE work_claims AS claim SET reservation_id = coalesce((
    SELECT max(reservation_id) FROM quest_budget_spendings AS spending
    WHERE (spending.shard_id, spending.task_id, spending.worker_id) = (claim.shard_id, claim.task_id, claim.worker_id)), 0)
WHERE payer = 'budget';
UPDATE work_tasks AS task SET latest_reservation_id = claim.reservation_id
FROM work_claims AS claim
WHERE (claim.shard_id, claim.task_id) = (task.shard_id, task.task_id) AND claim.reservation_id IS NOT NULL;
-- Which reservation paid for an attempt that has ended was not written down.
UPDATE work_completions SET reservation_id = 0 WHERE payer = 'budget';
-- But of what was finished and not charged yet, its worker being ended between the two: while a reservation lasts nobody
-- makes another for its task, so what its worker has finished of that task since, and has no longer in hand, was done for
-- it; of several attempts it is the latest.
UPDATE work_completions AS finished SET reservation_id = spending.reservation_id
FROM quest_budget_spendings AS spending
WHERE spending.status = 'reserved'
  AND (finished.shard_id, finished.task_id, finished.worker_id)
    = (spending.shard_id, spending.task_id, spending.worker_id)
  AND finished.payer = 'budget' AND finished.finished_at >= spending.reserved_at
  AND finished.completion_id = (
    SELECT max(completion_id) FROM work_completions AS latest
    WHERE (latest.shard_id, latest.task_id) = (spending.shard_id, spending.task_id) AND latest.payer = 'budget')
  AND NOT EXISTS (
    SELECT FROM work_claims AS claim
    WHERE (claim.shard_id, claim.task_id, claim.reservation_id)
        = (spending.shard_id, spending.task_id, spending.reservation_id));

-- It served the question above, and no other.
DROP INDEX quest_budget_spendings_task;

ALTER TABLE work_claims ADD CHECK ((payer = 'budget') = (reservation_id IS NOT NULL));
ALTER TABLE work_completions ADD CHECK ((payer = 'budget') = (reservation_id IS NOT NULL));
CREATE UNIQUE INDEX work_completions_reservation ON work_completions (shard_id, task_id, reservation_id)
    WHERE reservation_id > 0;

COMMENT ON COLUMN work_tasks.latest_reservation_id IS
    'The newest reservation for which it was in hand, 0 for none: the fence of the budget, as latest_award_id is of awards.';
COMMENT ON COLUMN work_claims.reservation_id IS
    'The reservation of the daily budget that pays, null where an award does; 0 where it is not known.';
COMMENT ON COLUMN work_completions.reservation_id IS
    'The reservation of the daily budget that paid, null where an award did; 0 where it is not known.';
