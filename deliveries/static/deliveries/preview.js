/**
 * What each channel would show, and sending a test: the part that the template editor and the compose page of broadcasts share
 * (templates/admin/deliveries/editor/_preview.html, _test.html). Who asks, when, and with which words is theirs.
 *
 * What the server says is written as text, never as HTML, but for the mail itself, which lives in a sandboxed frame.
 */
import { STYLE as CARD_STYLE, makeCard } from "./inbox.js";

const DESKTOP_PIXELS = 700;
const cardRoot = document.getElementById("ed-card")?.attachShadow({ mode: "open" });
const all = (selector) => [...document.querySelectorAll(selector)];

export const byId = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Post with the token of now: it changes when somebody signs in again in another tab. Raises for a redirect to the login, too. */
export async function send(url, body, signal) {
  const token = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1];
  const headers = { Accept: "application/json", ...(token && { "X-CSRFToken": token }) };
  if (token) body.delete("csrfmiddlewaretoken");
  return fetch(url, { method: "POST", body, signal, headers, redirect: "error" });
}

/** Say why the last good preview is still shown; "" for a fresh one. */
export function stale(why) {
  const note = byId("ed-stale");
  note.hidden = !why;
  note.textContent = why;
  byId("ed-preview").classList.toggle("ed-old", Boolean(why));
}

/** Show an answer's channels. `pictures`: those from elsewhere were asked for. */
export function showChannels(answer, pictures) {
  const { email, push, sms, ws, webhook } = answer.channels;
  write("mail", email);
  for (const field of all("[data-reply]")) field.hidden = !email.reply_to;
  frame(answer.frame ?? plain(email.text));
  byId("ed-pictures").hidden = pictures || !email.remote_pictures;
  byId("ed-pictures").firstElementChild.textContent =
    `${email.remote_pictures} picture${email.remote_pictures === 1 ? "" : "s"} from elsewhere not loaded.`;
  write("push", push);
  byId("ed-push-note").textContent = push.problem || `Phones cut what is longer. ${push.size.toLocaleString("en")} of ${push.most.toLocaleString("en")} bytes.`;
  write("sms", sms);
  showCost(sms);
  const card = makeCard({ ...ws, id: "preview", created_at: new Date().toISOString() });
  card.classList.remove("arriving");
  cardRoot.querySelector("ul").replaceChildren(card);
  byId("ed-hook-headers").textContent = Object.entries(webhook.headers).map((pair) => pair.join(": ")).join("\n");
  write("webhook", webhook);
}

function write(channel, values) {
  for (const field of all(`[data-${channel}]`)) field.textContent = values[field.dataset[channel]] ?? "";
}

function plain(text) {
  const page = make("pre", { textContent: text });
  page.style.cssText = "font:15px/1.5 system-ui,sans-serif;white-space:pre-wrap;overflow-wrap:anywhere;margin:16px";
  return page.outerHTML;
}

function frame(html) {
  if (byId("ed-frame").srcdoc !== html) byId("ed-frame").srcdoc = html;
}

function showCost(sms) {
  byId("ed-sms-parts").textContent = sms.parts;
  const left = Math.max(0, sms.per_part * sms.parts - sms.units);
  byId("ed-sms-units").textContent = `${sms.units}; ${left} left in ${sms.parts > 1 ? "the last segment" : "this segment"}`;
  const note = byId("ed-sms-note");
  note.hidden = !(sms.problem || sms.costly.length);
  note.textContent = sms.problem || `${sms.costly.slice(0, 8).map((each) => `“${each}”`).join(" ")} ${sms.costly.length === 1 ? "is" : "are"} not in GSM-7: the whole text travels as UCS-2, 70 characters to a segment in place of 160.`;
}

/** A desktop mail is shown whole, made smaller where there is no room for it. */
export function scale() {
  const box = byId("ed-mail");
  const device = box.querySelector(".ed-device");
  const is = box.dataset.width === "desktop";
  device.style.setProperty("--ed-scale", is ? Math.min(1, box.clientWidth / DESKTOP_PIXELS) : 1);
}

/** On a narrow screen one pane is shown at a time. */
export function view(root, name) {
  root.dataset.view = name;
  for (const each of all("[data-show]")) each.setAttribute("aria-pressed", String(each.dataset.show === name));
  scale();
}

/** Bind the preview's own controls. `loadPictures` is called when pictures from elsewhere are asked for. */
export function preparePreview(loadPictures) {
  byId("ed-as").addEventListener("change", () => {
    if (byId("ed-person")) byId("ed-person").hidden = byId("ed-as").value !== "person";
    if (byId("ed-as").value === "person") byId("ed-person").focus();
  });
  byId("ed-pictures").querySelector("button").addEventListener("click", loadPictures);
  document.addEventListener("tabselect", (event) => {
    if (event.target.dataset.width) {
      byId("ed-mail").dataset.width = event.target.dataset.width;
      byId("ed-mail").hidden = false;
    }
    scale();
  });
  new ResizeObserver(scale).observe(byId("ed-mail"));
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`${CARD_STYLE} :host { height: auto; border-radius: 12px; overflow: hidden; }`);
  cardRoot.adoptedStyleSheets = [sheet];
  cardRoot.append(make("div", { className: "list" }, make("ul")));
}

// The test: what stands here, with the preview's values, sent for good to one address.

const TEST_HINTS = {
  email: "Any address.", sms: "Any number in the international form, like +4915112345678.",
  push: "A contact, by name, address or user id: goes to all their devices.",
  ws: "A contact, by name, address or user id: goes to their inbox.", webhook: "A contact, by name, address or user id: goes to their endpoint.",
};

/** Bind the test's dialog. `url` gives the address, `question` what stands in the page. */
export function prepareTest(url, question) {
  const test = byId("ed-test-form");
  if (!test) return;
  const { channel, to } = test.elements;
  const mine = to.value;
  const hint = () => { byId("ed-test-hint").textContent = TEST_HINTS[channel.value]; };
  channel.addEventListener("change", () => { hint(); if (channel.value === "sms" && to.value === mine) to.value = ""; });
  hint();
  test.addEventListener("submit", async (event) => {
    event.preventDefault();
    event.stopPropagation();
    const told = byId("ed-test-told");
    const button = test.querySelector("[type=submit]");
    const body = question();
    body.set("channel", channel.value);
    body.set("to", to.value);
    told.hidden = false;
    told.textContent = "Sending…";
    button.disabled = true;
    try {
      const reply = await send(url(), body);
      if (!reply.ok && reply.status !== 429) throw new Error(`the server answered ${reply.status}`);
      const answer = await reply.json();
      told.dataset.tone = answer.is_sent ? "ok" : "bad";
      told.textContent = `${answer.told} `;
      if (answer.url) told.append(make("a", { className: "ns-link", href: answer.url, target: "_blank", textContent: "Open its timeline" }));
    } catch (error) {
      told.dataset.tone = "bad";
      told.textContent = `Not known to be sent: ${error.message}. Look under Deliveries before you send it again.`;
    }
    button.disabled = false;
  });
}
