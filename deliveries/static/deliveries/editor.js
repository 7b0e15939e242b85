/**
 * The template editor (templates/admin/deliveries/editor/). One ES module, no build step; what it shows of a preview is preview.js's.
 *
 * The page is a plain form that saves without this file. Here: tabs of the languages, line marks, "Insert field", the live preview,
 * saving without leaving, what somebody else changed, the test. Controls of the preview have no name, so they are no part of the form.
 * What the server says is written as text, never as HTML, but for the mail itself, which lives in a sandboxed frame.
 */
import { byId, make, preparePreview, prepareTest, send, showChannels, stale, view } from "./preview.js";

const DEBOUNCE_MS = 300;
const TAG = /\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}/g;
const form = byId("ed-form");
const all = (selector, root = form) => [...root.querySelectorAll(selector)];

// Languages: each section of words becomes a tab.

const panels = () => all("[data-words]", byId("ed-words"));
const part = (panel, name) => panel.querySelector(`[data-part="${name}"]`);
const localeOf = (panel) => part(panel, "locale").value.trim();
const current = () => panels().find((panel) => !panel.hidden) ?? panels()[0];
const isRemoved = (panel) => Boolean(panel.querySelector("[data-remove]")?.checked);
const normal = (locale) => locale.replaceAll("_", "-").toLowerCase();

function panelOf(locale) {
  return panels().find((panel) => normal(localeOf(panel)) === normal(locale));
}

function drawTabs(chosen = current()) {
  const list = byId("ed-tabs");
  list.parentElement.hidden = false;
  list.replaceChildren(...panels().map((panel) => {
    panel.id ||= `ed-words-${panel.dataset.index}`;
    panel.setAttribute("role", "tabpanel");
    panel.hidden = panel !== chosen;
    const locale = localeOf(panel);
    const isDefault = normal(locale) === normal(form.elements.default_locale.value.trim());
    const tab = make("button", { type: "button", textContent: (locale || "?") + (isDefault ? " ★" : "") });
    tab.title = isDefault ? "Default language" : "";
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", panel.id);
    tab.setAttribute("aria-selected", String(panel === chosen));
    tab.tabIndex = panel === chosen ? 0 : -1;
    tab.classList.toggle("ed-removed", isRemoved(panel));
    tab.classList.toggle("ed-bad", problems.some((problem) => problem.locale && normal(problem.locale) === normal(locale)));
    panel.setAttribute("aria-label", locale || "New language");
    return tab;
  }));
  if (chosen) chosen.querySelector("[data-fallback]").textContent = fallbackOf(chosen);
}

/** "pt-BR falls back to pt, then en." */
function fallbackOf(panel) {
  const locale = localeOf(panel);
  const standard = form.elements.default_locale.value.trim();
  if (!locale) return "";
  if (normal(locale) === normal(standard)) return "The default: who has no words in their language reads these.";
  const language = locale.split(/[-_]/)[0];
  const next = [language, standard].filter((each) => normal(each) !== normal(locale) && panelOf(each));
  const order = [...new Set(next)].join(", then ");
  return order ? `Who asks for ${locale} gets this. Without it they would get ${order}.` : "";
}

function choose(panel) {
  drawTabs(panel);
  schedule(0);
}

function addRow(template, prefix, into) {
  const total = form.elements[`${prefix}-TOTAL`];
  const index = Number(total.value);
  const row = template.content.cloneNode(true).firstElementChild;
  for (const field of all("[name]", row)) field.name = field.name.replace(/-\d+-/, `-${index}-`);
  if ("index" in row.dataset) row.dataset.index = index;
  total.value = index + 1;
  into.append(row);
  prepare(row);
  return row;
}

function addLanguage(locale, copyFrom) {
  const known = panelOf(locale);
  if (known) return choose(known);
  const panel = addRow(byId("ed-blank-words"), "contents", byId("ed-words"));
  if (copyFrom) {
    for (const field of all("[data-part]", copyFrom)) {
      if (field.type === "radio") panel.querySelector(`[data-part=body_format][value=${field.value}]`).checked = field.checked;
      else part(panel, field.dataset.part).value = field.value;
    }
  }
  part(panel, "locale").value = locale;
  codes.filter((code) => panel.contains(code.text)).forEach((code) => code.draw());
  choose(panel);
  part(panel, "subject").focus();
}

