// The pure parts of the page /resources, tried without a browser: `node --test`, which `test_resources_page` runs.
//
// Rule of this file: what is tried here needs no document, no clock and no network.

import assert from "node:assert/strict";
import { test } from "node:test";

process.env.TZ = "Asia/Kathmandu";
const ui = "../../../../bridge/server/pages/resources_ui";
const words = await import(`${ui}/words.mjs`);
const scales = await import(`${ui}/scales.mjs`);
const { did, movesUp } = await import(`${ui}/artifact_chart.mjs`);
const feed = await import(`${ui}/feed.mjs`);
const { askDue, due, forget, part } = await import(`${ui}/reading.mjs`);

const NOW = Date.parse("2026-05-04T12:00:00Z");

test("numbers have separators, and units where they stand alone", () => {
  assert.equal(words.whole(1234567), "1,234,567");
  assert.equal(words.whole(2 ** 53 - 1), "9,007,199,254,740,991");
  assert.equal(words.whole(null), "–");
  assert.equal(words.tokens(1), "1 token");
  assert.equal(words.tokens(0), "0 tokens");
  assert.equal(words.percent(1, 3), "33.3%");
  assert.equal(words.percent(0, 0), "–");
  assert.equal(words.count(1, "bid"), "1 bid");
  assert.equal(words.decimal(0), "0");
});

test("a time is told on the reader's clock and in UTC, with the day where it is another", () => {
  const at = "2026-05-04T11:59:01Z";
  assert.equal(words.clock(at, NOW, "Asia/Kathmandu"), "17:44:01");
  assert.equal(words.bothClocks(at, NOW, "Asia/Kathmandu"), "17:44:01 (11:59:01 UTC)");
  assert.equal(words.clock("2026-05-03T11:59:01Z", NOW, "UTC"), "2026-05-03 11:59:01");
});

test("spans are in their two largest units", () => {
  assert.equal(words.span(0), "0 s");
  assert.equal(words.span(90), "1 min 30 s");
  assert.equal(words.span(86400 * 3 + 7), "3 d 7 s");
  assert.equal(words.ago(NOW - 61_000, NOW), "1 min 1 s ago");
  assert.equal(words.ago(NOW + 9_000, NOW), "now");
  assert.equal(words.ahead(NOW + 5_000, NOW), "in 5 s");
  assert.equal(words.ahead(NOW - 5_000, NOW), "now");
});

test("durations are read as the service writes them", () => {
  for (const [text, seconds] of [
    ["PT30S", 30],
    ["PT1H", 3600],
    ["P1DT2H3M4.5S", 93784.5],
    ["PT300S", 300],
    ["P1D", 86400],
  ]) {
    assert.equal(words.secondsOf(text), seconds);
  }
  for (const text of ["", "30", null, "PT", "P1Y"]) assert.equal(words.secondsOf(text) || null, null);
});

test("trouble is told in words that say what is missing", () => {
  assert.match(words.trouble(401, null), /unknown, expired or revoked/);
  assert.match(words.trouble(403, { detail: "no." }), /scope “read”.* no\./);
  assert.match(words.trouble(0, null), /does not answer/);
  assert.match(words.trouble(418, null), /418/);
});

test("ticks are round, whole, and enclose what they are for", () => {
  for (let low = 0; low < 5000; low += 37) {
    for (const high of [low, low + 1, low + 13, low * 9 + 2, 2 ** 52]) {
      const marks = scales.ticks(low, high);
      assert.ok(marks[0] <= low && marks.at(-1) >= high, `${low} ${high} ${marks}`);
      assert.ok(marks.length >= 2 && marks.length <= 8, `${low} ${high} ${marks}`);
      assert.ok(marks.every(Number.isInteger));
    }
  }
});

test("scales go from end to end, and one value lies in the middle", () => {
  const x = scales.linear([10, 20], [0, 100]);
  assert.deepEqual([x(10), x(15), x(20)], [0, 50, 100]);
  assert.equal(scales.linear([5, 5], [0, 100])(5), 50);
});

test("hours are full hours of the reader's clock, whatever its zone", () => {
  const found = scales.hours(NOW - 86_400_000, NOW, 6);
  assert.ok(found.length >= 5 && found.length <= 7, String(found.length));
  assert.ok(found.every((at) => new Date(at).getMinutes() === 0 && new Date(at).getHours() % 4 === 0));
});

