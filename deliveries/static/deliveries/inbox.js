/**
 * <notify-inbox>: a person's notifications, live. Plain JavaScript, no build step, no dependencies.
 *
 *   <script type="module" src="/static/deliveries/inbox.js"></script>
 *   <notify-inbox token="<jwt>" url="wss://notify.example.com/ws/notifications/" heading="Inbox"></notify-inbox>
 *
 * Attributes
 *   token                the person's JWT. Setting another one connects again.
 *   url                  the WebSocket endpoint; by default /ws/notifications/ of the page's own host.
 *   heading              the title above the list; "Inbox" by default.
 *   token-from-fragment  take the token from the page's #token=… , which browsers send to no server and no log.
 *
 * Events (they bubble, and cross shadow roots)
 *   notify-notification  detail: the frame. After it is shown.
 *   notify-unread        detail: { count }
 *   notify-state         detail: { state }: connecting, live, reconnecting, signed-out
 *                        signed-out means that the token is missing, wrong or expired: set a fresh one.
 *
 * Style it from outside by the custom properties at the top of STYLE. Everything that a server says is written as text,
 * never as HTML. The protocol is docs/realtime.md.
 */

const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 30_000;
const PING_MS = 25_000;
const SILENCE_MS = 60_000;
const CLOCK_MS = 30_000;
const MAX_CARDS = 500;
const UNAUTHORIZED = 4401;

const STATES = {
  connecting: "Connecting…",
  live: "Live",
  reconnecting: "Reconnecting…",
  "signed-out": "Signed out",
};

/** The look of the inbox and its cards; the template editor's preview wears it, too. */
export const STYLE = `
  :host {
    --inbox-accent: #4f46e5; --inbox-surface: #ffffff; --inbox-ground: #f4f4f7; --inbox-text: #18181b;
    --inbox-muted: #5b5b66; --inbox-line: #e2e2e8; --inbox-live: #15803d; --inbox-wait: #b45309;
    display: flex; flex-direction: column; min-height: 0; height: 100%; color: var(--inbox-text);
    background: var(--inbox-ground); font: 16px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
    color-scheme: light dark;
  }
  :host([hidden]) { display: none; }
  @media (prefers-color-scheme: dark) {
    :host {
      --inbox-accent: #a5b4fc; --inbox-surface: #1f1f26; --inbox-ground: #131318; --inbox-text: #f4f4f5;
      --inbox-muted: #a9a9b6; --inbox-line: #33333d; --inbox-live: #4ade80; --inbox-wait: #fbbf24;
    }
  }
  header {
    display: flex; align-items: center; gap: .5rem; padding: .75rem 1rem; background: var(--inbox-surface);
    border-bottom: 1px solid var(--inbox-line);
  }
  h1 { font-size: 1.125rem; line-height: 1.5; margin: 0; font-weight: 650; }
  .badge {
    min-width: 1.5rem; padding: 0 .4rem; border-radius: 1rem; box-sizing: border-box; text-align: center;
    background: var(--inbox-accent); color: var(--inbox-surface); font-size: .8125rem; line-height: 1.5rem; font-weight: 650;
  }
  .state { margin-left: auto; display: flex; align-items: center; gap: .4rem; color: var(--inbox-muted); font-size: .875rem; }
  .state::before { content: ""; width: .55rem; height: .55rem; border-radius: 50%; background: var(--inbox-wait); }
  .state[data-state="live"]::before { background: var(--inbox-live); }
  .list { flex: 1; min-height: 0; overflow-y: auto; padding: .75rem; overscroll-behavior: contain; }
  ul { list-style: none; margin: 0; padding: 0; display: grid; gap: .625rem; }
  li {
    background: var(--inbox-surface); border: 1px solid var(--inbox-line); border-radius: .875rem; padding: .75rem .875rem;
    display: grid; gap: .25rem; overflow-wrap: anywhere; position: relative;
  }
  li.new::before {
    content: ""; position: absolute; inset: .875rem auto .875rem 0; width: 4px; border-radius: 0 4px 4px 0;
    background: var(--inbox-accent);
  }
  @media (prefers-reduced-motion: no-preference) {
    li.arriving { animation: arrive .25s ease-out; }
    @keyframes arrive { from { opacity: 0; transform: translateY(-.5rem); } }
  }
  .top { display: flex; align-items: baseline; gap: .75rem; }
  h2 { font-size: 1rem; margin: 0; font-weight: 600; flex: 1; }
  .urgent { color: var(--inbox-wait); font-weight: 650; font-size: .8125rem; }
  time { color: var(--inbox-muted); font-size: .8125rem; white-space: nowrap; }
  p { margin: 0; white-space: pre-line; }
  .actions { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; margin-top: .375rem; min-height: 2.5rem; }
  button, a.open {
    font: inherit; font-size: .9375rem; font-weight: 550; min-height: 2.5rem; padding: 0 .875rem; border-radius: .625rem;
    box-sizing: border-box; display: inline-flex; align-items: center; cursor: pointer; text-decoration: none;
    border: 1px solid var(--inbox-line); background: transparent; color: var(--inbox-accent);
  }
  button:hover:not([aria-disabled="true"]), a.open:hover { border-color: currentColor; }
  button[aria-disabled="true"] { color: var(--inbox-muted); cursor: default; }
  :focus-visible { outline: 3px solid var(--inbox-accent); outline-offset: 2px; }
  .done { color: var(--inbox-muted); font-size: .875rem; }
  .note { text-align: center; color: var(--inbox-muted); padding: 2.5rem 1.5rem; }
  .note strong { display: block; color: var(--inbox-text); font-size: 1.0625rem; margin-bottom: .25rem; }
  .more { text-align: center; color: var(--inbox-muted); font-size: .875rem; padding: .75rem; }
  .hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
  [hidden] { display: none !important; }
`;

