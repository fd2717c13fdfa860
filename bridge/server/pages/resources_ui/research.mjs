// The tab Research: from the capital that is committed to artifacts to the compute that is spent on them, and back:
// stake, price, budget, spending, settlement.
//
// Rule of this file: the formula is the service's; here its parts are laid out in the order in which they meet.

import { statusOf } from "./artifact_figures.mjs";
import { Card, bar, el, empty, name, showPart, table, tile, tiles } from "./elements.mjs";
import { part } from "./reading.mjs";
import { count, decimal, percent, price, tokens, whole } from "./words.mjs";

const ARTIFACTS_MAX = 100;
const MARKETS_MAX = 1_000;

export function parts() {
  return {
    rankings: part(`/api/market/resource-budgets?limit=${ARTIFACTS_MAX}`, 10_000, 10_000),
    markets: part(`/api/v1/artifact-markets?limit=${MARKETS_MAX}`, 10_000, 10_000),
  };
}

export class Panel {
  #flow = new Card(
    "From capital to research",
    "a tenth of what is staked and all bounties, weighted by how uncertain each artifact is",
    "wide",
  );
  #ranking = new Card("Artifacts by what is left to spend", "", "wide");

  constructor(root) {
    root.replaceChildren(this.#flow.element, this.#ranking.element);
  }

  show({ rankings, markets }, messages, now, retry) {
    const known = new Map((markets.answer?.items ?? []).map((market) => [market.artifact_id, market]));
    showPart(this.#flow, rankings, (answer) => flow(answer, known), retry);
    showPart(this.#ranking, rankings, (answer) => ranking(answer, known), retry);
  }
}

const nothing = () => empty("No artifact has tokens committed to it. A stake or a bounty gives it a budget.");

function flow({ items }, markets) {
  if (!items.length) return nothing();
  const sum = (field) => items.reduce((total, row) => total + row[field], 0);
  const given = sum("base_budget_tokens") + sum("bounty_tokens");
  const llm = sum("left_llm_tokens");
  const traded = items.map((row) => markets.get(row.artifact_id)).filter(Boolean);
  const settled = traded.filter((market) => market.status === "settled").length;
  const steps = tiles(
    tile(
      "Demand",
      tokens(sum("demand_tokens")),
      `on ${count(items.length, "artifact")}${items.length === ARTIFACTS_MAX ? ", those with most left" : ""}`,
    ),
    tile("→ Base", tokens(Math.floor(sum("base_budget_tokens"))), "a tenth of it"),
    tile("+ Bounties", tokens(sum("bounty_tokens")), "all that is offered and unpaid"),
    tile("Priced", whole(traded.length), "have a market whose average price says how uncertain they are"),
    tile("× Uncertainty", percent(sum("budget_tokens"), given), "of that stays: all at a price of 0.5, half at 0 or 1"),
    tile("= Budget", tokens(sum("budget_tokens")), "for research"),
    tile("Spent", tokens(sum("spent_tokens")), "on work that is recorded"),
    tile("Left", tokens(sum("left_tokens")), `${whole(llm)} of a model's tokens`),
    tile("→ Settlement", `${whole(settled)} of ${whole(traded.length)}`, "markets settled: who knew better is paid"),
  );
  steps.classList.add("flow");
  return steps;
}

function ranking({ items }, markets) {
  if (!items.length) return nothing();
  const most = Math.max(1, ...items.map((row) => Math.max(row.budget_tokens, row.spent_tokens)));
  return table(
    "Artifacts by what is left of their budgets",
    [
      {
        head: "Artifact",
        cell: (row) =>
          el("span", {}, name(row.artifact_id), row.title ? el("span", { class: "title small" }, row.title) : null),
      },
      { head: "Type", cell: (row) => name(row.artifact_type) },
      { head: "Price, 0 to 1", number: true, cell: (row) => decimal(row.market_price) },
      { head: "Demand, tokens", number: true, cell: (row) => whole(row.demand_tokens) },
      { head: "Bounties, tokens", number: true, cell: (row) => whole(row.bounty_tokens) },
      { head: "Multiplier", number: true, cell: (row) => decimal(0.5 + 0.5 * row.uncertainty_multiplier) },
      { head: "Budget, tokens", number: true, cell: (row) => whole(row.budget_tokens) },
      {
        head: "Spent and left",
        grow: true,
        cell: (row) =>
          bar(
            [
              [row.spent_tokens, "spent"],
              [row.left_tokens, "left"],
            ],
            most,
          ),
      },
      { head: "Spent, tokens", number: true, cell: (row) => whole(row.spent_tokens) },
      { head: "Left, tokens", number: true, cell: (row) => whole(row.left_tokens) },
      { head: "Market", cell: (row) => marketOf(markets.get(row.artifact_id)) },
    ],
    items,
  );
}

// The market of an artifact, with a way to it.
function marketOf(market) {
  if (!market) return "none";
  const href = `#markets/${encodeURIComponent(market.artifact_id)}`;
  return el("a", { href }, `${statusOf(market)}, ${price(market.price)}`);
}
