/* What the staff pages need beyond Unfold's own scripts: dialogs, copy buttons, local tabs, live figures. No framework, no build.
   Everything is bound by data attributes and delegated from the document, so swapped-in fragments work at once. */
"use strict";
(() => {
  // Dialogs: <button data-dialog="id" data-fill-NAME="…"> opens <dialog id>; each data-fill goes to [data-slot=NAME] inside it.
  function openDialog(button) {
    const dialog = document.getElementById(button.dataset.dialog);
    for (const slot of dialog.querySelectorAll("[data-slot]")) {
      const value = button.dataset["fill" + slot.dataset.slot];
      if (value === undefined) continue;
      if ("value" in slot) slot.value = value;
      else slot.textContent = value;
    }
    dialog.showModal();
  }

  // What was refused comes back as it was typed: ?open=ID&NAME=… opens that dialog again, filled in, the error on it.
  function reopen() {
    const typed = new URLSearchParams(location.search);
    const dialog = document.getElementById(typed.get("open") ?? "");
    if (!dialog?.matches("dialog")) return;
    for (const field of dialog.querySelector("form").elements) {
      if (typed.has(field.name) && field.type !== "hidden") field.value = typed.get(field.name);
    }
    history.replaceState(null, "", location.pathname);
    const told = document.querySelector(".errornote");
    if (told) dialog.querySelector("h2").after(told);
    dialog.showModal();
  }

  async function copy(button) {
    const text = button.dataset.copy || document.getElementById(button.dataset.copyFrom).textContent;
    const label = button.querySelector("[data-label]") || button;
    const before = label.textContent;
    try {
      await navigator.clipboard.writeText(text);
      label.textContent = "Copied";
    } catch {
      // Clipboard access needs https or localhost; the text can still be selected by hand.
      window.prompt("Copy this text", text);
    }
    setTimeout(() => { label.textContent = before; }, 1500);
  }

  // Tabs within a page: [role=tab][aria-controls] in a [role=tablist]; arrow keys move, as ARIA asks for.
  function selectTab(tab) {
    for (const other of tab.closest("[role=tablist]").querySelectorAll("[role=tab]")) {
      const chosen = other === tab;
      other.setAttribute("aria-selected", String(chosen));
      other.tabIndex = chosen ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
    }
    tab.focus();
    tab.dispatchEvent(new Event("tabselect", { bubbles: true }));
  }

  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-dialog], [data-copy], [data-copy-from], [data-close], [role=tab]");
    if (!target) return;
    if (target.dataset.dialog) openDialog(target);
    else if (target.dataset.copy || target.dataset.copyFrom) copy(target);
    else if ("close" in target.dataset) target.closest("dialog").close();
    else selectTab(target);
  });

  // Unfold's account menu, navigation toggles and search are boxes that listen to clicks: the keyboard gets them as buttons.
  function makeButtons() {
    for (const box of document.querySelectorAll("[x-on\\:click]:is(div, span, a:not([href])):not(#changelist-filter-close)")) {
      if (box.querySelector("a[href], button, input")) continue;
      Object.assign(box, { role: "button", tabIndex: 0 });
      box.dataset.madeButton = "";
      if (box.getAttribute("x-on:click").includes("sidebar")) box.ariaLabel = "Show or hide the navigation";
    }
  }

  document.addEventListener("keydown", (event) => {
    if ((event.key !== "Enter" && event.key !== " ") || !("madeButton" in event.target.dataset)) return;
    event.preventDefault();
    event.target.click();
  });

  document.addEventListener("keydown", (event) => {
    const tab = event.target.closest?.("[role=tab]");
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!tab || !step) return;
    const tabs = [...tab.closest("[role=tablist]").querySelectorAll("[role=tab]")];
    selectTab(tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length]);
  });

  // A form sends once: a second click while the answer is on its way does nothing. After a download, or where a script sends it, the page
  // is still there.
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented) return;
    if (event.submitter && "download" in event.submitter.dataset) return;
    for (const each of event.target.elements) if (each.matches("button[type=submit]")) setTimeout(() => { each.disabled = true; });
  });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) for (const button of document.querySelectorAll("button[type=submit]:disabled")) button.disabled = false;
  });

  // Live figures: <div data-live-url data-live-seconds> is replaced by what the address answers, while the page is visible.
  // With data-live-events it is told by server-sent events, and asks only while those do not come.
  const SHADES = ["--color-primary-500", "--color-primary-300", "--color-primary-700", "--ns-ok", "--ns-warn"];
  const SILENCE_MS = 4000;
  const CATCH_UP_MS = 500;
  const shown = new WeakMap(); // part → the HTML it was given, which scripts may have changed since
  let chart = null;
  let pressed = false;
  for (const type of ["pointerdown", "pointerup", "pointercancel"]) {
    document.addEventListener(type, () => { pressed = type === "pointerdown"; }, true);
  }
  function drawChart() {
    const canvas = document.getElementById("ns-chart");
    const source = document.getElementById("ns-chart-data");
    if (!canvas || !source) return;
    const data = JSON.parse(source.textContent);
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    if (chart && chart.canvas !== canvas) { chart.destroy(); chart = null; }
    const given = data.sets ?? [{ label: "Sent", values: data.sent }, { label: "Failed", values: data.failed, tone: "bad" }];
    const sets = given.map((set, index) => ({
      label: set.label, data: set.values,
      backgroundColor: colour(set.tone ? `--ns-${set.tone}` : SHADES[index % SHADES.length]),
    }));
    if (chart && chart.data.datasets.length !== sets.length) { chart.destroy(); chart = null; }
    if (chart) {
      chart.data.labels = data.labels;
      sets.forEach((set, index) => Object.assign(chart.data.datasets[index], set));
      chart.options.scales.y.grid.color = colour("--ns-line");
      chart.update("none");
      return;
    }
    chart = new Chart(canvas, {
      type: "bar",
      data: { labels: data.labels, datasets: sets },
      options: {
        animation: false,
        maintainAspectRatio: false,
        barPercentage: 0.9,
        categoryPercentage: 1,
        maxBarThickness: 48,
        interaction: { mode: "index", intersect: false },
        plugins: { legend: { display: sets.length > 2, labels: { boxWidth: 12, color: colour("--ns-muted") } } },
        scales: {
          x: { stacked: true, border: { display: false }, grid: { display: false },
               ticks: { maxTicksLimit: 7, maxRotation: 0, color: colour("--ns-muted") } },
          y: { stacked: true, beginAtZero: true, suggestedMax: 5, border: { display: false },
               grid: { color: colour("--ns-line") }, ticks: { precision: 0, maxTicksLimit: 5, color: colour("--ns-muted") } },
        },
      },
    });
  }

  function lose(area) {
    area.querySelector("[data-lost-since]").textContent = area.querySelector("[data-read-at]").textContent;
    area.dataset.live = "lost";
  }

  async function refresh(area) {
    if (document.hidden || area.dataset.over !== undefined || isBusy(area)) return;
    let answer;
    try {
      answer = await fetch(area.dataset.liveUrl, { headers: { "X-Requested-With": "fetch" }, redirect: "error" });
    } catch {
      return lose(area);
    }
    if (!answer.ok) return lose(area);
    show(area, await answer.text());
  }

  // Nothing is replaced under somebody's finger, nor behind a dialog.
  function isBusy(area) {
    return pressed || area.querySelector("dialog[open]") !== null;
  }

  function show(area, html) {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    const known = new Set([...area.querySelectorAll("[data-part]")].map((part) => part.dataset.part));
    // What it is about has come so far that the page has parts that it did not have before.
    if ([...fresh.querySelectorAll("[data-part]")].some((part) => !known.has(part.dataset.part))) return location.reload();
    for (const part of area.querySelectorAll("[data-part]")) {
      const next = fresh.querySelector(`[data-part="${part.dataset.part}"]`);
      if (!next || next.innerHTML === (shown.get(part) ?? part.innerHTML)) continue;
      if (part.contains(document.activeElement) && document.activeElement.matches("input")) continue;
      const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
      part.innerHTML = next.innerHTML;
      part.hidden = next.hidden;
      shown.set(part, next.innerHTML);
      if (focused) document.getElementById(focused)?.focus();
    }
    const bell = document.querySelector("[data-bell]");
    const rung = fresh.querySelector("[data-bell]");
    if (bell && rung && bell.innerHTML !== rung.innerHTML) {
      const focused = bell.contains(document.activeElement);
      bell.innerHTML = rung.innerHTML;
      if (focused) bell.querySelector("a")?.focus();
    }
    area.dataset.live = "on";
    drawChart();
    countDown();
  }

  // One stream for each visible tab. The server ends it now and then, and the browser comes back; only longer silence counts.
  function listen(area) {
    let source = null;
    let silence = 0;
    let polling = 0;
    let late = ""; // what came while somebody's finger was down
    const catchUp = () => {
      if (!late || isBusy(area)) return;
      show(area, late);
      late = "";
    };
    setInterval(catchUp, CATCH_UP_MS);
    const poll = () => {
      clearTimeout(silence);
      silence = 0;
      polling ||= setInterval(() => refresh(area), Number(area.dataset.liveSeconds) * 1000);
      refresh(area);
    };
    const heard = () => {
      clearTimeout(silence);
      clearInterval(polling);
      silence = polling = 0;
    };
    const open = () => {
      source = new EventSource(area.dataset.liveEvents);
      source.addEventListener("open", heard);
      source.addEventListener("figures", (event) => { late = event.data; catchUp(); });
      source.addEventListener("over", () => {
        area.dataset.over = "";
        close();
        location.reload(); // what can be done with one that has ended is another page
      });
      source.addEventListener("error", () => {
        if (source?.readyState === EventSource.CLOSED) poll();
        else silence ||= setTimeout(poll, SILENCE_MS);
      });
    };
    const close = () => {
      heard();
      source?.close();
      source = null;
    };
    const attend = () => {
      close();
      if (!document.hidden) open();
    };
    document.addEventListener("visibilitychange", attend);
    addEventListener("pagehide", close);
    addEventListener("pageshow", (event) => { if (event.persisted) attend(); });
    attend();
  }

  // Countdowns: [data-due] holds a moment in seconds, by the server's clock; [data-server-now] is that clock when the page was made, which
  // is when its first byte came, and not when the last script of it had loaded. A browser may keep to itself when that was.
  let ahead = 0;
  function setClock(serverNow) {
    const now = performance.now();
    const [page] = performance.getEntriesByType("navigation");
    const age = now - (page?.responseStart ?? now);
    ahead = serverNow - (Date.now() - age) / 1000;
    countDown();
    setInterval(countDown, 250);
  }
  function countDown() {
    for (const span of document.querySelectorAll("[data-due]")) {
      const left = String(Math.max(0, Math.ceil(Number(span.dataset.due) - Date.now() / 1000 - ahead)));
      if (span.textContent !== left) span.textContent = left;
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    const main = document.getElementById("main");
    if (main) {
      const skip = Object.assign(document.createElement("a"), { className: "ns-skip", href: "#content", textContent: "Skip to the content" });
      document.body.prepend(skip);
      document.getElementById("content")?.setAttribute("tabindex", "-1");
    }
    makeButtons();
    reopen();
    for (const part of document.querySelectorAll("[data-live-url] [data-part]")) shown.set(part, part.innerHTML);
    const clock = document.querySelector("[data-server-now]");
    if (clock) setClock(Number(clock.dataset.serverNow));
    drawChart();
    new MutationObserver(drawChart).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
    const area = document.querySelector("[data-live-url]");
    if (!area) return;
    if (area.dataset.liveEvents) {
      listen(area);
    } else {
      setInterval(() => refresh(area), Number(area.dataset.liveSeconds) * 1000);
      document.addEventListener("visibilitychange", () => refresh(area));
    }
  });
})();
