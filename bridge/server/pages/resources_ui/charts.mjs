// Charts that need no answering: demand against supply, and a pie.
//
// Rule of this file: each is one figure with its meaning in words; the numbers stand in a table beside it.

import { el, svg } from "./elements.mjs";
import { line, linear, slice, stairs, ticks } from "./scales.mjs";
import { count, percent, short, whole } from "./words.mjs";

const WIDTH = 440;
const HEIGHT = 230;
const LEFT = 46;
const BOTTOM = HEIGHT - 34;

// What bids offer for the first, the second, ... slot, against what slots ask, cheapest first: where the two lines
// cross, a call ends. `levels`: prices with their bids, best first. `asks`: slots in the order of sale.
export function depthChart(levels, asks, now) {
  const ready = asks.filter((ask) => Date.parse(ask.available_at) <= now);
  const bids = levels.reduce((sum, level) => sum + level.bids, 0);
  // Of a long queue the first bids matter: those near the slots.
  const most = Math.max(1, Math.min(Math.max(bids, asks.length), Math.max(3 * asks.length, 12)));
  const highest = Math.max(
    1,
    ...levels.map((level) => level.price_tokens),
    ...asks.slice(0, most).map((ask) => ask.reserve_price_tokens),
  );
  const marks = ticks(0, highest);
  const x = linear([0, most], [LEFT, WIDTH - 8]);
  const y = linear([0, marks.at(-1)], [BOTTOM, 10]);
  const demand = [];
  let before = 0;
  for (const level of levels) {
    if (before < most) demand.push([x(before), y(level.price_tokens)]);
    before += level.bids;
  }
  const supply = (some) => some.slice(0, most).map((ask, number) => [x(number), y(ask.reserve_price_tokens)]);
  const path = (points, end, kind) =>
    points.length ? svg("path", { class: kind, d: line(stairs(points, end)) }) : null;
  const middle = Math.round(most / 2);
  const words = `${count(bids, "bid")}; ${count(asks.length, "slot")}, ${whole(ready.length)} of them available`;
  return el(
    "figure",
    {},
    svg(
      "svg",
      {
        class: "chart",
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        role: "img",
        "aria-label": `Demand and supply: ${words}`,
      },
      marks.map((mark) => [
        svg("line", { class: "grid", x1: LEFT, x2: WIDTH - 8, y1: y(mark), y2: y(mark) }),
        svg("text", { class: "axis", x: LEFT - 6, y: y(mark) + 4, "text-anchor": "end" }, short(mark)),
      ]),
      [0, middle, most].map((mark) =>
        svg(
          "text",
          { class: "axis", x: x(mark), y: BOTTOM + 16, "text-anchor": mark === most ? "end" : "middle" },
          whole(mark),
        ),
      ),
      svg("text", { class: "axis", x: (LEFT + WIDTH) / 2, y: HEIGHT - 3, "text-anchor": "middle" }, "slots, bids"),
      path(supply(asks), x(Math.min(asks.length, most)), "asks later"),
      path(supply(ready), x(Math.min(ready.length, most)), "asks"),
      path(demand, x(Math.min(before, most)), "bids"),
      ready.length && ready.length <= most
        ? svg("line", {
            class: "asks",
            x1: x(ready.length),
            x2: x(ready.length),
            y1: y(ready.at(-1).reserve_price_tokens),
            y2: 10,
          })
        : null,
    ),
    legend([
      ["bids", "bids, best first (tokens)"],
      ["asks", "slots available now, by reserve price"],
      ["asks later", "slots still to come"],
    ]),
  );
}

export const legend = (kinds) =>
  el(
    "p",
    { class: "legend small" },
    kinds.map(([kind, words]) => [el("span", { class: `key ${kind}` }), `${words} `]),
  );

// Slices of [label, value]; the colours are those of `swatch` with the same numbers.
export function pie(label, slices) {
  const whole = slices.reduce((sum, [, value]) => sum + value, 0);
  let from = 0;
  const pieces = slices.map(([words, value], number) => {
    const until = from + (whole ? value / whole : 0);
    const piece = svg(
      "path",
      { class: `slice ${colour(number)}`, d: slice(from, until, 96) },
      svg("title", {}, `${words}: ${percent(value, whole)}`),
    );
    from = until;
    return value > 0 ? piece : null;
  });
  return svg(
    "svg",
    { class: "pie", viewBox: "-100 -100 200 200", role: "img", "aria-label": label },
    pieces,
    svg("circle", { class: "hole", r: 52 }),
  );
}

export const colour = (number) => `colour-${number % 8}`;

export const swatch = (number) => el("span", { class: `swatch ${colour(number)}`, "aria-hidden": "true" });
