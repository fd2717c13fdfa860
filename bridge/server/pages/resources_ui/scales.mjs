// From values to places on a chart.
//
// Rule of this file: pure; no element is made here.

// A function from `domain` to `range`. A domain of one value lies in the middle.
export function linear([low, high], [from, to]) {
  if (low === high) return () => (from + to) / 2;
  return (value) => from + ((value - low) / (high - low)) * (to - from);
}

// Round numbers from below the lowest to above the highest: about `parts` steps of 1, 2 or 5 times a power of 10.
export function ticks(low, high, parts = 4) {
  if (!(high > low)) high = low + 1;
  const rough = (high - low) / parts;
  const power = 10 ** Math.floor(Math.log10(rough));
  // Whole numbers only: half a token is none.
  const step = Math.max(1, [1, 2, 5, 10].find((factor) => factor * power >= rough) * power);
  const first = Math.floor(low / step);
  const last = Math.ceil(high / step);
  return Array.from({ length: last - first + 1 }, (_, number) => (first + number) * step);
}

// Full hours of the reader's clock, so many that about `parts` lie between `from` and `until` (milliseconds).
export function hours(from, until, parts) {
  const step = [1, 2, 3, 4, 6, 12, 24].find((size) => (until - from) / 3600e3 / size <= parts) ?? 24;
  const found = [];
  const time = new Date(from);
  time.setMinutes(0, 0, 0);
  for (let tries = 0; tries < 1000 && +time <= until; tries++) {
    if (+time >= from && time.getHours() % step === 0) found.push(+time);
    time.setTime(+time + 3600e3);
  }
  return found;
}

const MINUTE_MS = 60e3;
const DAY_MS = 86400e3;
const STEPS_MS = [1, 5, 15, 30, 60, 180, 360, 720].map((minutes) => minutes * MINUTE_MS);
const STEPS_DAYS = [1, 2, 7, 14, 30, 90, 365, 3650, 36500];

// Round times of the reader's clock between `from` and `until` (milliseconds), about `parts` of them, and whether they
// are whole days.
export function moments(from, until, parts) {
  const wanted = (until - from) / Math.max(parts, 1);
  const step = STEPS_MS.find((size) => size >= wanted) ?? null;
  const days = step === null ? (STEPS_DAYS.find((size) => size * DAY_MS >= wanted) ?? STEPS_DAYS.at(-1)) : 0;
  const found = [];
  const time = new Date(from);
  time.setHours(0, 0, 0, 0);
  for (let tries = 0; tries < 2000 && +time <= until; tries++) {
    if (+time >= from) found.push(+time);
    if (step === null) time.setDate(time.getDate() + days);
    else time.setTime(+time + step);
  }
  return { marks: found, days: step === null };
}

// The text of a path through points.
export const line = (points) =>
  points.map(([x, y], number) => `${number ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");

// Stairs: at each [x, y] the height is y from there to the next x.
export function stairs(points, end) {
  return points.flatMap(([x, y], number) => [
    [x, y],
    [number + 1 < points.length ? points[number + 1][0] : end, y],
  ]);
}

// A slice of a pie around 0,0: from and to are parts of the whole.
export function slice(from, to, radius) {
  if (to - from >= 1) to = from + 0.99999;
  const at = (part) => {
    const angle = (part - 0.25) * 2 * Math.PI;
    return `${(radius * Math.cos(angle)).toFixed(2)},${(radius * Math.sin(angle)).toFixed(2)}`;
  };
  return `M0,0L${at(from)}A${radius},${radius} 0 ${to - from > 0.5 ? 1 : 0} 1 ${at(to)}Z`;
}
