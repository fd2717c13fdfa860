-- What had been finished when attempts got their reservations (0016), and was not charged yet: its worker was ended
-- between the two. Rule: while a reservation lasts nobody makes another for its task, so what its worker has finished of
-- that task since, and has no longer in hand, was done for it; of several attempts it is the latest.

UPDATE work_completions AS finished SET reservation_id = spending.reservation_id
FROM quest_budget_spendings AS spending
WHERE spending.status = 'reserved'
  AND (finished.shard_id, finished.task_id, finished.worker_id)
    = (spending.shard_id, spending.task_id, spending.worker_id)
  AND finished.payer = 'budget' AND finished.reservation_id = 0 AND finished.finished_at >= spending.reserved_at
  AND finished.completion_id = (
    SELECT max(completion_id) FROM work_completions AS latest
    WHERE (latest.shard_id, latest.task_id) = (spending.shard_id, spending.task_id) AND latest.payer = 'budget')
  AND NOT EXISTS (
    SELECT FROM work_completions AS known
    WHERE (known.shard_id, known.task_id, known.reservation_id)
        = (spending.shard_id, spending.task_id, spending.reservation_id))
  AND NOT EXISTS (
    SELECT FROM work_claims AS claim
    WHERE (claim.shard_id, claim.task_id, claim.reservation_id)
        = (spending.shard_id, spending.task_id, spending.reservation_id));
