// The page itself: the key, the market, the tabs, the stream, and the moment to ask and to draw.
//
// Rule of this file: it joins. The key is in `sessionStorage` of this tab, and what is looked at is in the address
// (#auction/agents), so that a view can be linked and a key cannot.

import * as auction from "./auction.mjs";
import * as budgets from "./budgets.mjs";
import { kept } from "./feed.mjs";
import { Market } from "./market.mjs";
import { askDue, forget, part } from "./reading.mjs";
import * as research from "./research.mjs";
import * as wallets from "./wallets.mjs";
import { bothClocks, followed } from "./words.mjs";

const TABS = { auction, budgets, research, wallets };
const KEY = "callmarket.key";
const LOOK_MS = 1_000;

const at = (id) => document.getElementById(id);
// Whatever is known of the key and market in use. `stream` ends the stream; `away` is why there is none.
let session = null;

function begin(key) {
  session = {
    market: new Market(key),
    // Before everything else: it tells whether the key is good.
    common: { me: part("/api/v1/me", 60_000), markets: part("/api/v1/markets", 5_000, 30_000) },
    tab: "",
    marketId: null,
    parts: {},
    panel: null,
    messages: [],
    stream: null,
    away: null,
    live: false,
  };
  at("door").hidden = true;
  look();
}

function end(why = "") {
  session?.stream?.abort();
  session = null;
  sessionStorage.removeItem(KEY);
  document.title = "Resources · callmarket";
  for (const panel of document.querySelectorAll("[role=tabpanel]")) panel.replaceChildren();
  for (const id of ["tabs", "choice", "forget"]) at(id).hidden = true;
  for (const name of Object.keys(TABS)) at(`panel-${name}`).hidden = true;
  at("door").hidden = false;
  at("notice").hidden = true;
  at("door-why").hidden = !why;
  at("door-why").textContent = why;
  say("waiting", "");
  at("key").focus();
}

// --- what is looked at -----------------------------------------------------------------------------------------------

function wanted() {
  const [tab, ...rest] = location.hash.slice(1).split("/");
  let marketId = null;
  try {
    marketId = rest.length ? decodeURIComponent(rest.join("/")) : null;
  } catch {
    // An address that was typed: no market.
  }
  return { tab: Object.hasOwn(TABS, tab) ? tab : "auction", marketId };
}

function address(tab, marketId) {
  return `#${tab}${marketId === null ? "" : `/${encodeURIComponent(marketId)}`}`;
}

// Choose tab and market as the address says, as far as there are such.
function choose() {
  const { items } = session.common.markets.answer;
  const { tab, marketId } = wanted();
  const names = items.map((market) => market.market_id);
  const chosen = names.includes(marketId) ? marketId : (names[0] ?? null);
  showMarkets(names, chosen, tab);
  showTabs(tab, chosen);
  if (tab === session.tab && chosen === session.marketId) return;
  const otherMarket = chosen !== session.marketId;
  const shown = chosen !== null || !TABS[tab].needsMarket;
  Object.assign(session, { tab, marketId: chosen, parts: shown ? TABS[tab].parts(chosen) : {} });
  session.panel = shown ? new TABS[tab].Panel(at(`panel-${tab}`)) : null;
  if (!shown) nothingYet(tab);
  if (otherMarket) listen();
}

function nothingYet(tab) {
  const words = document.createElement("p");
  words.className = "notice";
  words.textContent = "There is no market yet. As soon as one is opened it is shown here.";
  at(`panel-${tab}`).replaceChildren(words);
}

function showMarkets(names, chosen, tab) {
  const choice = at("market");
  const same =
    choice.options.length === names.length && names.every((name, number) => choice.options[number].value === name);
  if (!same) choice.replaceChildren(...names.map((name) => new Option(name, name)));
  if (chosen !== null) choice.value = chosen;
  at("choice").hidden = names.length === 0 || !TABS[tab].ofMarket;
}

function showTabs(chosen, marketId) {
  at("tabs").hidden = false;
  at("forget").hidden = false;
  document.title = `${marketId ?? "Resources"} · callmarket`;
  for (const name of Object.keys(TABS)) {
    const tab = at(`tab-${name}`);
    tab.setAttribute("aria-selected", String(name === chosen));
    tab.tabIndex = name === chosen ? 0 : -1;
    tab.setAttribute("href", address(name, marketId));
    at(`panel-${name}`).hidden = name !== chosen;
  }
}

// --- the stream ------------------------------------------------------------------------------------------------------

