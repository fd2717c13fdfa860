// The live stream: its text as messages, and what messages change in the figures that were read before them.
//
// Rule of this file: pure. What the service said last is never changed; what came after it is laid over it, so that
// each message counts once however answers and messages overtake each other.

import { secondsOf } from "./words.mjs";

// More than this is not kept: the next answer has them all.
export const KEPT_MAX = 500;

// Takes text as it comes, returns the events that are complete (WHATWG HTML, 9.2). `id` is null where there is none.
export class EventText {
  #rest = "";

  take(text) {
    const blocks = (this.#rest + text).split("\n\n");
    this.#rest = blocks.pop();
    return blocks.map(readBlock).filter(Boolean);
  }
}

function readBlock(block) {
  const event = { kind: "message", id: null, data: "" };
  for (const row of block.split("\n")) {
    const colon = row.indexOf(":");
    const value = row.slice(colon + 1).replace(/^ /, "");
    if (colon < 1) continue; // a comment, or nothing
    const name = row.slice(0, colon);
    if (name === "event") event.kind = value;
    else if (name === "id") event.id = value;
    else if (name === "data") event.data += value;
  }
  return event.data ? event : null;
}

// The messages that may still be needed: the latest, without those that every answer has seen.
export function kept(messages, message, seenSeq) {
  return [...messages.filter((one) => one.seq > seenSeq), message].slice(-KEPT_MAX);
}

// Candles with the calls that came after they were read.
export function liveCandles(answer, messages) {
  const step = secondsOf(answer.interval) * 1000;
  const candles = answer.candles.map((candle) => ({ ...candle, at: Date.parse(candle.opens_at) }));
  for (const message of after(answer, messages, "round", "award.granted")) {
    const at = Math.floor(Date.parse(message.at) / step) * step;
    let last = candles.at(-1);
    if (!last || last.at < at) {
      last = {
        at,
        rounds: 0,
        slots_available: 0,
        awards_granted: 0,
        bids_open_max: 0,
        open_price_tokens: null,
        high_price_tokens: null,
        low_price_tokens: null,
        close_price_tokens: null,
      };
      candles.push(last);
    }
    if (message.type === "round") addRound(last, message);
    else addPrice(last, message.price_tokens);
  }
  return candles;
}

function addRound(candle, round) {
  candle.rounds += 1;
  candle.slots_available += round.slots_available;
  candle.awards_granted += round.awards_granted;
  candle.bids_open_max = Math.max(candle.bids_open_max, round.bids_open);
}

// What a winner pays: awards come before the round that granted them.
function addPrice(candle, price) {
  candle.open_price_tokens ??= price;
  candle.high_price_tokens = Math.max(candle.high_price_tokens ?? price, price);
  candle.low_price_tokens = Math.min(candle.low_price_tokens ?? price, price);
  candle.close_price_tokens = price;
}

// The figures of the day with the calls and settlements that came after they were read. The median stays: it cannot be
// known from these.
export function liveStats(answer, messages) {
  const totals = { ...answer.totals };
  let rounds = answer.rounds;
  for (const round of after(answer, messages, "round")) {
    totals.rounds += 1;
    totals.slots_available += round.slots_available;
    totals.awards_granted += round.awards_granted;
    rounds = [{ ...round, called_at: round.at }, ...rounds].slice(0, Math.max(answer.rounds.length, 20));
  }
  for (const { price_tokens: price } of after(answer, messages, "award.granted")) {
    totals.price_min_tokens = Math.min(totals.price_min_tokens ?? price, price);
    totals.price_max_tokens = Math.max(totals.price_max_tokens ?? price, price);
  }
  const ended = new Map();
  for (const message of after(answer, messages, "award.settled"))
    ended.set(message.award_id, { ...message, status: "settled" });
  for (const message of after(answer, messages, "award.voided")) ended.set(message.award_id, { status: "voided" });
  for (const message of after(answer, messages, "award.lapsed")) ended.set(message.award_id, { status: "lapsed" });
  const wins = answer.top_wins.map((win) => {
    const end = ended.get(win.award_id);
    if (!end) return win;
    const { status, actual_cost_tokens = null, actual_impact = null } = end;
    return { ...win, status, actual_cost_tokens, actual_impact };
  });
  return { ...answer, totals, rounds, top_wins: wins };
}

function after(answer, messages, ...types) {
  return messages.filter((message) => types.includes(message.type) && message.seq > answer.seq);
}
