// The tab Markets: the artifact markets, one of them in full, the portfolio of an account, and who did best.
//
// Rule of this file: it shows what the service says; an artifact is chosen by its address (#markets/h-17).

import { ArtifactChart, did } from "./artifact_chart.mjs";
import { depth, pool, statusOf, summary } from "./artifact_figures.mjs";
import { Card, bar, el, empty, name, showPart, table } from "./elements.mjs";
import { holdings, leaders } from "./holdings.mjs";
import { part } from "./reading.mjs";
import { amount, bothClocks, clock, count, decimal, price, whole } from "./words.mjs";

const MARKETS_MAX = 100;
const TRADES_MAX = 500;
const LEADERS_MAX = 10;
const ROWS = 20;

export const ofArtifact = true;

export function parts(artifactId, accountId) {
  const some = {
    markets: part(`/api/v1/artifact-markets?limit=${MARKETS_MAX}`, 5_000, 30_000),
    leaders: part(`/api/v1/leaderboard?limit=${LEADERS_MAX}`, 60_000, 300_000),
  };
  if (artifactId !== null) {
    const path = `/api/v1/artifacts/${encodeURIComponent(artifactId)}`;
    some.book = part(`${path}/market?depth=20`, 2_000, 15_000);
    some.trades = part(`${path}/trades?limit=${TRADES_MAX}`, 2_000);
  }
  if (accountId) {
    const whose = encodeURIComponent(accountId);
    some.portfolio = part(`/api/v1/portfolios/${whose}?limit=50`, 5_000, 15_000);
  }
  return some;
}

export class Panel {
  #markets = new Card("Artifact markets", "a price says how likely traders think that the artifact holds", "wide");
  #summary = new Card("", "", "wide");
  #history = new Card("Price over time", "", "wide");
  #depth = new Card("Depth", "what it takes to move the price: the maker and all resting orders");
  #pool = new Card("Pool against payouts", "the pool pays whatever is settled");
  #trades = new Card("Latest trades", "", "wide");
  #positions = new Card(
    "Portfolio",
    "exit value: what selling all of a position now would bring, after its effect on the price and the exit fee",
    "wide",
  );
  #leaders = new Card(
    "Leaders",
    "the last 90 days: what was realised where artifacts were judged, in five of them or more; never by open positions",
    "wide",
  );
  #chart = new ArtifactChart();
  #ofOne = [this.#summary, this.#history, this.#depth, this.#pool, this.#trades];

  constructor(root, chosen) {
    this.chosen = chosen;
    this.#summary.head.textContent = chosen.artifactId ?? "";
    const cards = [this.#markets, ...(chosen.artifactId === null ? [] : this.#ofOne)];
    root.replaceChildren(...[...cards, this.#positions, this.#leaders].map((card) => card.element));
    this.#positions.element.insertBefore(chosen.account, this.#positions.body);
  }

  show(given, messages, now, retry) {
    showPart(this.#markets, given.markets, (answer) => list(answer, this.chosen.artifactId), retry);
    if (given.book) {
      showPart(this.#summary, given.book, (answer) => summary(answer, now), retry);
      showPart(this.#history, given.trades, (answer) => this.#showHistory(answer, given.book.answer, now), retry);
      showPart(this.#depth, given.book, depth, retry);
      showPart(this.#pool, given.book, pool, retry);
      showPart(this.#trades, given.trades, (answer) => trades(answer, now), retry);
    }
    showPart(this.#leaders, given.leaders, leaders, retry);
    if (given.portfolio) showPart(this.#positions, given.portfolio, holdings, retry);
    else this.#positions.show(empty("This key has no account of its own. Name one to see what it holds."));
  }

  #showHistory({ items, next }, book, now) {
    if (!items.length) return empty("Nothing was traded yet: the price is one half until somebody knows better.");
    const last = items[0];
    const average = book ? book.price_average : last.market.price_average;
    // The line ends at the moment that the average is of.
    this.#chart.show([...items].reverse(), { at: book ? Date.parse(book.at) : now, average });
    this.#history.note.textContent = `${next ? "the last" : "all"} ${count(items.length, "trade")}`;
    return this.#chart.element;
  }
}

const address = (artifactId) => `#markets/${encodeURIComponent(artifactId)}`;

function list({ items, next }, chosen) {
  if (!items.length) return empty("No artifact has a market yet. As soon as an operator opens one it is shown here.");
  const link = ({ artifact_id: id }) =>
    el("a", { href: address(id), "aria-current": id === chosen ? "true" : null }, name(id));
  const shown = table(
    "Artifact markets by name",
    [
      { head: "Artifact", cell: link },
      { head: "Status", cell: statusOf },
      { head: "Price of long", number: true, cell: (row) => price(row.price) },
      {
        head: "Long and short",
        grow: true,
        cell: (row) =>
          bar(
            [
              [row.price, "long"],
              [1 - row.price, "short"],
            ],
            1,
          ),
      },
      { head: "Average", number: true, cell: (row) => price(row.price_average) },
      { head: "Subsidy, tokens", number: true, cell: (row) => decimal(row.subsidy_tokens) },
      { head: "Trades", number: true, cell: (row) => whole(row.trades) },
      { head: "Positions", number: true, cell: (row) => whole(row.positions) },
      { head: "Orders", number: true, cell: (row) => whole(row.orders) },
    ],
    items,
  );
  return el("div", {}, shown, next ? el("p", { class: "small" }, `the first ${whole(items.length)} by name`) : null);
}

function trades({ items }, now) {
  if (!items.length) return empty("No trades yet.");
  return table(
    "Latest trades, newest first",
    [
      {
        head: "At",
        cell: ({ at }) => el("time", { datetime: at, title: bothClocks(at, now) }, clock(at, now)),
      },
      { head: "Account", cell: (trade) => name(trade.account_id) },
      { head: "Did", cell: did },
      { head: "Shares", number: true, cell: (trade) => amount(trade.shares) },
      { head: "Tokens", number: true, cell: (trade) => amount(trade.tokens) },
      { head: "Fills", cell: fills },
      { head: "Price after", number: true, cell: (trade) => price(trade.market.price_after) },
      { head: "Average before", number: true, cell: (trade) => price(trade.market.price_average) },
    ],
    items.slice(0, ROWS),
  );
}

function fills(trade) {
  const orders = trade.fills.filter((fill) => fill.order_id !== null).length;
  const maker = trade.fills.length - orders;
  return [maker ? "maker" : "", orders ? count(orders, "order") : ""].filter(Boolean).join(", ");
}