test("moments are round times of the reader's clock, few enough for the axis, from minutes to years", () => {
  for (const length of [600e3, 3600e3, 7 * 3600e3, 86400e3, 9 * 86400e3, 90 * 86400e3, 5 * 365 * 86400e3]) {
    for (const parts of [2, 5, 10]) {
      const { marks, days } = scales.moments(NOW - length, NOW, parts);
      assert.ok(marks.length <= parts + 1, `${length} ${parts} ${marks.length}`);
      assert.ok(marks.every((at) => at >= NOW - length && at <= NOW));
      assert.ok(marks.every((at) => new Date(at).getSeconds() === 0));
      if (days) assert.ok(marks.every((at) => new Date(at).getHours() === 0));
    }
  }
  assert.deepEqual(scales.moments(NOW, NOW, 5).days, false);
});

test("buying long and selling short move a price up", () => {
  const told = [];
  for (const side of ["long", "short"])
    for (const effect of ["open", "close"]) told.push([did({ side, effect }), movesUp({ side, effect })]);
  assert.deepEqual(told, [
    ["bought long", true],
    ["sold long", false],
    ["bought short", false],
    ["sold short", true],
  ]);
});

test("prices and amounts have the same places, so that columns stand under one another", () => {
  assert.equal(words.price(0.5), "0.500");
  assert.equal(words.price(null), "–");
  assert.equal(words.amount(1234.5), "1,234.50");
});

test("stairs hold their height until the next, and a whole pie is a circle", () => {
  assert.deepEqual(
    scales.stairs(
      [
        [0, 5],
        [2, 3],
      ],
      4,
    ),
    [
      [0, 5],
      [2, 5],
      [2, 3],
      [4, 3],
    ],
  );
  assert.match(scales.slice(0, 1, 10), /A10,10 0 1 1/);
  assert.equal(
    scales.line([
      [0, 1],
      [2, 3],
    ]),
    "M0.0,1.0L2.0,3.0",
  );
});

test("events are whole however their text is cut", () => {
  const text =
    'retry: 1000\n\n: still here\n\nevent: award\ndata: {"seq":7}\n\nid: 7\nevent: round\ndata: {"a":"x: y"}\n\n';
  const expected = [
    { kind: "award", id: null, data: '{"seq":7}' },
    { kind: "round", id: "7", data: '{"a":"x: y"}' },
  ];
  for (let size = 1; size <= text.length; size++) {
    const reader = new feed.EventText();
    const found = [];
    for (let from = 0; from < text.length; from += size) found.push(...reader.take(text.slice(from, from + size)));
    assert.deepEqual(found, expected, `pieces of ${size}`);
  }
});

const round = (seq, at, price, more = {}) => ({
  type: "round",
  seq,
  at,
  round_no: seq,
  slots_available: 3,
  awards_granted: 2,
  bids_open: 5,
  clearing_price_tokens: price,
  ...more,
});
const award = (seq, at, price) => ({ type: "award.granted", seq, at, price_tokens: price });
const CANDLES = {
  seq: 10,
  interval: "PT300S",
  candles: [
    {
      opens_at: "2026-05-04T11:55:00Z",
      rounds: 2,
      slots_available: 4,
      awards_granted: 4,
      bids_open_max: 9,
      open_price_tokens: 50,
      high_price_tokens: 60,
      low_price_tokens: 50,
      close_price_tokens: 60,
    },
  ],
};

test("a call after the answer is laid over it once, with what its winners pay, and nothing is counted again", () => {
  const before = structuredClone(CANDLES);
  const [one, two, ...none] = feed.liveCandles(CANDLES, [
    award(10, "2026-05-04T11:56:00Z", 1),
    round(10, "2026-05-04T11:56:00Z", 1),
    award(11, "2026-05-04T11:57:00Z", 75),
    award(11, "2026-05-04T11:57:00Z", 70),
    round(11, "2026-05-04T11:57:00Z", 0),
    round(12, "2026-05-04T11:58:00Z", null),
    award(13, "2026-05-04T12:00:00Z", 20),
    round(13, "2026-05-04T12:00:00Z", null, { bids_open: 30 }),
  ]);
  assert.equal(none.length, 0);
  assert.deepEqual([one.rounds, one.high_price_tokens, one.low_price_tokens, one.close_price_tokens], [4, 75, 50, 70]);
  assert.deepEqual([one.slots_available, one.awards_granted, one.bids_open_max], [10, 8, 9]);
  assert.deepEqual(
    [two.at, two.rounds, two.open_price_tokens, two.low_price_tokens, two.bids_open_max],
    [NOW, 1, 20, 20, 30],
  );
  assert.deepEqual(CANDLES, before);
});