// Bodies: a textarea over a copy of its lines, which shows numbers, tags and marks. The copy gives the height, so nothing scrolls apart.

const codes = [];

class Code {
  constructor(text) {
    this.text = text;
    this.bad = new Map();
    this.copy = make("div", { className: "ed-copy", ariaHidden: "true" });
    const box = make("div", { className: "ed-code" });
    text.replaceWith(box);
    box.append(this.copy, text);
    this.box = box;
    text.addEventListener("input", () => this.draw());
    this.draw();
  }

  draw() {
    this.copy.replaceChildren(...this.text.value.split("\n").map((line, index) => {
      const row = make("div", { className: "ed-line" });
      let at = 0;
      for (const tag of line.matchAll(TAG)) {
        row.append(line.slice(at, tag.index), make("mark", { textContent: tag[0] }));
        at = tag.index + tag[0].length;
      }
      row.append(line.slice(at) || (at ? "" : "\u200b"));
      if (this.bad.has(index + 1)) {
        row.classList.add("ed-bad");
        row.title = this.bad.get(index + 1);
      }
      return row;
    }));
  }

  mark(found) {
    const before = JSON.stringify([...this.bad]);
    this.bad = new Map(found.map((problem) => [problem.line, problem.message]));
    if (JSON.stringify([...this.bad]) !== before) this.draw();
    this.text.setAttribute("aria-invalid", String(this.bad.size > 0));
  }

  jump(line, column) {
    const lines = this.text.value.split("\n").slice(0, line - 1);
    const start = lines.reduce((sum, each) => sum + each.length + 1, 0) + column - 1;
    this.text.focus({ preventScroll: true });
    this.text.setSelectionRange(start, start);
    this.copy.children[Math.min(line, this.copy.children.length) - 1]?.scrollIntoView({ block: "center" });
  }
}

// Problems: at the foot, each leading to its place.

let problems = []; // what cannot be rendered
let blockers = []; // what renders and cannot be published

function fieldOf(problem) {
  const control = { person: byId("ed-person"), data: byId("ed-data"), default_locale: form.elements.default_locale };
  if (control[problem.part]) return control[problem.part];
  if (problem.part === "variables") return byId("ed-fields").querySelector("input, summary");
  const panel = panelOf(problem.locale) ?? current();
  return panel && problem.part ? part(panel, problem.part) : null;
}

function drawProblems() {
  const box = byId("ed-problems");
  const listed = [...problems, ...blockers];
  box.hidden = listed.length === 0;
  box.dataset.tone = problems.length ? "bad" : "warn";
  byId("ed-problems-title").textContent = (listed.length === 1 ? "1 problem" : `${listed.length} problems`) + (problems.length ? "" : " before it can be published");
  box.querySelector("ol").replaceChildren(...listed.map((problem) => {
    const name = form.querySelector(`[data-part="${CSS.escape(problem.part || "-")}"]`);
    const label = name?.ariaLabel || name?.closest("label")?.querySelector("span")?.textContent || "";
    const place = [problem.locale, label, name?.closest(".ed-code") && `line ${problem.line}, column ${problem.column}`];
    const button = make("button", { type: "button", className: "ns-link" });
    button.append(make("b", { textContent: place.filter(Boolean).join(", ") }), " ", problem.message);
    button.addEventListener("click", () => goTo(problem));
    return make("li", {}, button);
  }));
  for (const code of codes) {
    const panel = code.text.closest("[data-words]");
    code.mark([...problems, ...blockers].filter((problem) => panel && problem.part === code.text.dataset.part && panelOf(problem.locale) === panel));
  }
  for (const field of all("input[data-part]:not([type=radio])")) {
    const panel = field.closest("[data-words]");
    const is = problems.some((each) => each.part === field.dataset.part && panelOf(each.locale) === panel);
    field.setAttribute("aria-invalid", String(is));
  }
  drawTabs();
}

