// The tab Budgets: how the day is split over quests while the auction cannot be used, and which of the two pays.
//
// Rule of this file: a day is one of UTC, as the budgets are. Who pays is what the service said, not a guess made here.

import { colour, pie, swatch } from "./charts.mjs";
import { Card, bar, el, empty, name, showPart, table, tile, tiles } from "./elements.mjs";
import { part } from "./reading.mjs";
import { ago, bothClocks, count, percent, tokens, whole } from "./words.mjs";

const QUESTS_MAX = 100;
// More slices than colours are one slice: what is small is in the table.
const SLICES_MAX = 8;

export function parts() {
  return { budgets: part(`/api/v1/quest-budgets?limit=${QUESTS_MAX}`, 10_000, 10_000) };
}

export class Panel {
  #mode = new Card("Who pays", "", "wide");
  #pie = new Card("Allocated today", "each quest’s part of the day (UTC)");
  #quests = new Card("Per quest", "allocated, set aside, spent, left");

  constructor(root) {
    root.replaceChildren(this.#mode.element, this.#pie.element, this.#quests.element);
  }

  show({ budgets }, messages, now, retry) {
    showPart(this.#mode, budgets, (answer) => mode(answer, now), retry);
    showPart(this.#pie, budgets, allocated, retry);
    showPart(this.#quests, budgets, quests, retry);
  }
}

function mode({ paying, last_awarded_at: awarded, last_reserved_at: reserved, totals, day }, now) {
  const words = { auction: "the auction", budget: "the daily budget (fallback)" }[paying] ?? "nobody yet";
  const when = (time) =>
    time ? el("time", { datetime: time, title: bothClocks(time, now) }, ago(time, now)) : "never";
  const used = totals.spent_tokens + totals.reserved_tokens;
  return tiles(
    tile(
      "Work was last paid by",
      el("strong", { class: `mode ${paying ?? "none"}` }, words),
      el("span", {}, "last award ", when(awarded), ", last from the budget ", when(reserved)),
    ),
    tile("Allocated", tokens(totals.allocated_tokens), `${count(totals.quests, "quest")}, ${day} UTC`),
    tile("Spent", tokens(totals.spent_tokens), `${percent(totals.spent_tokens, totals.allocated_tokens)} of the day`),
    tile("Set aside", tokens(totals.reserved_tokens), "for work under way"),
    tile(
      "Left",
      tokens(totals.allocated_tokens - used),
      totals.overrun_tokens ? `overrun ${tokens(totals.overrun_tokens)}` : "no overrun",
    ),
  );
}

// The quests that have a slice of their own, and what all others have together.
export function slicesOf({ quests: rows, totals }) {
  const own = totals.quests > SLICES_MAX ? rows.slice(0, SLICES_MAX - 1) : rows;
  const slices = own.map((row) => [row.quest, row.allocated_tokens]);
  const rest = totals.allocated_tokens - slices.reduce((sum, [, value]) => sum + value, 0);
  return own.length < totals.quests
    ? [...slices, [`${count(totals.quests - own.length, "other quest")}`, rest]]
    : slices;
}

function allocated(answer) {
  if (!answer.totals.allocated_tokens) return empty(noSplit(answer));
  const slices = slicesOf(answer);
  const rows = slices.map(([words, value], number) =>
    el(
      "li",
      {},
      swatch(number),
      name(words),
      el("span", { class: "number" }, ` ${tokens(value)}, ${percent(value, answer.totals.allocated_tokens)}`),
    ),
  );
  return el(
    "div",
    { class: "pie-and-names" },
    pie("What each quest may spend today", slices),
    el("ul", { class: "names" }, rows),
  );
}

const noSplit = ({ day }) => `No budget has been split for ${day} (UTC): while the auction works, none is needed.`;

function quests(answer) {
  if (!answer.quests.length) return empty(noSplit(answer));
  const most = Math.max(1, ...answer.quests.map((row) => row.allocated_tokens + row.overrun_tokens));
  const slices = slicesOf(answer).length;
  const shown = table(
    "Budgets of quests today, the largest first",
    [
      {
        head: "Quest",
        cell: (row, number) =>
          el(
            "span",
            {},
            el("span", { class: `swatch ${colour(Math.min(number, slices - 1))}`, "aria-hidden": "true" }),
            name(row.quest),
          ),
      },
      { head: "Allocated, tokens", number: true, cell: (row) => whole(row.allocated_tokens) },
      { head: "Set aside", number: true, cell: (row) => whole(row.reserved_tokens) },
      { head: "Spent", number: true, cell: (row) => whole(row.spent_tokens) },
      { head: "Left", number: true, cell: (row) => whole(row.left_tokens) },
      {
        head: "Used and left",
        grow: true,
        cell: (row) =>
          bar(
            [
              [row.spent_tokens, "spent"],
              [row.reserved_tokens, "reserved"],
              [row.left_tokens, "left"],
              [row.overrun_tokens, "overrun"],
            ],
            most,
          ),
      },
      { head: "Overrun", number: true, cell: (row) => whole(row.overrun_tokens) },
    ],
    answer.quests,
  );
  const more = answer.totals.quests - answer.quests.length;
  return el(
    "div",
    {},
    shown,
    more ? el("p", { class: "small" }, `and ${count(more, "more quest")} with smaller parts`) : null,
  );
}
