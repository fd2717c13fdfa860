// The page itself: the key, the market, the tabs, the stream, and the moment to ask and to draw.
//
// Rule of this file: it joins. The key is in `sessionStorage` of this tab, and what is looked at is in the address
// (#auction/agents, #markets/h-17), so that a view can be linked and a key cannot.

import * as artifacts from "./artifacts.mjs";
import * as auction from "./auction.mjs";
import * as budgets from "./budgets.mjs";
import { kept } from "./feed.mjs";
import { accountChoice } from "./holdings.mjs";
import { Market } from "./market.mjs";
import { askDue, forget, part } from "./reading.mjs";
import * as research from "./research.mjs";
import * as wallets from "./wallets.mjs";
import { bothClocks, followed } from "./words.mjs";

const TABS = { auction, markets: artifacts, budgets, research, wallets };
const KEY = "callmarket.key";
const LOOK_MS = 1_000;

const at = (id) => document.getElementById(id);
// Whatever is known of the key and of what is looked at: a market for compute, an artifact, whose positions. `stream`
// ends the stream of `streamPath`; `away` is why there is none.
let session = null;

function begin(key) {
  session = {
    market: new Market(key),
    // Before everything else: it tells whether the key is good.
    common: { me: part("/api/v1/me", 60_000), markets: part("/api/v1/markets", 5_000, 30_000) },
    tab: "",
    marketId: null,
    artifactId: null,
    accountId: null,
    parts: {},
    panel: null,
    messages: [],
    stream: null,
    streamPath: null,
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
  let subject = null;
  try {
    subject = rest.length ? decodeURIComponent(rest.join("/")) : null;
  } catch {
    // An address that was typed: no market.
  }
  return { tab: Object.hasOwn(TABS, tab) ? tab : "auction", subject: subject || null };
}

function address(tab, subject) {
  return `#${tab}${subject === null ? "" : `/${encodeURIComponent(subject)}`}`;
}

// What a tab is of: an artifact, or a market for compute. null: there is none yet.
const subjectOf = (tab, { marketId, artifactId }) => (TABS[tab].ofArtifact ? artifactId : marketId);

const ownAccounts = () => (session.common.me.answer?.accounts ?? []).filter((one) => one !== "*");

// Choose the tab, and what it is of, as the address says, as far as there is such.
function choose() {
  const { items } = session.common.markets.answer;
  const { tab, subject } = wanted();
  const { ofArtifact, needsMarket } = TABS[tab];
  const names = items.map((market) => market.market_id);
  const wish = ofArtifact ? session.marketId : subject;
  const chosen = {
    tab,
    marketId: names.includes(wish) ? wish : (names[0] ?? null),
    artifactId: (ofArtifact ? subject : null) ?? session.artifactId,
    accountId: session.accountId ?? ownAccounts()[0] ?? null,
  };
  showMarkets(names, chosen.marketId, tab);
  showTabs(chosen);
  const before = [session.tab, subjectOf(tab, session), ofArtifact && session.accountId];
  const after = [tab, subjectOf(tab, chosen), ofArtifact && chosen.accountId];
  if (session.panel !== null && after.every((one, number) => one === before[number])) return;
  const shown = subjectOf(tab, chosen) !== null || !needsMarket;
  const parts = shown ? TABS[tab].parts(subjectOf(tab, chosen), chosen.accountId) : {};
  Object.assign(session, chosen, { parts });
  session.panel = shown ? new TABS[tab].Panel(at(`panel-${tab}`), { ...chosen, account: accountForm(chosen) }) : null;
  if (!shown) nothingYet(tab);
  if (streamPath() !== session.streamPath) listen();
}

function accountForm({ accountId }) {
  return accountChoice(accountId ?? "", ownAccounts(), (name) => {
    // An empty field is the account of the key again.
    session.accountId = name || null;
    session.panel = null;
    choose();
    look();
    drawSoon();
  });
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

function showTabs(chosen) {
  at("tabs").hidden = false;
  at("forget").hidden = false;
  document.title = `${subjectOf(chosen.tab, chosen) ?? "Resources"} · callmarket`;
  for (const name of Object.keys(TABS)) {
    const tab = at(`tab-${name}`);
    tab.setAttribute("aria-selected", String(name === chosen.tab));
    tab.tabIndex = name === chosen.tab ? 0 : -1;
    tab.setAttribute("href", address(name, subjectOf(name, chosen)));
    at(`panel-${name}`).hidden = name !== chosen.tab;
  }
}

// --- the stream ------------------------------------------------------------------------------------------------------

// What the tab is told of; null if there is nothing yet that it could be told of.
function streamPath() {
  const { tab, marketId, artifactId } = session;
  const { ofArtifact } = TABS[tab];
  if (!ofArtifact && marketId === null) return null;
  const kinds = ofArtifact ? ["artifact", "watermark"] : ["round", "award", "slot", "watermark"];
  const of = ofArtifact ? ["artifact_id", artifactId] : ["market_id", marketId];
  const named = of[1] === null ? [] : [`${of[0]}=${encodeURIComponent(of[1])}`];
  return `/api/v1/events?${[...named, ...kinds.map((kind) => `kind=${kind}`)].join("&")}`;
}

function listen() {
  session.stream?.abort();
  Object.assign(session, { stream: null, streamPath: streamPath(), live: false, messages: [] });
  if (document.hidden || session.streamPath === null) return;
  const mine = session;
  const stream = (mine.stream = new AbortController());
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
  mine.market.follow(mine.streamPath, stream.signal, heard, changed);
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
    if ((one === mine.common.markets || one === mine.common.me) && mine.common.markets.answer) choose();
    if (one === mine.parts.markets && mine.artifactId === null && one.answer?.items.length) {
      // Nobody has chosen: the first.
      mine.artifactId = one.answer.items[0].artifact_id;
      mine.panel = null;
      choose();
    }
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
  const { common, live, away, streamPath: told } = session;
  const trouble = common.markets.trouble;
  const who = common.me.answer ? ` · key “${common.me.answer.name}”` : "";
  const blind = trouble !== null && common.markets.answer === null;
  at("notice").hidden = !blind;
  at("notice-words").textContent = blind
    ? `${trouble.message}${trouble.leader ? ` The leader is ${trouble.leader}.` : ""} It is asked again by itself.`
    : "";
  if (blind) say("error", "no answer yet");
  else if (live) say("live", `live${who}`);
  else if (told === null) say("waiting", `no market yet${who}`);
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
  location.hash = address(name, subjectOf(name, session));
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
