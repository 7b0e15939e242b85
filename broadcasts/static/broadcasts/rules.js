/**
 * The rule builder of a segment (templates/admin/broadcasts/rules_widget.html). One file, no dependencies.
 *
 * The rules live in `state`, in the form that the server takes; the text area that the form sends always holds them. What is drawn anew
 * never holds the control that is in use, so nothing is lost that is typed. What the server says is written as text.
 */
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const DEBOUNCE_MS = 400;
  const root = document.querySelector("[data-rules]");
  if (!root) return;
  const tables = JSON.parse(document.getElementById("bc-rule-tables").textContent);
  const area = root.querySelector("textarea");
  const build = root.querySelector("[data-build]");
  const preview = root.querySelector("[data-preview]");
  const form = area.form;
  const ATTRIBUTES = "attributes.";
  const DEFAULT_RULE = { field: "email", type: "text", op: "is_not_empty" };
  let state;
  try {
    state = JSON.parse(area.value);
  } catch {
    state = null;
  }
  if (!state || !Array.isArray(state.rules)) {
    if (area.value.trim() && area.value.trim() !== "null") return; // JSON of nobody's builder: it is shown as it is
    state = { match: "all", rules: [{ ...DEFAULT_RULE }] };
  }

  function make(tag, properties = {}, ...children) {
    const { data = {}, label, ...own } = properties;
    const element = Object.assign(document.createElement(tag), own);
    Object.assign(element.dataset, data);
    if (label) element.setAttribute("aria-label", label);
    element.append(...children);
    return element;
  }

  function select(options, chosen, properties, onChange) {
    const box = make("select", properties);
    for (const [value, words] of options) box.append(make("option", { value, textContent: words, selected: value === chosen }));
    if (![...box.options].some((option) => option.value === chosen)) box.selectedIndex = 0;
    box.addEventListener("change", () => onChange(box.value, box));
    return box;
  }

  const isGroup = (part) => Array.isArray(part.rules);
  const isAttribute = (rule) => rule.field.startsWith(ATTRIBUTES);
  const wantsOf = (rule) => tables.operators[rule.type]?.[rule.op];
  const count = (group) => group.rules.reduce((sum, part) => sum + 1 + (isGroup(part) ? count(part) : 0), 0);

  function operatorsOf(rule) {
    const all = Object.keys(tables.operators[rule.type] ?? {});
    return rule.field === "user_id" ? all.filter((op) => tables.id_operators.includes(op)) : all;
  }

  /** Keep what still fits after another field, type or operator was chosen. */
  function settle(rule, wantedBefore) {
    if (!isAttribute(rule)) rule.type = tables.fields.find((field) => field.name === rule.field).type;
    if (!operatorsOf(rule).includes(rule.op)) rule.op = operatorsOf(rule)[0];
    const wants = wantsOf(rule);
    if (wants === "nothing") delete rule.value;
    else if (wants !== wantedBefore) rule.value = carriedOver(rule.value, wants);
  }

  function carriedOver(value, wants) {
    const first = Array.isArray(value) ? value[0] : value;
    const text = typeof first === "string" ? first : "";
    switch (wants) {
      case "text": case "entry": return text;
      case "texts": case "entries": return text ? [text] : [];
      case "numbers": return [null, null];
      case "boolean": return true;
      case "moment": case "day": return /^\d{4}-\d\d-\d\d/.test(text) ? text : "";
      case "days": return 30;
      default: return typeof first === "number" ? first : null;
    }
  }

  // Controls

  function valueControl(rule, where) {
    const common = { label: "Value", data: { part: "value", where } };
    const typed = (properties, read) => {
      const box = make("input", { ...common, ...properties });
      box.addEventListener("input", () => { rule.value = read(box); changed(); });
      return box;
    };
    const number = (box) => (box.value === "" ? null : Number(box.value));
    const lines = () => {
      const box = make("textarea", { ...common, rows: 3, value: (rule.value ?? []).join("\n"), placeholder: "One a line" });
      box.addEventListener("input", () => { rule.value = box.value.split("\n").map((line) => line.trim()).filter(Boolean); changed(); });
      return box;
    };
    const date = () => {
      const isPlain = !rule.value || /^\d{4}-\d\d-\d\d$/.test(rule.value);
      return typed({ type: isPlain ? "date" : "text", value: rule.value ?? "" }, (box) => box.value);
    };
    switch (wantsOf(rule)) {
      case "text": case "entry": return typed({ type: "text", value: rule.value ?? "", maxLength: 500 }, (box) => box.value);
      case "texts": case "entries": return lines();
      case "number": return typed({ type: "number", step: "any", value: rule.value ?? "" }, number);
      case "days": return typed({ type: "number", min: 1, step: 1, value: rule.value ?? "" }, number);
      case "moment": case "day": return date();
      case "boolean":
        return select([["true", "yes"], ["false", "no"]], String(rule.value), common, (value) => { rule.value = value === "true"; changed(); });
      case "numbers": {
        const [low, high] = [0, 1].map((place) => {
          const box = make("input", { type: "number", step: "any", value: rule.value?.[place] ?? "", label: place ? "Largest" : "Smallest", data: { part: `value${place}`, where } });
          box.addEventListener("input", () => { rule.value[place] = number(box); changed(); });
          return box;
        });
        return make("span", { className: "bc-two" }, low, "and", high);
      }
      default: return "";
    }
  }

  /** The controls of a rule. What is chosen in one of them decides those after it, which alone are drawn anew. */
  function ruleControls(rule, where) {
    const again = (change) => function chosen(value, box) {
      const before = wantsOf(rule);
      change(value);
      settle(rule, before);
      const fresh = ruleControls(rule, where);
      while (box.nextSibling) box.nextSibling.remove();
      box.after(...fresh.slice(fresh.findIndex((part) => part.dataset?.part === box.dataset.part) + 1));
      changed();
    };
    const fields = [...tables.fields.map((field) => [field.name, field.words]), [ATTRIBUTES, "Attribute …"]];
    const parts = [select(fields, isAttribute(rule) ? ATTRIBUTES : rule.field, { label: "Field", data: { part: "field", where } },
      again((name) => { rule.field = name; }))];
    if (isAttribute(rule)) {
      const key = make("input", { value: rule.field.slice(ATTRIBUTES.length), placeholder: "such as plan", autocomplete: "off", maxLength: 100, label: "Attribute", data: { part: "key", where } });
      key.setAttribute("list", "bc-keys");
      let isTypeOpen = false;
      key.addEventListener("input", () => { rule.field = ATTRIBUTES + key.value; isTypeOpen = true; changed(); });
      const type = select(tables.types.map((each) => [each.name, each.words]), rule.type, { label: "Type", data: { part: "type", where } },
        again((name) => { rule.type = name; isTypeOpen = false; }));
      // An attribute that people have is taken for what it is with them.
      key.addEventListener("change", () => {
        const seen = Object.hasOwn(tables.keys, key.value) ? tables.keys[key.value] : rule.type;
        if (!isTypeOpen || seen === rule.type) return;
        type.value = seen;
        type.dispatchEvent(new Event("change"));
      });
      parts.push(key, type);
    }
    parts.push(select(operatorsOf(rule).map((op) => [op, tables.words[op]]), rule.op, { label: "Comparison", data: { part: "op", where } },
      again((op) => { rule.op = op; })));
    return [...parts, valueControl(rule, where)];
  }

  function drawRule(rule, where, remove) {
    const problem = make("p", { className: "bc-problem", data: { problem: where } });
    return make("div", { className: "bc-rule" }, make("div", { className: "bc-controls" }, ...ruleControls(rule, where)), remove, problem);
  }

  function drawGroup(group, path, depth, remove) {
    const at = (index) => (path ? `${path}.rules[${index}]` : `rules[${index}]`);
    const match = select([["all", "all of these"], ["any", "any of these"]], group.match, { label: "How many of the rules", data: { part: "match", where: path } },
      (value) => { group.match = value; changed(); });
    const head = make("div", { className: "bc-head" }, make("span", { textContent: depth === 1 ? "People who meet" : "Meet" }), match, ...(remove ? [remove] : []));
    const box = make("fieldset", { className: "bc-group", label: depth === 1 ? "Rules" : "Group of rules" }, head);
    group.rules.forEach((part, index) => {
      const where = at(index);
      const away = make("button", { type: "button", className: "ns-btn bc-remove", textContent: "×", label: isGroup(part) ? "Remove this group" : "Remove this rule", title: "Remove", data: { part: "remove", where } });
      away.disabled = depth === 1 && group.rules.length === 1;
      away.addEventListener("click", () => {
        group.rules.splice(index, 1);
        draw();
        focus("remove", at(Math.max(0, index - 1)));
        changed();
      });
      box.append(isGroup(part) ? drawGroup(part, where, depth + 1, away) : drawRule(part, where, away));
    });
    const add = (words, part, focused) => {
      const button = make("button", { type: "button", className: "ns-btn ns-btn--small", textContent: words });
      button.disabled = count(state) + (isGroup(part) ? 2 : 1) > tables.most_rules;
      button.addEventListener("click", () => {
        group.rules.push(structuredClone(part));
        draw();
        focus(focused, at(group.rules.length - 1));
        changed();
      });
      return button;
    };
    const row = make("div", { className: "ns-row" }, add("+ Rule", DEFAULT_RULE, "field"));
    if (depth < tables.most_depth) row.append(add("+ Group", { match: "any", rules: [DEFAULT_RULE] }, "match"));
    box.append(row, make("p", { className: "bc-problem", data: { problem: path } }), make("p", { className: "bc-problem", data: { problem: path ? `${path}.rules` : "rules" } }));
    return box;
  }

  function focus(part, where) {
    build.querySelector(`[data-part="${part}"][data-where="${where}"]`)?.focus();
  }

  function draw() {
    const active = document.activeElement;
    const [part, where] = build.contains(active) ? [active.dataset.part, active.dataset.where] : [];
    build.replaceChildren(drawGroup(state, "", 1));
    if (part) focus(part, where);
    tellProblems(lastProblems);
  }

  // The count and some people: the last good answer stays until there is a better one.

  let timer, asking, lastProblems = [];

  function changed() {
    area.value = JSON.stringify(state);
    preview.dataset.isStale = "";
    clearTimeout(timer);
    timer = setTimeout(ask, DEBOUNCE_MS);
  }

  async function ask() {
    asking?.abort();
    asking = new AbortController();
    const body = new FormData();
    body.set("rules", area.value);
    body.set("tenant", form.elements.tenant?.value ?? root.dataset.tenant ?? "");
    body.set("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
    try {
      const answer = await fetch(root.dataset.previewUrl, { method: "POST", body, signal: asking.signal });
      if (answer.status === 404) return stale("Choose the tenant to see who is in it.");
      if (!answer.ok) throw new Error(String(answer.status));
      show(await answer.json());
    } catch (error) {
      if (error.name !== "AbortError") stale("The service did not answer. Change something to try again.");
    }
  }

  function show({ problems, count: found, sample }) {
    lastProblems = problems;
    tellProblems(problems);
    if (problems.length) {
      const whole = problems.filter((problem) => !problem.path).map((problem) => problem.message).join(" ");
      return stale(whole || "Complete the rules to see who is in it.");
    }
    delete preview.dataset.isStale;
    preview.querySelector("[data-stale]").hidden = true;
    preview.querySelector("[data-count]").textContent = found.toLocaleString("en");
    preview.querySelector("[data-count-words]").textContent = found === 1 ? "person is in it now" : "people are in it now";
    const table = preview.querySelector("[data-sample]");
    table.hidden = !sample.length;
    table.tBodies[0].replaceChildren(...sample.map((person) => make("tr", {}, make("td", {},
      make("a", { className: "ns-link", href: person.url, textContent: person.name }), make("small", { textContent: person.detail })))));
  }

  function stale(words) {
    preview.dataset.isStale = "";
    const note = preview.querySelector("[data-stale]");
    note.textContent = words;
    note.hidden = false;
  }

  function tellProblems(problems) {
    for (const place of build.querySelectorAll("[data-problem]")) place.textContent = "";
    for (const control of build.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
    for (const { path, message } of problems) {
      const [, where, part] = path.match(/^(.*?)\.?(field|type|op|value|match)?(?:\[\d+\])?$/s) ?? [];
      const place = build.querySelector(`[data-problem="${where || path}"]`) ?? build.querySelector('[data-problem=""]');
      place.textContent = `${place.textContent} ${message}`.trim();
      const control = build.querySelector(`[data-part="${part === "field" ? "key" : part}"][data-where="${where}"]`);
      control?.setAttribute("aria-invalid", "true");
    }
  }

  root.append(make("datalist", { id: "bc-keys" }, ...Object.keys(tables.keys).map((value) => make("option", { value }))));
  area.hidden = true;
  build.hidden = preview.hidden = false;
  form.elements.tenant?.addEventListener?.("change", ask);
  draw();
  ask();
});
