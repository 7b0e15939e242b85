/**
 * Composing a broadcast (templates/admin/broadcasts/compose/), and reading one that waits for approval. One ES module, no build step.
 *
 * The page is a plain form that saves without this file. Here: it saves itself while somebody writes, asks who gets it after each save,
 * shows the preview of what stands there, and tells what somebody else changed. Parts that the server answers as HTML are its own templates.
 */
import { byId, make, preparePreview, prepareTest, scale, send, showChannels, stale, view } from "../deliveries/preview.js";

const SAVE_MS = 900;
const PREVIEW_MS = 300;
const root = byId("bc");
const form = byId("bc-form"); // none where the broadcast can only be read
const urls = JSON.parse(byId("bc-urls").textContent);
const all = (selector, within = root) => [...within.querySelectorAll(selector)];

// Saving. One after the other: each begins from the revision that the one before it made.

let clean = "";
let saveTimer = 0;
let saving = Promise.resolve();
let conflict = null;
const written = () => new URLSearchParams([...new FormData(form)].filter(([name]) => !["csrfmiddlewaretoken", "revision"].includes(name))).toString();
const isDirty = () => Boolean(form) && written() !== clean;

function tell(text) {
  byId("bc-told").textContent = text;
}

function later() {
  clearTimeout(saveTimer);
  byId("bc-review").inert = true; // what is shown there is of what was saved
  if (!conflict) saveTimer = setTimeout(save, SAVE_MS);
}

/** Save what is not saved yet; resolves when it is, or cannot be. */
function save() {
  clearTimeout(saveTimer);
  saving = saving.then(post);
  return saving;
}

async function post() {
  if (!isDirty()) return void (byId("bc-review").inert = false);
  const before = written();
  tell("Saving…");
  take(await ask(urls.change, new FormData(form)), before);
}

/** Post, and return the answer; what goes wrong is told, and nothing is lost. */
async function ask(url, body) {
  try {
    const reply = await send(url, body);
    if (!reply.ok) throw new Error(`the server answered ${reply.status}`);
    return await reply.json();
  } catch (error) {
    tell(`Not saved: ${error.message}. What you wrote is still here. Sign in again in another tab if need be, then write on.`);
    return null;
  }
}

/** Take over what a save made. `before`: what was written when it was posted. */
function take(answer, before, { force = false } = {}) {
  if (!answer) return;
  tell(answer.told);
  for (const box of all("[data-problem]")) {
    box.textContent = box.dataset.problem.split(" ").flatMap((name) => answer.problems[name] ?? []).join(" ");
  }
  if (answer.conflict) return showConflict(answer.conflict);
  if (!answer.revision) return;
  const isNew = !urls.preview;
  Object.assign(urls, answer.urls);
  form.action = urls.change;
  form.elements.revision.value = answer.revision;
  conflict = null;
  byId("bc-conflict").hidden = true;
  if (isNew) {
    history.replaceState(null, "", urls.change);
    byId("bc-new").textContent = "Draft";
  }
  for (const [name, html] of Object.entries(answer.parts)) replace(byId(`bc-${name}`), html, force);
  clean = written() === before || force ? written() : before;
  if (isDirty()) later();
  else check();
  if (isNew || force) schedulePreview(0);
}

/** Put another part in its place when it asks for other things: what somebody is writing in stays. */
function replace(part, html, force) {
  const fresh = make("template", { innerHTML: html }).content;
  if (force || fresh.firstElementChild.dataset.names !== part.firstElementChild.dataset.names) {
    const keptFocus = part.contains(document.activeElement) ? document.activeElement.name : "";
    const dirty = isDirty();
    part.replaceChildren(fresh);
    if (keptFocus) form.elements[keptFocus]?.focus?.();
    if (!dirty) clean = written();
  }
}

function showConflict(found) {
  conflict = found;
  byId("bc-conflict").hidden = false;
  root.querySelector("[data-who]").textContent = found.sentence;
}

