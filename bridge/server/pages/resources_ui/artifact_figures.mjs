// The figures of one artifact market: what it takes to move its price, and its pool against what it may have to pay.
//
// Rule of this file: each figure says the same as the numbers beside it; prices are of a long share.

import { bar, el, empty, svg, table, tile, tiles } from "./elements.mjs";
import { line, linear, ticks } from "./scales.mjs";
import { ahead, amount, bothClocks, count, decimal, percent, price, short, whole } from "./words.mjs";

const WIDTH = 440;
const HEIGHT = 200;
const LEFT = 46;
const TOP = 10;
const BOTTOM = HEIGHT - 34;

// What holds of the market now.
export function summary(book, now) {
  return tiles(
    tile("Price of long", price(book.price), `of short ${price(1 - book.price)}; a share pays 1 if its side is right`),
    tile("Average price", price(book.price_average), "half of it is of the last six hours; budgets are made of it"),
    tile("Status", statusOf(book), dueOf(book, now)),
    tile("Subsidy", `${decimal(book.amm.subsidy_tokens)} tokens`, "spending it on a side halves the remaining doubt"),
    tile(
      "Trades",
      whole(book.trades),
      `${count(book.positions, "open position")}, ${count(book.orders, "resting order")}`,
    ),
    tile("Exit fee", percent(book.exit_fee), "of what a sale brings; none at the settlement"),
    tile("Exposure", percent(book.exposure_limit), "of an account's wealth, at the most"),
  );
}

export function statusOf(market) {
  const as = market.settled_as ? ` as ${market.settled_as}` : "";
  return `${market.status}${as}`;
}

function dueOf(market, now) {
  if (market.status === "settled") {
    const { settle_price: worth } = market;
    return worth === null ? "costs were given back" : `a long share was worth ${price(worth)}`;
  }
  const what = { open: "closes", frozen: "opens again", announced: "is settled" }[market.status];
  return `${what} ${ahead(market.due_at, now)}, at ${bothClocks(market.due_at, now)}`;
}

// The maker and the resting orders together: how many tokens move the price how far, either way.
export function depth(book) {
  if (!book.depth.length) return empty("A settled market trades nothing more.");
  const rows = [...book.depth].sort((one, other) => one.price - other.price);
  const most = Math.max(...rows.map((point) => point.tokens), 0.01);
  const shown = table(
    "What it takes to move the price",
    [
      { head: "To", number: true, cell: (point) => price(point.price) },
      { head: "By buying", cell: (point) => point.side },
      { head: "Tokens", number: true, cell: (point) => amount(point.tokens) },
      { head: "", grow: true, cell: (point) => bar([[point.tokens, point.side]], most) },
      { head: "Shares", number: true, cell: (point) => amount(point.shares) },
    ],
    rows,
  );
  return el("div", {}, depthChart(book, rows), shown, levels(book));
}

function depthChart(book, rows) {
  const marks = ticks(0, Math.max(...rows.map((point) => point.tokens), 1));
  const x = linear([0, 1], [LEFT, WIDTH - 8]);
  const y = linear([0, marks.at(-1)], [BOTTOM, TOP]);
  const here = { price: book.price, tokens: 0 };
  const side = (up) => {
    const points = rows.filter((point) => (point.side === "long") === up);
    return (up ? [here, ...points] : [...points, here]).map((point) => [x(point.price), y(point.tokens)]);
  };
  return el(
    "figure",
    {},
    svg(
      "svg",
      {
        class: "chart",
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        role: "img",
        "aria-label": `Tokens that move the price from ${price(book.price)}; the table below has the numbers`,
      },
      marks.map((mark) => [
        svg("line", { class: "grid", x1: LEFT, x2: WIDTH - 8, y1: y(mark), y2: y(mark) }),
        svg("text", { class: "axis", x: LEFT - 6, y: y(mark) + 4, "text-anchor": "end" }, short(mark)),
      ]),
      [0, 0.25, 0.5, 0.75, 1].map((mark) =>
        svg(
          "text",
          { class: "axis", x: x(mark), y: BOTTOM + 16, "text-anchor": mark === 1 ? "end" : "middle" },
          String(mark),
        ),
      ),
      svg(
        "text",
        { class: "axis", x: (LEFT + WIDTH) / 2, y: HEIGHT - 3, "text-anchor": "middle" },
        "price of long; tokens up",
      ),
      svg("line", { class: "cursor", x1: x(book.price), x2: x(book.price), y1: TOP, y2: BOTTOM }),
      svg("path", { class: "depth short", d: line(side(false)) }),
      svg("path", { class: "depth long", d: line(side(true)) }),
    ),
  );
}

function levels(book) {
  const some = [
    ...[...book.asks].reverse().map((level) => ({ ...level, moves: "down" })),
    ...book.bids.map((level) => ({ ...level, moves: "up" })),
  ];
  if (!some.length) return empty("No orders rest; the market maker is always there.");
  return table(
    "Resting orders by price, highest first",
    [
      { head: "Price", number: true, cell: (level) => price(level.price) },
      { head: "Move it", cell: (level) => level.moves },
      { head: "Shares", number: true, cell: (level) => amount(level.shares) },
      { head: "Tokens", number: true, cell: (level) => amount(level.tokens) },
      { head: "Orders", number: true, cell: (level) => whole(level.orders) },
    ],
    some,
  );
}

// The pool always covers the larger of the two payouts; what the maker can lose is bounded by its subsidy.
export function pool(book) {
  if (book.status === "settled") return empty("The market is settled: its pool is paid out, and the rest went back.");
  const { pool_tokens: held, long_shares: long, short_shares: shorts } = book.amm;
  const most = Math.max(held, 0.01);
  const rows = [
    { what: "Pool", tokens: held, kind: "available", left: "" },
    { what: "Payout if long is worth 1", tokens: long, kind: "long", left: `${amount(held - long)} left` },
    { what: "Payout if short is worth 1", tokens: shorts, kind: "short", left: `${amount(held - shorts)} left` },
  ];
  return el(
    "div",
    {},
    table(
      "The pool against both payouts",
      [
        { head: "", cell: (row) => row.what },
        { head: "Tokens", number: true, cell: (row) => amount(row.tokens) },
        { head: "", grow: true, cell: (row) => bar([[row.tokens, row.kind]], most) },
        { head: "", number: true, cell: (row) => row.left },
      ],
      rows,
    ),
    el(
      "p",
      { class: "small" },
      `Whatever is settled, the maker loses ${decimal(book.amm.loss_bound_tokens)} tokens at the most. Exit fees so ` +
        `far: ${amount(book.fees_tokens)} tokens, which go to the subsidy pool at the settlement.`,
    ),
  );
}
