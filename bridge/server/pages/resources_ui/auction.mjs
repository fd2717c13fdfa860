// The tab Auction: one market's last 24 hours, its book, its best wins, its latest calls.
//
// Rule of this file: of one market; it shows what the service said, with what the stream has said since.

import { depthChart } from "./charts.mjs";
import { Card, bar, el, empty, name, showPart, table, tile, tiles } from "./elements.mjs";
import { liveCandles, liveStats } from "./feed.mjs";
import { HistoryChart } from "./history_chart.mjs";
import { part } from "./reading.mjs";
import { ahead, ago, bothClocks, clock, count, decimal, percent, secondsOf, span, tokens, whole } from "./words.mjs";

const DAY_MS = 86_400_000;
const STEP_MS = 300_000;
const MOVES_MS = 30_000;
const ROWS = 10;

export const ofMarket = true;
export const needsMarket = true;

// By parameter where there is a choice: not every name can be part of a path.
export function parts(marketId) {
  const name = encodeURIComponent(marketId);
  const day = `market_id=${name}&period_s=${DAY_MS / 1000}`;
  return {
    candles: part(`/api/v1/candles?${day}&interval_s=${STEP_MS / 1000}`, 60_000, 300_000),
    stats: part(`/api/compute-auction/stats?${day}&limit=20`, 5_000),
    book: part(`/api/compute-auction/order-book?market_id=${name}&limit=100&depth=100`, 2_000),
    cycle: part(`/api/v1/markets/${name}/cycle`, 10_000, 15_000),
  };
}

export class Panel {
  #day = new Card("Last 24 hours", "", "wide");
  #history = new Card("Prices paid", "each point five minutes of calls, with the range of what winners paid", "wide");
  #depth = new Card("Demand and supply", "the open book, as a call meets it");
  #book = new Card("Open book");
  #wins = new Card("Top 10 winning bids of the last 24 hours", "what was bid and paid against what came of it", "wide");
  #rounds = new Card("Latest calls", "supply, demand and clearing price of each; a winner whose task others wanted may pay more", "wide");
  #chart = new HistoryChart();