async function showChanges() {
  const shown = byId("bc-changes-shown");
  shown.textContent = "…";
  byId("bc-changes").showModal();
  try {
    const answer = await send(urls.changes, new FormData(form));
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    shown.innerHTML = await answer.text();
  } catch (error) {
    shown.textContent = `The changes cannot be shown: ${error.message}.`;
  }
}

// Who gets it, and who does not. The last good answer stays until there is a better one.

let checking = null;

async function check() {
  if (!urls.check) return;
  checking?.abort();
  const mine = (checking = new AbortController());
  const body = new FormData();
  if (form) body.set("revision", form.elements.revision.value);
  byId("bc-review").setAttribute("aria-busy", "true");
  try {
    const reply = await send(urls.check, body, mine.signal);
    if (!reply.ok) throw new Error(`the server answered ${reply.status}`);
    const answer = await reply.json();
    if (answer.conflict && answer.revision !== form?.elements.revision.value) showConflict(answer.conflict);
    if (answer.too_slow) return notChecked(answer.too_slow);
    if (byId("bc-review").querySelector("dialog[open]")) return;
    byId("bc-review").innerHTML = answer.review;
    if (byId("bc-count")) byId("bc-count").innerHTML = answer.count;
    byId("bc-review").inert = isDirty();
  } catch (error) {
    if (error.name !== "AbortError") notChecked(`Not counted: ${error.message}.`);
  } finally {
    byId("bc-review").removeAttribute("aria-busy");
  }
}

function notChecked(why) {
  byId("bc-review").querySelector("[data-not-checked]")?.remove();
  const note = make("p", { className: "ns-says", textContent: `${why} ` });
  note.dataset.tone = "warn";
  note.dataset.notChecked = "";
  const again = make("button", { type: "button", className: "ns-btn ns-btn--small", textContent: "Count again" });
  again.addEventListener("click", check);
  note.append(again);
  byId("bc-review").querySelector("p.ns-muted:only-child")?.remove();
  byId("bc-review").prepend(note);
  byId("bc-review").inert = false;
  for (const button of all("#bc-decide button")) button.disabled = true; // they belong to what was counted before
}

async function fix(event) {
  event.preventDefault();
  event.stopPropagation();
  const body = new FormData(event.target, event.submitter);
  await save();
  body.set("revision", form.elements.revision.value);
  take(await ask(urls.fix, body), written(), { force: true });
}

async function showPeople(details) {
  const shown = details.querySelector("[data-shown]");
  if (!details.open || shown.childNodes.length) return;
  shown.textContent = "…";
  try {
    const answer = await fetch(details.dataset.people, { redirect: "error" });
    if (!answer.ok && answer.status !== 409) throw new Error(`the server answered ${answer.status}`);
    shown.innerHTML = await answer.text(); // 409: why there is nobody to show
  } catch (error) {
    shown.textContent = `They cannot be shown: ${error.message}.`;
  }
}

// The preview of what stands here, saved or not. The latest question wins.

let previewTimer = 0;
let previewing = null;
let pictures = false;

function question() {
  const body = form ? new FormData(form) : new FormData();
  body.set("as", byId("ed-as").value);
  if (byId("ed-person")) body.set("person", byId("ed-person").value);
  if (pictures) body.set("pictures", "1");
  return body;
}

function schedulePreview(wait = PREVIEW_MS) {
  clearTimeout(previewTimer);
  previewTimer = setTimeout(preview, wait);
}

async function preview() {
  if (!urls.preview) return stale("There is no preview yet: write, or choose a template.");
  previewing?.abort();
  const mine = (previewing = new AbortController());
  try {
    const reply = await send(urls.preview, question(), mine.signal);
    if (reply.status === 429) return schedulePreview(1000 * Number(reply.headers.get("Retry-After") ?? 5));
    if (!reply.ok) throw new Error(`the server answered ${reply.status}`);
    const answer = await reply.json();
    stale(answer.problems.join(" "));
    if (!answer.channels) return;
    byId("ed-whose").textContent = answer.locale ? `Words: ${answer.locale}` : "";
    showChannels(answer, pictures);
    scale();
  } catch (error) {
    if (error.name !== "AbortError") stale(`No new preview: ${error.message}.`);
  }
}

