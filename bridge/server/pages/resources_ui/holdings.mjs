// What an account holds in artifacts, whose account it is that is looked at, and who did best.
//
// Rule of this file: any account can be looked at, as wallets can; that of the key stands there first.

import { bar, el, empty, name, table, tile, tiles } from "./elements.mjs";
import { amount, count, percent, price, whole } from "./words.mjs";

// A field for the account; `changed` gets its name. `accounts`: those of the key.
export function accountChoice(accountId, accounts, changed) {
  const input = el("input", {
    id: "account",
    value: accountId,
    list: "accounts",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    maxlength: "128",
  });
  const known = el("datalist", { id: "accounts" }, accounts.map((one) => el("option", { value: one })));
  const form = el(
    "form",
    { class: "account" },
    el("label", { for: "account" }, "Account"),
    input,
    known,
    el("button", { type: "submit" }, "Show"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    changed(input.value.trim());
  });
  return form;
}

export function holdings(found) {
  const none = empty("This account has no open positions.");
  return el("div", {}, sums(found), found.positions.length ? positions(found) : none);
}

function sums(found) {
  return tiles(
    tile("Equity", amount(found.equity_tokens), `tokens; ${whole(found.wallet_tokens)} of them in the wallet`),
    tile("Positions", amount(found.value_tokens), `tokens at average prices; they cost ${amount(found.cost_tokens)}`),
    tile("Exit value", amount(found.exit_value_tokens), "tokens, if all were sold now"),
    tile("Realised", amount(found.realised_tokens), "tokens, after fees and costs"),
    tile("Unrealised", amount(found.unrealised_tokens), "tokens, at average prices that nobody pays"),
    tile("Exposure", percent(found.exposure ?? 0), `of its wealth, ${amount(found.committed_tokens)} tokens`),
  );
}

function positions({ positions: items, positions_open: open }) {
  const most = Math.max(...items.map((row) => Math.max(row.shares, row.cost_tokens)), 0.01);
  const shown = table(
    "Open positions of the account",
    [
      { head: "Position", number: true, cell: (row) => whole(row.position_id) },
      { head: "Artifact", cell: (row) => name(row.artifact_id) },
      { head: "Side", cell: (row) => row.side },
      { head: "Shares", number: true, cell: (row) => amount(row.shares) },
      { head: "Cost, tokens", number: true, cell: (row) => amount(row.cost_tokens) },
      { head: "Entry price", number: true, cell: (row) => price(row.entry_price) },
      { head: "Price", number: true, cell: (row) => price(row.price) },
      { head: "Exit value, tokens", number: true, cell: (row) => amount(row.exit_value_tokens) },
      {
        head: "Exit value, of what it pays if right",
        grow: true,
        cell: (row) => bar([[row.exit_value_tokens ?? 0, row.side]], most),
      },
      { head: "If right, tokens", number: true, cell: (row) => amount(row.shares) },
    ],
    items,
  );
  const rest = open - items.length;
  return el("div", {}, shown, rest ? el("p", { class: "small" }, `and ${count(rest, "more position")}`) : null);
}

export function leaders({ items }) {
  if (!items.length) return empty("Nobody has traded in five artifacts that were judged yet.");
  const most = Math.max(...items.map((row) => Math.abs(row.profit_tokens)), 0.01);
  return table(
    "Leaders by realised profit, with standard errors",
    [
      { head: "", number: true, cell: (_, number) => whole(number + 1) },
      { head: "Account", cell: (row) => name(row.account_id) },
      { head: "Artifacts", number: true, cell: (row) => whole(row.artifacts) },
      { head: "Profit, tokens", number: true, cell: (row) => amount(row.profit_tokens) },
      { head: "±", number: true, cell: (row) => amount(row.profit_error_tokens) },
      {
        head: "",
        grow: true,
        cell: ({ profit_tokens: profit }) => bar([[Math.abs(profit), profit < 0 ? "overrun" : "awarded"]], most),
      },
      { head: "Bits", number: true, cell: (row) => amount(row.bits) },
      { head: "±", number: true, cell: (row) => amount(row.bits_error) },
      { head: "Trades", number: true, cell: (row) => whole(row.forecasts) },
    ],
    items,
  );
}