function listen() {
  session.stream?.abort();
  Object.assign(session, { stream: null, live: false, messages: [] });
  if (document.hidden || session.marketId === null) return;
  const mine = session;
  const stream = (mine.stream = new AbortController());
  const kinds = ["round", "award", "slot", "watermark"].map((kind) => `kind=${kind}`).join("&");
  const heard = (event) => {
    if (stream.signal.aborted) return;
    hear(mine, event);
  };
  const changed = (away) => {
    if (stream.signal.aborted) return;
    // A key that was taken away or has expired: with it no stream comes back.
    if (away?.status === 401) return end(away.message);
    Object.assign(mine, { away, live: away === null });
    // Whatever was said while nobody listened: ask.
    if (mine.live) news(mine);
    look();
  };
  mine.market.follow(
    `/api/v1/events?market_id=${encodeURIComponent(mine.marketId)}&${kinds}`,
    stream.signal,
    heard,
    changed,
  );
}

function hear(mine, event) {
  news(mine);
  if (event.kind !== "round" && event.kind !== "award") return;
  const seen = Object.values(mine.parts).map((one) => one.answer?.seq ?? 0);
  mine.messages = kept(mine.messages, JSON.parse(event.data), Math.min(...seen));
  drawSoon();
}

function news(mine) {
  for (const one of [mine.common.markets, ...Object.values(mine.parts)]) one.news = true;
}

// --- asking and drawing ----------------------------------------------------------------------------------------------

function look() {
  if (!session || document.hidden) return;
  const now = Date.now();
  const mine = session;
  const changed = (one) => {
    if (mine !== session) return;
    if (one.trouble?.status === 401) return end(one.trouble.message);
    if (one === mine.common.markets && one.answer) choose();
    look();
    drawSoon();
  };
  askDue(mine.common, mine.market, now, mine.live, changed);
  askDue(mine.parts, mine.market, now, mine.live, changed);
  tellStatus(now);
}

let drawing = false;

// Once for all that comes within a frame.
function drawSoon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    if (!session) return;
    const market = session.common.markets.answer?.items.find((one) => one.market_id === session.marketId);
    session.panel?.show(session.parts, session.messages, Date.now(), tryAgain, market);
    tellStatus(Date.now());
  });
}

function tryAgain() {
  forget(session.common);
  forget(session.parts);
  look();
}

function tellStatus(now) {
  const { common, live, away, marketId } = session;
  const trouble = common.markets.trouble;
  const who = common.me.answer ? ` · key “${common.me.answer.name}”` : "";
  const blind = trouble !== null && common.markets.answer === null;
  at("notice").hidden = !blind;
  at("notice-words").textContent = blind
    ? `${trouble.message}${trouble.leader ? ` The leader is ${trouble.leader}.` : ""} It is asked again by itself.`
    : "";
  if (blind) say("error", "no answer yet");
  else if (live) say("live", `live${who}`);
  else if (marketId === null) say("waiting", `no market yet${who}`);
  else if (away) say("polling", `every 5 s: ${away.message} The live stream comes back by itself.${who}`);
  else say("waiting", `connecting${who}`);
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  at("zone").textContent =
    `Times are local (${zone}) and tell UTC where you point at them. Now ${bothClocks(now, now)}.`;
  at("tables").textContent = followed(Object.values(session.parts).map((one) => one.answer));
}

function say(state, words) {
  const status = at("status");
  status.dataset.state = state;
  if (status.textContent !== words) status.textContent = words;
}

// --- what people do --------------------------------------------------------------------------------------------------

at("door").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = at("key").value.trim();
  at("key").value = "";
  // What cannot go into a header is no key.
  if (!/^[!-~]+$/.test(key)) return end("A key has visible ASCII characters only, without spaces.");
  sessionStorage.setItem(KEY, key);
  begin(key);
});

at("forget").addEventListener("click", () => end());

at("again").addEventListener("click", () => tryAgain());

at("market").addEventListener("change", () => {
  location.hash = address(wanted().tab, at("market").value);
});

at("tabs").addEventListener("keydown", (event) => {
  const names = Object.keys(TABS);
  const now = names.indexOf(wanted().tab);
  const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: names.length - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  const name = names.at(next % names.length);
  location.hash = address(name, session.marketId);
  at(`tab-${name}`).focus();
});

addEventListener("hashchange", () => {
  if (!session?.common.markets.answer) return;
  choose();
  look();
  drawSoon();
});

document.addEventListener("visibilitychange", () => {
  if (!session) return;
  listen();
  // What is on the screen may be hours old.
  if (!document.hidden) tryAgain();
});

// The words count seconds.
setInterval(() => {
  look();
  if (session && !document.hidden) drawSoon();
}, LOOK_MS);

const known = sessionStorage.getItem(KEY);
if (known) begin(known);
else end();