/** Begin with the tab of a channel that it goes over. */
function showChannel(name) {
  for (const tab of all("#ed-channels [role=tab]")) {
    const is = tab.getAttribute("aria-controls") === `ed-show-${name}`;
    tab.setAttribute("aria-selected", String(is));
    tab.tabIndex = is ? 0 : -1;
    byId(tab.getAttribute("aria-controls")).hidden = !is;
  }
}

// Steps: where one is, and what comes next.

function go(step) {
  const steps = all("[data-step]");
  const at = steps.findIndex((each) => each.dataset.step === step);
  steps.forEach((each, index) => (index === at ? each.setAttribute("aria-current", "step") : each.removeAttribute("aria-current")));
  const next = byId("bc-continue");
  next.hidden = at === steps.length - 1;
  if (!next.hidden) next.href = `#${steps[at + 1].dataset.step}`;
}

/** Mark the last step in a band of the window. In a low window even the first begins below it: where none is there, it is the first. */
function followSteps() {
  const inBand = new Set();
  const parts = all(".bc-step");
  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) inBand.add(target);
      else inBand.delete(target);
    }
    go((parts.findLast((part) => inBand.has(part)) ?? parts[0]).id);
  }, { rootMargin: "-25% 0px -70% 0px" });
  for (const part of parts) seen.observe(part);
}

function jump(event, link) {
  const step = byId(link.getAttribute("href").slice(1));
  if (!step) return;
  event.preventDefault();
  view(root, "write");
  step.scrollIntoView({ block: "start" });
  go(step.id);
  const first = step.querySelector("input:checked, input:not([type=hidden], :disabled), select, textarea, button:not(:disabled)");
  first?.focus({ preventScroll: true });
}

// Beginning.

function click(event) {
  const up = event.target.closest("[data-up]");
  const shows = event.target.closest("[data-show]");
  const link = event.target.closest("a[href^='#']");
  if (up) {
    const row = up.closest("li");
    row.previousElementSibling?.before(row);
    up.focus();
    later();
    schedulePreview();
  }
  if (shows) { view(root, shows.dataset.show); scale(); }
  if (event.target.closest("[data-changes]")) showChanges();
  if (link) jump(event, link);
}

function submit(event) {
  if (event.target.matches("[data-fix]")) return fix(event);
  if (event.target !== form) return;
  event.preventDefault();
  event.stopPropagation();
  if (event.submitter?.matches("[data-over]") && conflict) {
    form.elements.revision.value = conflict.revision;
    conflict = null;
    clean = ""; // also what was not touched is kept as it stands here
  }
  save();
}

function listenToForm() {
  form.addEventListener("input", () => { later(); schedulePreview(); });
  form.addEventListener("change", () => { later(); schedulePreview(); });
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "s") {
      event.preventDefault();
      save();
    }
  });
  addEventListener("beforeunload", (event) => { if (isDirty()) event.preventDefault(); });
  clean = written();
  followSteps();
}

root.addEventListener("click", click);
root.addEventListener("submit", submit);
root.addEventListener("toggle", (event) => { if (event.target.matches("[data-people]")) showPeople(event.target); }, true);
for (const button of all("[data-needs-js]")) button.hidden = false;
for (const select of [byId("ed-as"), byId("ed-person")]) select?.addEventListener("input", () => schedulePreview());
preparePreview(() => { pictures = true; schedulePreview(0); });
prepareTest(() => urls.test, question);
showChannel(root.dataset.channel);
if (form) listenToForm();
preview();
check();
