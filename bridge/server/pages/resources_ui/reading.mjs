// The answers that a panel shows, and when each is asked for again.
//
// Rule of this file: nobody who looks may cost the market much. A part is asked for no more often than its `everyMs`,
// only one question for it is under way, and nothing is asked while nobody sees it.

// Without a stream there is no news, so a part is asked for whenever it may be, but not more often than this.
export const BLIND_MS = 5_000;

// A part of a panel: where it is asked for, how often at most while there is news, and how long it holds while there is
// none.
export function part(path, everyMs, restMs = 60_000) {
  return { path, everyMs, restMs, answer: null, trouble: null, askedAt: null, failures: 0, news: true, waiting: false };
}

// Whether it is time to ask. `live`: the stream would have told that something is new.
export function due(one, now, live) {
  if (one.waiting) return false;
  if (one.askedAt === null) return true;
  const age = now - one.askedAt;
  if (one.failures)
    return (
      age >=
      Math.max(one.everyMs, Math.min(BLIND_MS * 2 ** (one.failures - 1), 60_000), (one.trouble.retryAfterS ?? 0) * 1000)
    );
  if (!live) return age >= Math.max(one.everyMs, BLIND_MS);
  return age >= (one.news ? one.everyMs : one.restMs);
}

// Ask for all parts that are due. `changed` is called after each answer.
export function askDue(parts, market, now, live, changed) {
  for (const one of Object.values(parts)) if (due(one, now, live)) askOne(one, market, now, changed);
}

// Everything is asked for at the next look, as when a reader says so.
export function forget(parts) {
  for (const one of Object.values(parts)) Object.assign(one, { askedAt: null, failures: 0, news: true });
}

async function askOne(one, market, now, changed) {
  Object.assign(one, { waiting: true, askedAt: now, news: false });
  try {
    one.answer = await market.ask(one.path);
    one.trouble = null;
    one.failures = 0;
  } catch (error) {
    one.trouble = error;
    one.failures += 1;
  }
  one.waiting = false;
  changed(one);
}
