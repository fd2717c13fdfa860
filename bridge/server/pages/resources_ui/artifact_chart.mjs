// The price of one artifact over time, with its average and the trades that moved it.
//
// Rule of this file: it draws the trades that it is given, and what is now. Prices are of a long share.

import { legend } from "./charts.mjs";
import { ChartReader } from "./chart_reader.mjs";
import { el, svg } from "./elements.mjs";
import { line, linear, moments, stairs } from "./scales.mjs";
import { amount, bothClocks, price } from "./words.mjs";

const LEFT = 46;
const RIGHT = 10;
const TOP = 10;
const BOTTOM = 210;
const HEIGHT = 240;
const WIDTH_MIN = 280;
const DOT_MIN = 2.5;
const DOT_MAX = 9;

export class ArtifactChart {
  #reader = new ChartReader("Price of a long share over time; arrow keys go through the trades", told);
  #now = null;
  #shown = "";

  constructor() {
    const kinds = [
      ["price", "price after each trade"],
      ["average", "average price, which budgets are made of"],
      ["up", "trade that moved it up"],
      ["down", "down; larger is more tokens"],
    ];
    this.element = el("div", {}, this.#reader.element, legend(kinds));
    new ResizeObserver(() => this.#draw()).observe(this.element);
  }

  // `trades`: oldest first. `now`: what holds at `at`, price and average.
  show(trades, now) {
    const shown = JSON.stringify([trades.map((trade) => trade.seq), now]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#reader.take(trades.map((trade) => ({ ...trade, at: Date.parse(trade.at) })));
    this.#now = now;
    this.#draw();
  }

  #draw() {
    const reader = this.#reader;
    const trades = reader.points;
    if (!trades.length) return;
    const width = Math.max(this.element.clientWidth, WIDTH_MIN);
    const x = linear([trades[0].at, Math.max(this.#now.at, trades.at(-1).at + 1)], [LEFT, width - RIGHT]);
    const y = linear([0, 1], [BOTTOM, TOP]);
    const end = width - RIGHT;
    const begin = [LEFT, y(trades[0].market.price_before)];
    const prices = stairs([begin, ...trades.map((one) => [x(one.at), y(one.market.price_after)])], end);
    const averages = [...trades.map((one) => [x(one.at), y(one.market.price_average)]), [end, y(this.#now.average)]];
    const most = Math.max(...trades.map((one) => one.tokens));
    reader.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    reader.svg.setAttribute("height", HEIGHT);
    reader.x = (trade) => x(trade.at);
    reader.svg.replaceChildren(
      ...levels(y, width),
      ...times(x, trades[0].at, this.#now.at, width),
      svg("path", { class: "average", d: line(averages) }),
      svg("path", { class: "price", d: line(prices) }),
      ...trades.map((one) =>
        svg("circle", {
          class: `fill ${movesUp(one) ? "up" : "down"}`,
          cx: x(one.at).toFixed(1),
          cy: y(one.market.price_after).toFixed(1),
          // The area of a dot is in proportion to the tokens.
          r: Math.max(DOT_MIN, DOT_MAX * Math.sqrt(one.tokens / (most || 1))).toFixed(1),
        }),
      ),
      svg("line", { class: "cursor", y1: TOP, y2: BOTTOM, x1: -9, x2: -9 }),
    );
    reader.told();
  }
}

// Buying long and selling short move the price up.
export const movesUp = (trade) => (trade.side === "long") === (trade.effect === "open");

const levels = (y, width) =>
  [0, 0.25, 0.5, 0.75, 1].flatMap((mark) => [
    svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(mark), y2: y(mark) }),
    svg("text", { class: "axis", x: LEFT - 6, y: y(mark) + 4, "text-anchor": "end" }, String(mark)),
  ]);

function times(x, from, until, width) {
  const { marks, days } = moments(from, until, Math.max(2, Math.floor(width / 110)));
  const words = days ? { month: "2-digit", day: "2-digit" } : { hour: "2-digit", minute: "2-digit" };
  return marks.flatMap((at) => [
    svg("line", { class: "grid", x1: x(at), x2: x(at), y1: TOP, y2: BOTTOM }),
    svg(
      "text",
      { class: "axis", x: x(at), y: HEIGHT - 10, "text-anchor": x(at) > width - 40 ? "end" : "middle" },
      days ? new Date(at).toLocaleDateString("sv-SE", words) : new Date(at).toLocaleTimeString("sv-SE", words),
    ),
  ]);
}

// What somebody did, as a person says it.
export const did = (trade) => `${trade.effect === "open" ? "bought" : "sold"} ${trade.side}`;

function told(trade) {
  const { price_before: before, price_after: after, price_average: average } = trade.market;
  return [
    `${bothClocks(trade.at)}: ${trade.account_id} ${did(trade)}`,
    `${amount(trade.shares)} shares for ${amount(trade.tokens)} tokens`,
    `price from ${price(before)} to ${price(after)}, average ${price(average)}`,
  ].join("; ");
}