  constructor(root) {
    root.replaceChildren(
      ...[this.#day, this.#history, this.#wins, this.#depth, this.#book, this.#rounds].map((card) => card.element),
    );
  }

  show(given, messages, now, retry, market) {
    const stats = live(given.stats, liveStats, messages);
    showPart(this.#day, stats, (answer) => day(answer, market, given.cycle, now), retry);
    showPart(this.#history, given.candles, (answer) => this.#showHistory(answer, messages, now), retry);
    showPart(this.#wins, stats, (answer) => wins(answer.top_wins), retry);
    showPart(this.#depth, given.book, (answer) => depth(answer, now), retry);
    showPart(this.#book, given.book, (answer) => book(answer, now), retry);
    showPart(this.#rounds, stats, (answer) => rounds(answer.rounds, now), retry);
  }

  #showHistory(answer, messages, now) {
    const candles = liveCandles(answer, messages);
    if (!candles.length) return empty("No call in the last 24 hours, so there is no price to show.");
    // The axis of a day does not move in a second.
    const until = Math.ceil(now / MOVES_MS) * MOVES_MS;
    this.#chart.show(candles, until - DAY_MS, until, STEP_MS);
    return this.#chart.element;
  }
}

const live = (one, lay, messages) => (one.answer ? { ...one, answer: lay(one.answer, messages) } : one);

function day(stats, market, cycle, now) {
  const { totals } = stats;
  const last = stats.rounds[0];
  const prices =
    totals.price_min_tokens === null
      ? "nothing was sold"
      : `${whole(totals.price_min_tokens)} to ${tokens(totals.price_max_tokens)}`;
  return tiles(
    tile(
      "Fill rate",
      percent(totals.awards_granted, totals.slots_available),
      `${whole(totals.awards_granted)} of ${count(totals.slots_available, "slot")} that were on offer at calls`,
    ),
    tile(
      "Median price",
      tokens(totals.price_median_tokens === null ? null : Math.round(totals.price_median_tokens)),
      prices,
    ),
    tile("Calls", whole(totals.rounds), last ? `the last ${ago(last.called_at, now)}` : "none in the last 24 hours"),
    tile("Bids now", whole(market.bids_open), "open in the book"),
    tile("Slots now", whole(market.slots_offered), `on offer; ${whole(market.slots_awarded)} at work`),
    nextCall(cycle, now),
    tile(
      "Price rule",
      market.pricing_rule.replaceAll("_", " "),
      `lease ${span(secondsOf(market.lease) ?? 0)}, ${market.lapse_policy} when it lapses`,
    ),
  );
}

function nextCall({ answer, trouble }, now) {
  if (!answer) return tile("Next call", "–", trouble ? "not known here" : "");
  const every = answer.period ? `every ${span(secondsOf(answer.period) ?? 0)}` : "";
  const missed = answer.missed ? `, ${count(answer.missed, "cycle")} missed` : "";
  const failed = answer.last_error ? `; the last call failed: ${answer.last_error}` : "";
  const value = answer.next_at
    ? ahead(answer.next_at, now)
    : ({ asked: "when asked", on_offer: "at an offer" }[answer.mode] ?? "–");
  return tile("Next call", value, `${every || `mode: ${answer.mode}`}${missed}${failed}`);
}

function wins(rows) {
  if (!rows.length) return empty("Nothing was won in the last 24 hours.");
  const highest = Math.max(...rows.map((win) => win.bid_tokens));
  const best = Math.max(...rows.map((win) => win.actual_impact ?? 0));
  const perThousand = (win) =>
    win.actual_impact === null || !win.clearing_price_tokens
      ? null
      : (win.actual_impact / win.clearing_price_tokens) * 1000;
  return table(
    "Top 10 winning bids against their realised impact",
    [
      { head: "Bidder", cell: (win) => name(win.bidder_id) },
      { head: "Task", cell: (win) => name(win.winning_task_id) },
      { head: "Bid, tokens", number: true, cell: (win) => whole(win.bid_tokens) },
      { head: "Paid, tokens", number: true, cell: (win) => whole(win.clearing_price_tokens) },
      {
        head: "Paid of bid",
        grow: true,
        cell: (win) =>
          bar(
            [
              [win.clearing_price_tokens, "paid"],
              [win.bid_tokens - win.clearing_price_tokens, "premium"],
            ],
            highest,
          ),
      },
      { head: "Impact", number: true, cell: (win) => decimal(win.actual_impact) },
      { head: "Realised", grow: true, cell: (win) => bar([[win.actual_impact ?? 0, "impact"]], best) },
      { head: "ROI, impact per 1,000 tokens", number: true, cell: (win) => decimal(perThousand(win)) },
      { head: "Status", cell: (win) => win.status },
    ],
    rows,
  );
}

function depth(answer, now) {
  if (!answer.levels.length && !answer.asks.length)
    return empty("The book is empty: no open bids and no slots on offer.");
  const rows = answer.levels.slice(0, ROWS);
  const most = Math.max(1, ...rows.map((level) => level.bids));
  const levels = table(
    "Bids at each price, the best first",
    [
      { head: "Price, tokens", number: true, cell: (level) => whole(level.price_tokens) },
      { head: "Bids", number: true, cell: (level) => whole(level.bids) },
      { head: "", grow: true, cell: (level) => bar([[level.bids, "demand"]], most) },
    ],
    rows,
  );
  return el("div", {}, depthChart(answer.levels, answer.asks, now), rows.length ? levels : empty("No open bids."));
}

function book(answer, now) {
  const bids = table(
    "Best open bids",
    [
      { head: "Tokens", number: true, cell: (bid) => whole(bid.max_price_tokens) },
      { head: "Bidder", cell: (bid) => name(bid.bidder_id) },
      { head: "Task", cell: (bid) => name(bid.task_id) },
      {
        head: "Until",
        cell: (bid) => (bid.ttl_at ? time(bid.ttl_at, now) : bid.time_in_force === "round" ? "next call" : "–"),
      },
    ],
    answer.bids.slice(0, ROWS),
  );
  const asks = table(
    "Slots on offer",
    [
      { head: "Slot", cell: (ask) => name(ask.slot_id) },
      { head: "Available", cell: (ask) => (Date.parse(ask.available_at) <= now ? "now" : time(ask.available_at, now)) },
      { head: "Reserve, tokens", number: true, cell: (ask) => whole(ask.reserve_price_tokens) },
      { head: "Provider", cell: (ask) => name(ask.provider_id) },
    ],
    answer.asks.slice(0, ROWS),
  );
  return el(
    "div",
    {},
    answer.bids.length ? bids : empty("No open bids."),
    rest(answer.bids_total, "bid"),
    answer.asks.length ? asks : empty("No slots on offer."),
    rest(answer.asks_total, "slot"),
  );
}

const rest = (total, one) =>
  total > ROWS ? el("p", { class: "small" }, `and ${count(total - ROWS, `more ${one}`)}`) : null;

function rounds(rows, now) {
  if (!rows.length) return empty("No call in the last 24 hours.");
  const most = Math.max(1, ...rows.map((round) => Math.max(round.slots_available, round.bids_open)));
  return table(
    "The latest calls, newest first",
    [
      { head: "Call", number: true, cell: (round) => whole(round.round_no) },
      { head: "At", cell: (round) => time(round.called_at, now) },
      { head: "Price, tokens", number: true, cell: (round) => whole(round.clearing_price_tokens) },
      { head: "Slots", number: true, cell: (round) => whole(round.slots_available) },
      {
        head: "Awarded",
        number: true,
        cell: (round) => `${whole(round.awards_granted)} (${percent(round.awards_granted, round.slots_available)})`,
      },
      { head: "Bids", number: true, cell: (round) => whole(round.bids_open) },
      {
        head: "Supply over demand",
        grow: true,
        cell: (round) =>
          el(
            "div",
            { class: "two" },
            bar(
              [
                [round.awards_granted, "awarded"],
                [round.slots_available - round.awards_granted, "supply"],
              ],
              most,
            ),
            bar([[round.bids_open, "demand"]], most),
          ),
      },
    ],
    rows,
  );
}

const time = (at, now) => el("time", { datetime: at, title: bothClocks(at, now) }, clock(at, now));