const FRAME = `
  <header>
    <h1></h1>
    <span class="badge" hidden></span>
    <span class="state" role="status"></span>
  </header>
  <div class="list" tabindex="0" role="region" aria-labelledby="heading">
    <div class="note"><strong></strong><span></span></div>
    <ul></ul>
    <div class="more" hidden>Older notifications follow as you acknowledge these.</div>
  </div>
  <div class="hidden" aria-live="polite"></div>
`;

const EMPTY = ["Nothing new", "Notifications appear here the moment they are sent."];
const SIGNED_OUT = ["You are signed out", "Open your inbox again from where you came, to get a fresh link."];

/** The wait before attempt n (from 0): min(100 ms · 2^n + jitter, 30 s). */
export function reconnectDelay(attempt, random = Math.random) {
  const base = FIRST_DELAY_MS * 2 ** Math.min(attempt, 20);
  return Math.min(base + random() * base, MAX_DELAY_MS);
}

/** Only a web address may become a link: a notification must not run a script. */
export function safeLink(text) {
  try {
    const url = new URL(text);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : "";
  } catch {
    return "";
  }
}

/** Words for how long ago something was. */
export function ago(date, now = new Date()) {
  const seconds = Math.max(0, (now - date) / 1000);
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 86_400) return `${Math.round(seconds / 3600)} h ago`;
  return date.toLocaleDateString(undefined, { day: "numeric", month: "short" });
}

/** The card of a notification, as the inbox lists it. */
export function makeCard(frame) {
  const card = document.createElement("li");
  card.className = "new arriving";
  if (frame.priority === "high") add(card, "span", "urgent", "Urgent");
  const top = add(card, "div", "top");
  add(top, "h2", "", frame.title || "Notification");
  const time = add(top, "time", "", ago(new Date(frame.created_at)));
  time.dateTime = frame.created_at;
  time.title = new Date(frame.created_at).toLocaleString();
  if (frame.body) add(card, "p", "", frame.body);
  const actions = add(card, "div", "actions");
  const link = safeLink(frame.action_url);
  if (link) Object.assign(add(actions, "a", "open", "Open"), { href: link, target: "_blank", rel: "noopener noreferrer" });
  const button = add(actions, "button", "", "Acknowledge");
  button.type = "button";
  button.dataset.id = frame.id;
  button.setAttribute("aria-label", `Acknowledge: ${frame.title || frame.body}`);
  return card;
}

