// Numbers, times and errors as people read them.
//
// Rule of this file: pure; the same words for the same value everywhere on the page. Units are said where a number
// stands alone, and once in the head of a column.

const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
const NONE = "–";

export const whole = (value) => (value === null || value === undefined ? NONE : WHOLE.format(value));

export const tokens = (value) =>
  value === null || value === undefined ? NONE : `${WHOLE.format(value)} ${value === 1 ? "token" : "tokens"}`;

// For axes, where there is room for four letters.
export const short = (value) => SHORT.format(value);

export function decimal(value, digits = 2) {
  if (value === null || value === undefined) return NONE;
  return new Intl.NumberFormat("en-US", { maximumFractionDigits: digits }).format(value);
}

// A price of a share, between 0 and 1: three places, so that columns stand under one another.
export const price = (value) => (value === null || value === undefined ? NONE : value.toFixed(3));

const TWO_PLACES = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

// Shares, and tokens with their parts.
export const amount = (value) => (value === null || value === undefined ? NONE : TWO_PLACES.format(value));

// A part of a whole; of nothing there is no part.
export function percent(part, of = 1) {
  if (!of) return NONE;
  return new Intl.NumberFormat("en-US", { style: "percent", maximumFractionDigits: 1 }).format(part / of);
}

export const count = (value, one, many = `${one}s`) => `${WHOLE.format(value)} ${value === 1 ? one : many}`;

// How far the tables, of which some answers come, were behind the journal when they were asked; live answers are not.
export function followed(answers) {
  const rows = Math.max(0, ...answers.map((one) => (one ? one.durable_seq - one.seq : 0) || 0));
  return rows ? `The tables are ${count(rows, "row")} behind the journal.` : "The tables are level with the journal.";
}

// "14:05:09", with the day where that is not today's. `zone`: "UTC", or the reader's own where there is none.
export function clock(at, now = new Date(), zone = undefined) {
  const time = new Date(at);
  const day = { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" };
  const today = time.toLocaleDateString("sv-SE", day) === new Date(now).toLocaleDateString("sv-SE", day);
  const hours = time.toLocaleTimeString("sv-SE", { timeZone: zone });
  return today ? hours : `${time.toLocaleDateString("sv-SE", day)} ${hours}`;
}

// The reader's own time, and UTC.
export const bothClocks = (at, now = new Date(), zone = undefined) =>
  `${clock(at, now, zone)} (${clock(at, now, "UTC")} UTC)`;

// What seconds are in the two largest units that they fill.
export function span(seconds) {
  const units = [
    ["d", 86400],
    ["h", 3600],
    ["min", 60],
    ["s", 1],
  ];
  let rest = Math.round(Math.abs(seconds));
  const words = [];
  for (const [name, size] of units) {
    const number = Math.floor(rest / size);
    rest -= number * size;
    if (number) words.push(`${number} ${name}`);
  }
  return words.slice(0, 2).join(" ") || "0 s";
}

export function ago(at, now = new Date()) {
  const seconds = (new Date(now) - new Date(at)) / 1000;
  return seconds < 0.5 ? "now" : `${span(Math.max(seconds, 1))} ago`;
}

export function ahead(at, now = new Date()) {
  const seconds = (new Date(at) - new Date(now)) / 1000;
  return seconds < 0.5 ? "now" : `in ${span(seconds)}`;
}

// The seconds of an ISO 8601 duration as the service writes it: days, hours, minutes, seconds. null: it is none.
export function secondsOf(duration) {
  const found = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/.exec(duration ?? "");
  if (!found) return null;
  const [days, hours, minutes, seconds] = found.slice(1).map((part) => Number(part ?? 0));
  return days * 86400 + hours * 3600 + minutes * 60 + seconds;
}

// Why a question has no answer. `problem` is that of RFC 9457, or null where the answer was none of the market's.
export function trouble(status, problem) {
  if (status === 0) return "The service does not answer.";
  const detail = problem?.detail ? ` ${problem.detail}` : "";
  if (status === 401) return `The key does not work: it is mistyped, unknown, expired or revoked.${detail}`;
  if (status === 403) return `This key may not look here. It needs the scope “read”.${detail}`;
  if (status === 404) return `There is nothing of this name.${detail}`;
  if (status === 429) return `Too many questions for this key or address.${detail}`;
  if (status === 503) return `The market cannot answer now.${detail}`;
  return `The service answered ${status}.${detail}`;
}
