// Asking the service: questions with a key, and the live stream, which comes again by itself.
//
// Rule of this file: whatever goes wrong becomes a `Trouble` in words. The key goes into a header, and nowhere else.

import { EventText } from "./feed.mjs";
import { trouble } from "./words.mjs";

const ANSWER_MS_MAX = 20_000;
// The service says something every 15 seconds, if only that it is there.
const SILENCE_MS_MAX = 40_000;
const PAUSE_MS_MIN = 1_000;
const PAUSE_MS_MAX = 30_000;
// After a longer break everything is asked anew, instead of hearing all that was missed.
const RESUME_MS_MAX = 60_000;

export class Trouble extends Error {
  constructor(status, problem = null, retryAfterS = null) {
    super(trouble(status, problem));
    this.status = status;
    this.leader = problem?.leader ?? "";
    this.retryAfterS = retryAfterS;
  }
}

export class Market {
  #key;
  // The last row of history that this page was told of. The tables follow it: what is asked next has to have it.
  #seen = 0;

  constructor(key) {
    this.#key = key;
  }

  // The answer to a question. Throws `Trouble`.
  async ask(path) {
    const headers = this.#seen ? { "Callmarket-Min-Seq": String(this.#seen) } : {};
    const response = await this.#fetch(path, headers, AbortSignal.timeout(ANSWER_MS_MAX));
    this.#note(response.headers.get("Callmarket-Seq"));
    try {
      return await response.json();
    } catch {
      throw new Trouble(0);
    }
  }

  // The messages of the stream, until `signal` ends it. `heard` gets each; `changed` is told whether it is there:
  // null, or the trouble that it met.
  async follow(path, signal, heard, changed) {
    let lastId = null;
    let lastAt = 0;
    let pause = PAUSE_MS_MIN;
    while (!signal.aborted) {
      if (Date.now() - lastAt > RESUME_MS_MAX) lastId = null;
      let why = new Trouble(0);
      try {
        const headers = lastId === null ? {} : { "Last-Event-ID": lastId };
        await this.#listen(
          path,
          headers,
          signal,
          (event) => {
            lastId = event.id ?? lastId;
            this.#note(lastId);
            lastAt = Date.now();
            heard(event);
          },
          () => {
            pause = PAUSE_MS_MIN;
            changed(null);
          },
        );
        why.message = "The live stream has ended.";
      } catch (error) {
        if (error instanceof Trouble) why = error;
      }
      if (signal.aborted) return;
      changed(why);
      await sleep(Math.max(pause, (why.retryAfterS ?? 0) * 1000) * (0.75 + Math.random() / 2), signal);
      pause = Math.min(pause * 2, PAUSE_MS_MAX);
    }
  }

  #note(seq) {
    const told = Number(seq ?? 0);
    if (Number.isSafeInteger(told) && told > this.#seen) this.#seen = told;
  }

  async #listen(path, headers, signal, heard, begun) {
    const silence = new AbortController();
    const stop = () => silence.abort();
    let watch = setTimeout(stop, SILENCE_MS_MAX);
    signal.addEventListener("abort", stop);
    try {
      const response = await this.#fetch(path, headers, silence.signal);
      begun();
      const text = new EventText();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        clearTimeout(watch);
        watch = setTimeout(stop, SILENCE_MS_MAX);
        text.take(value).forEach(heard);
      }
    } finally {
      clearTimeout(watch);
      signal.removeEventListener("abort", stop);
    }
  }

  async #fetch(path, headers, signal) {
    let response;
    try {
      response = await fetch(path, {
        headers: { ...headers, Authorization: `Bearer ${this.#key}` },
        credentials: "omit",
        redirect: "error",
        cache: "no-store",
        signal,
      });
    } catch {
      throw new Trouble(0);
    }
    if (response.ok) return response;
    const problem = await response.json().catch(() => null);
    const seconds = Number(response.headers.get("Retry-After"));
    throw new Trouble(response.status, problem, Number.isFinite(seconds) ? seconds : null);
  }
}

function sleep(ms, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
