// The tab Wallets: who can bid, and who is priced out until it earns.
//
// Rule of this file: priced out is who bids here and has less available than the last price; nobody else decides that.

import { Card, bar, el, empty, name, showPart, table, tile, tiles } from "./elements.mjs";
import { part } from "./reading.mjs";
import { ago, bothClocks, count, tokens, whole } from "./words.mjs";

const ROWS = 200;
const WALLETS_MAX = 1_000;

export const ofMarket = true;

export function parts(marketId) {
  const wallets = part(`/api/v1/wallets?limit=${WALLETS_MAX}`, 10_000);
  if (marketId === null) return { wallets };
  // The last price that there was, unless the market has been called in vain for long.
  return { wallets, rounds: part(`/api/v1/rounds?market_id=${encodeURIComponent(marketId)}&limit=100`, 10_000) };
}

export class Panel {
  #sums = new Card("Tokens", "", "wide");
  #wallets = new Card("Agents and quests", "those with least available first", "wide");

  constructor(root) {
    root.replaceChildren(this.#sums.element, this.#wallets.element);
  }

  show({ wallets, rounds }, messages, now, retry) {
    const price =
      rounds?.answer?.items.find((round) => round.clearing_price_tokens !== null)?.clearing_price_tokens ?? null;
    showPart(this.#sums, wallets, (answer) => sums(answer, price), retry);
    showPart(this.#wallets, wallets, (answer) => list(answer, price, now), retry);
  }
}

const bids = (wallet) => wallet.kind === "agent" || wallet.kind === "quest";

// A price of 0 prices nobody out. Who has bids in the book is in the game with what they hold.
export const isPricedOut = (wallet, price) =>
  bids(wallet) && price !== null && wallet.available_tokens < price && wallet.held_tokens === 0;

function sums({ items, next }, price) {
  const some = items.filter(bids);
  const sum = (field) => some.reduce((total, wallet) => total + wallet[field], 0);
  const out = some.filter((wallet) => isPricedOut(wallet, price)).length;
  const of = next
    ? `of the first ${whole(items.length)} wallets by name`
    : `of ${count(some.length, "wallet")} of agents and quests`;
  return tiles(
    tile("Available", tokens(sum("available_tokens")), of),
    tile("Held", tokens(sum("held_tokens")), "for open bids, awards and what else is set aside"),
    tile(
      "Priced out",
      whole(out),
      price === null
        ? "there was no price lately"
        : `nothing held, and less available than the last price, ${tokens(price)}`,
    ),
  );
}

function list({ items }, price, now) {
  const some = items
    .filter(bids)
    .sort(
      (one, other) => one.available_tokens - other.available_tokens || (one.account_id < other.account_id ? -1 : 1),
    );
  if (!some.length) return empty("No wallets of agents or quests yet.");
  const most = Math.max(1, ...some.map((wallet) => wallet.balance_tokens));
  const shown = table(
    "Wallets of agents and quests, those with least available first",
    [
      { head: "Account", cell: (wallet) => name(wallet.account_id) },
      { head: "Kind", cell: (wallet) => wallet.kind },
      { head: "Available, tokens", number: true, cell: (wallet) => whole(wallet.available_tokens) },
      { head: "Held, tokens", number: true, cell: (wallet) => whole(wallet.held_tokens) },
      {
        head: "Available and held",
        grow: true,
        cell: (wallet) =>
          bar(
            [
              [wallet.available_tokens, "available"],
              [wallet.held_tokens, "held"],
            ],
            most,
          ),
      },
      { head: "Earned, tokens", number: true, cell: (wallet) => whole(wallet.total_earned_tokens) },
      { head: "Spent, tokens", number: true, cell: (wallet) => whole(wallet.total_spent_tokens) },
      {
        head: "Moved",
        cell: (wallet) =>
          el(
            "time",
            { datetime: wallet.updated_at, title: bothClocks(wallet.updated_at, now) },
            ago(wallet.updated_at, now),
          ),
      },
      { head: "", cell: (wallet) => (isPricedOut(wallet, price) ? el("strong", { class: "out" }, "priced out") : "") },
    ],
    some.slice(0, ROWS),
  );
  return el(
    "div",
    {},
    shown,
    some.length > ROWS
      ? el("p", { class: "small" }, `and ${whole(some.length - ROWS)} more, which have more available`)
      : null,
  );
}