const STATS = {
  seq: 10,
  totals: {
    rounds: 1,
    slots_available: 2,
    awards_granted: 1,
    price_min_tokens: null,
    price_median_tokens: null,
    price_max_tokens: null,
  },
  rounds: [{ round_no: 1 }],
  top_wins: [
    { award_id: 4, status: "awarded", actual_cost_tokens: null, actual_impact: null },
    { award_id: 5, status: "awarded", actual_cost_tokens: null, actual_impact: null },
  ],
};

test("a settlement fills in what its bid was good for", () => {
  const found = feed.liveStats(STATS, [
    { type: "award.settled", seq: 9, award_id: 5, actual_cost_tokens: 1, actual_impact: 1 },
    award(11, "2026-05-04T11:57:00Z", 70),
    award(11, "2026-05-04T11:57:00Z", 65),
    round(11, "2026-05-04T11:57:00Z", 0),
    { type: "award.settled", seq: 12, award_id: 4, actual_cost_tokens: 30, actual_impact: 2.5 },
  ]);
  assert.deepEqual(found.top_wins[0], { award_id: 4, status: "settled", actual_cost_tokens: 30, actual_impact: 2.5 });
  assert.equal(found.top_wins[1].status, "awarded");
  assert.deepEqual([found.totals.rounds, found.totals.slots_available], [2, 5]);
  assert.deepEqual([found.totals.price_min_tokens, found.totals.price_max_tokens], [65, 70]);
  assert.deepEqual(
    found.rounds.map((one) => one.round_no),
    [11, 1],
  );
  assert.equal(STATS.totals.rounds, 1);
});

test("what every answer has seen is not kept, and never more than the bound", () => {
  let messages = [];
  for (let seq = 1; seq < 2 * feed.KEPT_MAX; seq++) messages = feed.kept(messages, { seq }, 0);
  assert.equal(messages.length, feed.KEPT_MAX);
  assert.deepEqual(
    feed.kept([{ seq: 1 }, { seq: 3 }], { seq: 4 }, 2).map((one) => one.seq),
    [3, 4],
  );
});

test("a part is asked for at once, then no more often than it may be", () => {
  const one = part("/x", 2_000, 60_000);
  assert.ok(due(one, 0, true));
  Object.assign(one, { askedAt: 0, news: false });
  assert.ok(!due(one, 59_999, true) && due(one, 60_000, true), "it holds while there is no news");
  one.news = true;
  assert.ok(!due(one, 1_999, true) && due(one, 2_000, true), "news makes it due");
  assert.ok(!due(one, 4_999, false) && due(one, 5_000, false), "without a stream it is asked for now and then");
  one.waiting = true;
  assert.ok(!due(one, 1e9, false), "one question at a time");
});

test("what fails is asked for less and less often, and not before the service says", () => {
  const one = part("/x", 2_000);
  Object.assign(one, { askedAt: 0, failures: 1, trouble: {} });
  assert.ok(!due(one, 4_999, true) && due(one, 5_000, true));
  one.failures = 30;
  assert.ok(!due(one, 59_999, true) && due(one, 60_000, true));
  Object.assign(one, { failures: 1, trouble: { retryAfterS: 90 } });
  assert.ok(!due(one, 89_999, true) && due(one, 90_000, true));
});

test("an answer stays when a later question fails, and trying again asks at once", async () => {
  const parts = { one: part("/x", 1_000) };
  const answers = [
    () => ({ seq: 1 }),
    () => {
      throw new Error("away");
    },
  ];
  const market = { ask: async () => answers.shift()() };
  const asked = () => new Promise((resolve) => askDue(parts, market, 1_000_000, true, resolve));
  await asked();
  assert.deepEqual(parts.one.answer, { seq: 1 });
  forget(parts);
  await asked();
  assert.deepEqual([parts.one.answer.seq, parts.one.trouble.message, parts.one.failures], [1, "away", 1]);
  forget(parts);
  assert.ok(due(parts.one, 0, true));
});
