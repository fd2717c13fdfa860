// What charts over time share: a point of them is read with pointer, finger or arrow keys, and told in words.
//
// Rule of this file: it draws nothing but the cursor. The words under a chart say what is under the pointer.

import { el, svg } from "./elements.mjs";

const HINT = "Point at the chart, or use the arrow keys, to read it.";

export class ChartReader {
  #points = [];
  #chosen = null;
  #tell;
  // Where a point stands, in the units of the chart.
  x = () => 0;

  // `tell` says a point in words.
  constructor(label, tell) {
    this.#tell = tell;
    this.svg = svg("svg", { class: "chart", tabindex: "0", role: "slider", "aria-label": label });
    this.words = el("p", { class: "readout", "aria-live": "polite" });
    this.element = el("figure", { class: "history" }, this.svg, el("figcaption", {}, this.words));
    this.svg.addEventListener("pointermove", (event) => this.#chooseAt(event.clientX));
    this.svg.addEventListener("pointerleave", () => this.#choose(null));
    this.svg.addEventListener("blur", () => this.#choose(null));
    this.svg.addEventListener("keydown", (event) => this.#key(event));
  }

  get points() {
    return this.#points;
  }

  // Other points; the one that is read stays so, if it is still there. Then draw, and `told`.
  take(points) {
    const at = this.#chosen === null ? null : this.#points[this.#chosen]?.at;
    this.#points = points;
    const again = points.findIndex((point) => point.at === at);
    this.#chosen = again < 0 ? null : again;
  }

  told() {
    const point = this.#points[this.#chosen] ?? null;
    const words = point ? this.#tell(point) : HINT;
    this.words.textContent = words;
    for (const [name, value] of [
      ["min", 0],
      ["max", Math.max(this.#points.length - 1, 0)],
      ["now", this.#chosen ?? this.#points.length - 1],
      ["text", words],
    ]) {
      this.svg.setAttribute(`aria-value${name}`, value);
    }
    const cursor = this.svg.querySelector(".cursor");
    for (const end of ["x1", "x2"]) cursor?.setAttribute(end, point ? this.x(point) : -9);
  }

  #chooseAt(clientX) {
    const box = this.svg.getBoundingClientRect();
    const wanted = ((clientX - box.left) / box.width) * this.svg.viewBox.baseVal.width;
    let best = null;
    this.#points.forEach((point, number) => {
      if (best === null || Math.abs(this.x(point) - wanted) < Math.abs(this.x(this.#points[best]) - wanted))
        best = number;
    });
    this.#choose(best);
  }

  #key(event) {
    const last = this.#points.length - 1;
    const now = this.#chosen ?? last + 1;
    const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key];
    if (next === undefined || last < 0) return;
    event.preventDefault();
    this.#choose(Math.min(Math.max(next, 0), last));
  }

  #choose(number) {
    this.#chosen = number;
    this.told();
  }
}
