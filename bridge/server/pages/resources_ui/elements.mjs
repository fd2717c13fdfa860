// What panels are built from: elements, cards, tiles, tables, bars, and what stands where there is nothing to show.
//
// Rule of this file: names come from strangers. They go in as text nodes or as attributes that are read as text; no
// markup is made of a string anywhere on this page, and the browser is told to refuse it (Trusted Types).

const SVG = "http://www.w3.org/2000/svg";

export const el = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);

export const svg = (name, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined));
  return element;
}

// A titled part of a panel. `body` is what changes.
export class Card {
  constructor(title, note = "", kind = "") {
    this.body = el("div", { class: "body" });
    this.note = el("p", { class: "note small" }, note);
    this.head = el("h2", {}, title);
    this.element = el("section", { class: `card ${kind}` }, this.head, this.note, this.body);
  }

  // Show these, unless they are what is shown: what did not change keeps its focus and its selection.
  show(...children) {
    children = children.filter(Boolean);
    const shown = [...this.body.children];
    if (shown.length === children.length && children.every((child, number) => child === shown[number])) return;
    const fresh = el("div", { class: "body" }, ...children);
    if (fresh.isEqualNode(this.body)) return;
    this.body.replaceWith(fresh);
    this.body = fresh;
  }
}

// Show a part in its card: what `draw` makes of its answer, or why there is none. An old answer is better than none.
export function showPart(card, one, draw, retry) {
  card.element.classList.toggle("stale", Boolean(one.trouble));
  if (one.answer === null && one.trouble === null) return card.show(el("p", { class: "empty" }, "Asking the market …"));
  const children = one.answer === null ? [] : [draw(one.answer)];
  card.show(one.trouble ? apology(one.trouble, one.answer !== null) : null, ...children);
  const button = card.element.querySelector("button.retry");
  if (button) button.onclick = retry;
}

function apology(trouble, hasOld) {
  return el(
    "p",
    { class: "error", role: "alert" },
    trouble.message,
    hasOld ? " What stands here is of before." : "",
    trouble.leader ? ` The leader is ${trouble.leader}.` : "",
    " ",
    el("button", { type: "button", class: "retry" }, "Try again"),
  );
}

export const empty = (words) => el("p", { class: "empty" }, words);

export const tile = (label, value, note = "") =>
  el("div", { class: "tile" }, el("dt", {}, label), el("dd", {}, value), el("dd", { class: "small" }, note));

export const tiles = (...children) => el("dl", { class: "tiles" }, children);

// A table of columns {head, cell(row), number, grow}. `caption` is for those who hear the page.
export function table(caption, columns, rows) {
  const cells = (row, number) => columns.map((column) => el("td", { class: kindOf(column) }, column.cell(row, number)));
  return el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el(
      "table",
      {},
      el("caption", {}, caption),
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          columns.map((column) => el("th", { scope: "col", class: kindOf(column) }, column.head)),
        ),
      ),
      el(
        "tbody",
        {},
        rows.map((row, number) => el("tr", {}, cells(row, number))),
      ),
    ),
  );
}

const kindOf = (column) => [column.number ? "number" : "", column.grow ? "grow" : ""].join(" ").trim() || null;

// Parts of a whole side by side: [value, class] each. The numbers beside it say what it shows.
export function bar(parts, whole) {
  let x = 0;
  const pieces = parts.map(([value, kind]) => {
    const width = whole > 0 ? (Math.max(value, 0) / whole) * 100 : 0;
    const piece = svg("rect", {
      x: x.toFixed(2),
      y: 0,
      width: Math.min(width, 100 - x).toFixed(2),
      height: 10,
      class: kind,
    });
    x = Math.min(100, x + width);
    return piece;
  });
  return svg(
    "svg",
    { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    pieces,
  );
}

// Something's name, whole on demand where it is cut.
export const name = (text) => el("span", { class: "name", title: text }, text);
