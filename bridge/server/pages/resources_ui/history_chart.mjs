// The chart of a day: price, slots and bids over one axis of time, read with pointer, finger or arrow keys.
//
// Rule of this file: it draws candles that it is given; the words under it say what is under the pointer.

import { ChartReader } from "./chart_reader.mjs";
import { svg } from "./elements.mjs";
import { hours, line, linear, ticks } from "./scales.mjs";
import { bothClocks, clock, count, percent, short, tokens, whole } from "./words.mjs";

const LEFT = 46;
const RIGHT = 10;
// Each lane with its top and its bottom, in pixels.
const PRICE = [12, 170];
const SLOTS = [196, 246];
const BIDS = [272, 322];
const HEIGHT = 344;
const WIDTH_MIN = 280;

export class HistoryChart {
  #reader = new ChartReader("Prices paid, slots and bids of the last 24 hours; arrow keys go through them", (candle) =>
    told(candle, this.#stepMs),
  );
  #from = 0;
  #until = 1;
  #stepMs = 1;
  #shown = "";

  constructor() {
    this.element = this.#reader.element;
    new ResizeObserver(() => this.#draw()).observe(this.element);
  }

  show(candles, from, until, stepMs) {
    const shown = JSON.stringify([candles, until]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#reader.take(candles.filter((candle) => candle.at + stepMs > from));
    this.#from = from;
    this.#until = until;
    this.#stepMs = stepMs;
    this.#draw();
  }

  #draw() {
    const reader = this.#reader;
    if (!reader.points.length) return;
    const width = Math.max(this.element.clientWidth, WIDTH_MIN);
    const x = linear([this.#from, this.#until], [LEFT, width - RIGHT]);
    // A candle is as wide as its time, but can be seen.
    const wide = Math.max(1, x(this.#from + this.#stepMs) - x(this.#from) - 1);
    const place = (candle) => Math.max(LEFT, x(candle.at));
    reader.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    reader.svg.setAttribute("height", HEIGHT);
    reader.x = (candle) => Math.min(place(candle) + wide / 2, width - RIGHT);
    reader.svg.replaceChildren(
      ...this.#times(x, width),
      ...this.#prices(width),
      ...this.#bars(SLOTS, width, wide, place, "slots: offered, awarded", [
        ["slots_available", "supply"],
        ["awards_granted", "awarded"],
      ]),
      ...this.#bars(BIDS, width, wide, place, "bids at a call, at most", [["bids_open_max", "demand"]]),
      svg("line", { class: "cursor", y1: PRICE[0], y2: BIDS[1], x1: -9, x2: -9 }),
    );
    reader.told();
  }

  #times(x, width) {
    const marks = hours(this.#from, this.#until, Math.max(2, Math.floor(width / 90)));
    return marks.flatMap((at) => [
      svg("line", { class: "grid", x1: x(at), x2: x(at), y1: PRICE[0], y2: BIDS[1] }),
      svg(
        "text",
        { class: "axis", x: x(at), y: HEIGHT - 6, "text-anchor": x(at) > width - 30 ? "end" : "middle" },
        new Date(at).toLocaleTimeString("sv-SE", { hour: "2-digit", minute: "2-digit" }),
      ),
    ]);
  }

  #prices(width) {
    const priced = this.#reader.points.filter((candle) => candle.close_price_tokens !== null);
    if (!priced.length)
      return [svg("text", { class: "lane", x: LEFT, y: PRICE[0] + 20 }, "nothing was sold in this time")];
    const marks = ticks(
      Math.min(...priced.map((candle) => candle.low_price_tokens)),
      Math.max(...priced.map((candle) => candle.high_price_tokens)),
    );
    const y = linear([marks[0], marks.at(-1)], [PRICE[1], PRICE[0]]);
    const at = (field) => (candle) => [this.#reader.x(candle), y(candle[field])];
    // Where nothing was sold for longer, the line breaks.
    const runs = runsOf(priced, 6 * this.#stepMs);
    const band = runs.map(
      (run) => `${line([...run.map(at("high_price_tokens")), ...run.map(at("low_price_tokens")).reverse()])}Z`,
    );
    const close = runs.map((run) => line(run.map(at("close_price_tokens"))));
    // Few points are seen as such; and one alone makes no line.
    const dotted = priced.length > 80 ? runs.filter((run) => run.length === 1).flat() : priced;
    const dots = dotted
      .map(at("close_price_tokens"))
      .map(([cx, cy]) => svg("circle", { class: "dot", cx, cy, r: 2.5 }));
    return [
      ...axis(marks, y, width),
      svg("text", { class: "lane", x: LEFT + 4, y: PRICE[0] - 2 }, "price paid, tokens"),
      svg("path", { class: "band", d: band.join("") }),
      svg("path", { class: "price", d: close.join("") }),
      ...dots,
    ];
  }

  #bars([top, bottom], width, wide, place, title, kinds) {
    const highest = Math.max(1, ...this.#reader.points.map((candle) => candle[kinds[0][0]]));
    const y = linear([0, highest], [bottom, top]);
    const one = (candle, field, kind) =>
      svg("rect", {
        class: kind,
        x: place(candle).toFixed(1),
        y: y(candle[field]).toFixed(1),
        width: wide.toFixed(1),
        height: (bottom - y(candle[field])).toFixed(1),
      });
    return [
      ...axis([0, highest], y, width),
      svg("text", { class: "lane", x: LEFT + 4, y: top - 5 }, title),
      ...kinds.flatMap(([field, kind]) => this.#reader.points.map((candle) => one(candle, field, kind))),
    ];
  }
}

// Candles in order, cut where the next one is later than `gapMs`.
function runsOf(candles, gapMs) {
  const runs = [];
  for (const candle of candles) {
    const run = runs.at(-1);
    if (run && candle.at - run.at(-1).at <= gapMs) run.push(candle);
    else runs.push([candle]);
  }
  return runs;
}

function axis(marks, y, width) {
  return marks.flatMap((mark) => [
    svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(mark), y2: y(mark) }),
    svg("text", { class: "axis", x: LEFT - 6, y: y(mark) + 4, "text-anchor": "end" }, short(mark)),
  ]);
}

function told(candle, stepMs) {
  const { low_price_tokens: low, high_price_tokens: high, close_price_tokens: close } = candle;
  const range = low === high ? "" : `, ${whole(low)} to ${whole(high)}`;
  const price = close === null ? "nothing sold" : `${tokens(close)}${range}`;
  const { awards_granted: awards, slots_available: slots } = candle;
  return [
    `${bothClocks(candle.at)} to ${clock(candle.at + stepMs)}: ${price}`,
    `${whole(awards)} of ${count(slots, "slot")} awarded (${percent(awards, slots)})`,
    `at most ${count(candle.bids_open_max, "bid")}`,
    count(candle.rounds, "call"),
  ].join("; ");
}