function goTo(problem) {
  view(form, problem.part === "person" || problem.part === "data" ? "preview" : "write");
  const panel = panelOf(problem.locale);
  if (panel && panel !== current()) choose(panel);
  const field = fieldOf(problem);
  if (!field) return;
  for (let box = field.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
  const code = codes.find((each) => each.text === field);
  if (code) return code.jump(problem.line, problem.column);
  field.focus();
  if (field.setSelectionRange && field.type === "text") field.setSelectionRange(problem.column - 1, problem.column - 1);
}

// The preview. The latest question wins; a bad answer leaves the last good one standing.

let timer = 0;
let asking = null;
let pictures = false;
let isOwnData = false;
let lastGood = null;

function question() {
  const body = new FormData(form);
  body.set("locale", current() ? localeOf(current()) : "");
  body.set("as", byId("ed-as").value);
  if (byId("ed-person")) body.set("person", byId("ed-person").value);
  if (isOwnData) body.set("data", byId("ed-data").value);
  if (pictures) body.set("pictures", "1");
  return body;
}

function schedule(wait = DEBOUNCE_MS) {
  clearTimeout(timer);
  timer = setTimeout(ask, wait);
}

async function ask() {
  asking?.abort();
  const mine = (asking = new AbortController());
  try {
    const answer = await send(form.dataset.previewUrl, question(), mine.signal);
    if (answer.status === 429) return schedule(1000 * Number(answer.headers.get("Retry-After") ?? 5));
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    show(await answer.json());
  } catch (error) {
    if (error.name !== "AbortError") stale(`No new preview: ${error.message}. Your words are safe here; are you still signed in?`);
  }
}

function show(answer) {
  const starters = byId("ed-starters");
  const isBlank = starters && !starters.hidden; // nothing is wrong with what nobody has begun
  [problems, blockers] = isBlank ? [[], []] : [answer.problems, answer.blockers];
  drawProblems();
  offer(answer.undeclared ?? []);
  // A preview that was asked for before our own save knows the state that this save made: no conflict.
  if (answer.conflict && answer.conflict.revision !== form.elements.revision.value) showConflict(answer.conflict);
  if (!answer.channels) {
    const why = isBlank ? "begin with one of the messages, or write." : "see the problem below.";
    stale(lastGood ? `The last good preview: ${why}` : `There is no preview yet: ${why}`);
    return;
  }
  stale("");
  lastGood = answer;
  if (!isOwnData) byId("ed-data").value = JSON.stringify(answer.data, null, 2);
  byId("ed-whose").textContent = answer.locale ? `Words: ${answer.locale}` : "";
  showChannels(answer, pictures);
}

// Fields: declared ones, and those that the words use without.

const rows = () => all("[data-field-row]", byId("ed-field-rows")).filter((row) => !row.querySelector("[data-remove]")?.checked);
const fieldValue = (row, name) => row.querySelector(`[data-field="${name}"]`).value.trim();

/** Offer to declare what the words use without saying so, as the server guesses it. */
function offer(undeclared) {
  const box = byId("ed-undeclared");
  if (!box) return;
  const known = new Set(rows().map((row) => fieldValue(row, "name")));
  const missing = undeclared.filter((each) => !known.has(each.name));
  box.hidden = missing.length === 0;
  if (missing.length) byId("ed-fields").open = true;
  box.querySelector("span").textContent = `Used, not declared: ${missing.map((each) => each.name).join(", ")}.`;
  box.querySelector("button").onclick = () => {
    for (const { name, type, sample } of missing) {
      const row = addRow(byId("ed-blank-field"), "fields", byId("ed-field-rows"));
      row.querySelector("[data-field=name]").value = name;
      row.querySelector("[data-field=type]").value = type;
      row.querySelector("[data-field=sample]").value = typeof sample === "string" ? sample : JSON.stringify(sample);
      row.querySelector("[data-field=required]").checked = true;
    }
    byId("ed-fields").open = true;
    box.hidden = true;
    schedule(0);
  };
}

// "Insert field": at the cursor of the field that was written in last.

let target = null;
const isWritable = (field) => field?.matches?.("[data-part]:is(textarea, input:not([type=radio])):not([readonly]):not([disabled])")
  && field.dataset.part !== "locale";

function listFields() {
  const wanted = byId("ed-insert-search").value.trim().toLowerCase();
  const declared = rows().map((row) => ({ name: fieldValue(row, "name"), sample: fieldValue(row, "sample") })).filter((each) => each.name);
  const given = JSON.parse(byId("ed-given").textContent);
  const groups = [["Fields of the job", declared], ["Always there", given]];
  byId("ed-insert-list").replaceChildren(...groups.flatMap(([title, fields]) => {
    const found = fields.filter((each) => each.name.toLowerCase().includes(wanted));
    if (!found.length) return [];
    return [make("p", { className: "ns-muted", textContent: title }), ...found.map((each) => {
      const button = make("button", { type: "button" }, make("code", { textContent: each.name }), make("small", { textContent: each.sample }));
      button.addEventListener("click", () => insert(`{{ ${each.name} }}`));
      return button;
    })];
  }));
}

function insert(text) {
  byId("ed-insert").hidePopover();
  const body = all("[data-code]", current()).find((each) => each.offsetParent);
  const field = target && current().contains(target) && target.offsetParent ? target : body;
  field.focus();
  // The only way to insert that Undo knows of.
  if (!document.execCommand("insertText", false, text)) {
    field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

function openInsert(button) {
  const menu = byId("ed-insert");
  const place = button.getBoundingClientRect();
  menu.showPopover();
  menu.style.left = `${Math.max(8, Math.min(place.left, innerWidth - menu.offsetWidth - 8))}px`;
  menu.style.top = `${Math.max(8, Math.min(place.bottom + 4, innerHeight - menu.offsetHeight - 8))}px`;
  byId("ed-insert-search").value = "";
  listFields();
  byId("ed-insert-search").focus();
}

// Saving, without leaving the page: whatever goes wrong, the words stay.

let clean = "";
const written = () => new URLSearchParams([...new FormData(form)].filter(([name]) => !["csrfmiddlewaretoken", "revision"].includes(name))).toString();
const isDirty = () => !("readonly" in form.dataset) && written() !== clean;

let saving = Promise.resolve();

/** Saves go one after the other: each begins from the revision that the one before it made. */
function save(options) {
  saving = saving.finally(() => post(options));
}

async function post({ publish = false } = {}) {
  const body = new FormData(form);
  const before = written();
  if (publish) body.set("_publish", "1");
  tell("Saving…");
  let answer;
  try {
    const reply = await send(form.action, body);
    if (!reply.ok) throw new Error(`the server answered ${reply.status}`);
    answer = await reply.json();
  } catch (error) {
    tell(`Not saved: ${error.message}. Your words are still here. Sign in again in another tab if need be, then save once more.`);
    return;
  }
  tell(answer.told);
  [problems, blockers] = answer.version ? [[], answer.problems] : [answer.problems, []];
  drawProblems();
  if (answer.conflict) return showConflict(answer.conflict);
  if (!answer.version) return;
  clean = before;
  form.elements.revision.value = answer.revision;
  byId("ed-conflict").hidden = true;
  byId("ed-saved").textContent = `Saved ${new Date().toTimeString().slice(0, 5)}`;
  if (answer.is_published || new URL(answer.url, location.href).pathname !== location.pathname) location.assign(answer.url);
}

function tell(text) {
  byId("ed-told").textContent = text;
}

let conflict = null;

function showConflict(found) {
  conflict = found;
  const box = byId("ed-conflict");
  box.hidden = false;
  box.querySelector("[data-who]").textContent = found.sentence;
  box.querySelector("[data-theirs]").href = found.url;
}

async function showChanges() {
  const shown = byId("ed-changes-shown");
  shown.textContent = "…";
  byId("ed-changes").showModal();
  try {
    const answer = await send(form.dataset.changesUrl, new FormData(form));
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    shown.innerHTML = await answer.text(); // our own template, which escapes the words
  } catch (error) {
    shown.textContent = `The changes cannot be shown: ${error.message}.`;
  }
}

// Beginning.

function prepare(root) {
  for (const text of all("textarea[data-code]", root)) codes.push(new Code(text));
  for (const button of all("[data-needs-js]", root)) button.hidden = false;
}

function listen() {
  form.addEventListener("input", () => { schedule(); if (byId("ed-starters")) byId("ed-starters").hidden = true; });
  form.addEventListener("change", (event) => { if (event.target.matches("[data-part=locale], [data-remove], [name=default_locale]")) drawTabs(); schedule(); });
  form.addEventListener("focusin", (event) => { if (isWritable(event.target)) target = event.target; });
  form.addEventListener("tabselect", (event) => {
    const tab = event.target;
    if (tab.parentElement.id === "ed-tabs") choose(byId(tab.getAttribute("aria-controls")));
  });
  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-insert], [data-show], [data-changes]");
    if (button?.matches("[data-insert]")) openInsert(button);
    if (button?.matches("[data-changes]")) showChanges();
    if (button?.matches("[data-show]")) view(form, button.dataset.show);
  });
  form.addEventListener("submit", (event) => {
    if (event.submitter?.name === "_starter") {
      clean = written();
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    if (event.submitter?.matches("[data-over]") && conflict) form.elements.revision.value = conflict.revision;
    if (event.submitter?.name === "_publish") byId("ed-publish").showModal();
    else save();
  });
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "s" && !("readonly" in form.dataset)) {
      event.preventDefault();
      save();
    }
  });
  addEventListener("beforeunload", (event) => { if (isDirty()) event.preventDefault(); });
  byId("ed-publish-now")?.addEventListener("click", () => { byId("ed-publish").close(); save({ publish: true }); });
  byId("ed-insert-search").addEventListener("input", listFields);
  byId("ed-insert").addEventListener("keydown", moveInMenu);
  byId("ed-language")?.addEventListener("toggle", () => { byId("ed-language-from").textContent = current() ? localeOf(current()) : ""; });
  byId("ed-language-form")?.addEventListener("submit", () => {
    const code = byId("ed-language-code");
    addLanguage(code.value.trim(), byId("ed-language-copy").checked ? current() : null);
    code.value = "";
  });
  const addField = byId("ed-add-field");
  if (addField) {
    addField.hidden = false;
    addField.addEventListener("click", () => addRow(byId("ed-blank-field"), "fields", byId("ed-field-rows")).querySelector("input").focus());
  }
}

function moveInMenu(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const stops = [byId("ed-insert-search"), ...all("button", byId("ed-insert-list"))];
  if (event.key === "Enter" && event.target === stops[0]) {
    event.preventDefault();
    stops[1]?.click();
  }
  if (!step) return;
  event.preventDefault();
  stops[(stops.indexOf(document.activeElement) + step + stops.length) % stops.length].focus();
}

function listenToPreview() {
  preparePreview(() => { pictures = true; schedule(0); });
  byId("ed-data").addEventListener("input", () => { isOwnData = true; byId("ed-data-reset").hidden = false; });
  byId("ed-data-reset").addEventListener("click", () => { isOwnData = false; byId("ed-data-reset").hidden = true; schedule(0); });
}

if (form) {
  // On a phone the words come first: one line says how many problems there are.
  if (matchMedia("(max-width: 639px)").matches) byId("ed-problems").open = false;
  prepare(document);
  listen();
  listenToPreview();
  prepareTest(() => form.dataset.testUrl, question);
  drawTabs(panelOf(form.elements.default_locale.value.trim()) ?? panels()[0]);
  clean = byId("ed-conflict").hidden && byId("ed-problems").hidden ? written() : "";
  schedule(0);
}