class NotifyInbox extends HTMLElement {
  static observedAttributes = ["token", "url", "heading"];

  #parts;
  #cards = new Map(); // notification id → its <li>
  #acknowledging = new Set(); // said by the person, not yet confirmed by the server
  #socket = null;
  #attempt = 0;
  #heardAt = 0;
  #timers = { reconnect: 0, ping: 0, clock: 0, restart: 0 };

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.innerHTML = `<style>${STYLE}</style>${FRAME}`;
    const find = (selector) => root.querySelector(selector);
    this.#parts = {
      heading: find("h1"), badge: find(".badge"), state: find(".state"), list: find(".list"), cards: find("ul"),
      note: find(".note"), more: find(".more"), spoken: find("[aria-live]"),
    };
    this.#parts.heading.id = "heading";
    this.#parts.cards.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-id]");
      if (button) this.#acknowledge(button.dataset.id);
    });
  }

  connectedCallback() {
    this.#parts.heading.textContent = this.getAttribute("heading") || "Inbox";
    addEventListener("online", this.#reconnectNow);
    document.addEventListener("visibilitychange", this.#reconnectNow);
    if (this.hasAttribute("token-from-fragment")) addEventListener("hashchange", this.#restart);
    this.#timers.clock = setInterval(() => this.#updateTimes(), CLOCK_MS);
    this.#restart();
  }

  disconnectedCallback() {
    removeEventListener("online", this.#reconnectNow);
    removeEventListener("hashchange", this.#restart);
    document.removeEventListener("visibilitychange", this.#reconnectNow);
    clearInterval(this.#timers.clock);
    this.#hangUp();
  }

  attributeChangedCallback(name, before, after) {
    if (!this.isConnected || !this.#timers.clock || before === after) return; // no clock yet: connectedCallback follows
    if (name === "heading") {
      this.#parts.heading.textContent = after || "Inbox";
    } else {
      clearTimeout(this.#timers.restart); // token and url set in one go connect once
      this.#timers.restart = setTimeout(this.#restart);
    }
  }

  get #token() {
    if (!this.hasAttribute("token-from-fragment")) return this.getAttribute("token") || "";
    return new URLSearchParams(location.hash.slice(1)).get("token") || "";
  }

  get #url() {
    const url = new URL(this.getAttribute("url") || "/ws/notifications/", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    return url.href;
  }

  // The connection.

  #restart = () => {
    this.#hangUp();
    this.#attempt = 0;
    if (this.#token) {
      this.#setState("connecting");
      this.#connect();
    } else {
      this.#setState("signed-out");
    }
  };

  #reconnectNow = () => {
    if (document.visibilityState === "visible" && this.#timers.reconnect) {
      clearTimeout(this.#timers.reconnect);
      this.#connect();
    }
  };

  #connect() {
    this.#timers.reconnect = 0;
    // The token travels as a subprotocol: in the address it would end up in logs.
    const socket = new WebSocket(this.#url, ["bearer", this.#token]);
    this.#socket = socket;
    socket.onmessage = (event) => {
      this.#heardAt = Date.now();
      for (const line of event.data.split("\n")) this.#hear(JSON.parse(line));
    };
    socket.onclose = (event) => this.#closed(socket, event.code);
    this.#heardAt = Date.now();
    clearInterval(this.#timers.ping);
    this.#timers.ping = setInterval(() => {
      if (Date.now() - this.#heardAt > SILENCE_MS) {
        socket.close();
        this.#closed(socket, 0); // a dead network would keep us waiting for its close
      } else {
        this.#say({ type: "ping" });
      }
    }, PING_MS);
  }

  #closed(socket, code) {
    if (socket !== this.#socket) return;
    this.#hangUp();
    if (code === UNAUTHORIZED) {
      this.#setState("signed-out");
    } else {
      this.#setState("reconnecting");
      this.#timers.reconnect = setTimeout(() => this.#connect(), reconnectDelay(this.#attempt++));
    }
  }

  #hangUp() {
    clearTimeout(this.#timers.reconnect);
    clearInterval(this.#timers.ping);
    this.#timers.reconnect = 0;
    const socket = this.#socket;
    this.#socket = null;
    if (socket) {
      socket.onclose = socket.onmessage = null;
      socket.close();
    }
  }

  #say(frame) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  // What the server says.

  #hear(frame) {
    if (frame.type === "connected") {
      this.#attempt = 0;
      this.#setState("live");
      if (this.#acknowledging.size) this.#say({ type: "ack", notification_ids: [...this.#acknowledging] });
    } else if (frame.type === "notification") {
      this.#show(frame);
    } else if (frame.type === "removed") {
      this.#remove(frame.id);
    } else if (frame.type === "unread") {
      this.#setUnread(frame.count);
    } else if (frame.type === "acked") {
      for (const id of frame.notification_ids) this.#markAcknowledged(id);
    } else if (frame.type === "resync") {
      this.#parts.more.hidden = frame.reason !== "more";
    } else if (frame.type === "error" && frame.code === "not_found") {
      for (const id of frame.notification_ids ?? []) this.#remove(id);
    } else if (frame.type === "error" && frame.code === "unavailable") {
      this.#askAgain();
    }
  }

  #show(frame) {
    if (this.#cards.has(frame.id)) return;
    const card = makeCard(frame);
    this.#cards.set(frame.id, card);
    this.#parts.cards.prepend(card);
    if (this.#cards.size > MAX_CARDS) this.#remove(this.#cards.keys().next().value);
    this.#setNote(EMPTY);
    this.#parts.spoken.textContent = `New notification: ${frame.title || frame.body}`;
    this.#tell("notify-notification", frame);
  }

  #acknowledge(id) {
    if (this.#acknowledging.has(id)) return;
    this.#acknowledging.add(id); // kept until the server confirms, over any reconnect
    const button = this.#cards.get(id)?.querySelector("button");
    if (button) {
      button.textContent = "Acknowledging…";
      button.setAttribute("aria-disabled", "true"); // a disabled button would lose the keyboard's place
    }
    this.#say({ type: "ack", notification_id: id });
  }

  #askAgain() {
    if (!this.#acknowledging.size) return;
    setTimeout(() => this.#say({ type: "ack", notification_ids: [...this.#acknowledging] }), reconnectDelay(5));
  }

  #markAcknowledged(id) {
    this.#acknowledging.delete(id);
    const card = this.#cards.get(id);
    const button = card?.querySelector("button");
    if (!button) return;
    const hadFocus = this.shadowRoot.activeElement === button;
    card.classList.remove("new");
    button.replaceWith(make("span", "done", "✓ Acknowledged"));
    if (hadFocus) (this.#parts.cards.querySelector("button") ?? this.#parts.list).focus();
  }

  #remove(id) {
    this.#acknowledging.delete(id);
    const card = this.#cards.get(id);
    const hadFocus = card?.contains(this.shadowRoot.activeElement);
    card?.remove();
    this.#cards.delete(id);
    this.#setNote(EMPTY);
    if (hadFocus) (this.#parts.cards.querySelector("button") ?? this.#parts.list).focus();
  }

  // What the person sees.

  #setState(state) {
    this.#parts.state.textContent = STATES[state];
    this.#parts.state.dataset.state = state;
    this.#setNote(state === "signed-out" ? SIGNED_OUT : EMPTY);
    this.#parts.note.hidden ||= state === "connecting";
    this.#tell("notify-state", { state });
  }

  #setNote([title, text]) {
    this.#parts.note.children[0].textContent = title;
    this.#parts.note.children[1].textContent = text;
    this.#parts.note.hidden = this.#cards.size > 0;
  }

  #setUnread(count) {
    this.#parts.badge.hidden = count === 0;
    this.#parts.badge.textContent = count > 999 ? "999+" : String(count);
    this.#parts.badge.setAttribute("aria-label", `${count} unread`);
    this.#tell("notify-unread", { count });
  }

  #updateTimes() {
    for (const time of this.#parts.cards.querySelectorAll("time")) time.textContent = ago(new Date(time.dateTime));
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }
}

function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

function add(parent, ...what) {
  const element = make(...what);
  parent.append(element);
  return element;
}

customElements.define("notify-inbox", NotifyInbox);
