/**
 * "Import contacts": what the buttons answer is put into the page, so that the chosen file stays chosen from the check to the import.
 * Without this file the same form answers with pages. No dependencies.
 */
const form = document.querySelector("form[data-import]");
const result = form.querySelector("[data-result]");
const file = form.querySelector("[type=file]");
const hint = form.querySelector("[data-hint]");
const WAIT = { _check: "Checking every row …", _import: "Importing … Keep this page open." };

// Unfold writes a file's name into a text field beside it, which there is not here.
file.hasChangeListener = true;

form.addEventListener("submit", async (event) => {
  const button = event.submitter;
  if (!(button?.name in WAIT)) return; // the report is a download
  event.preventDefault();
  const body = new FormData(form, button);
  const note = Object.assign(document.createElement("p"), { className: "ns-muted", textContent: WAIT[button.name] });
  const seconds = document.createElement("span");
  seconds.ariaHidden = "true"; // who listens is told once, not every second
  note.append(" ", seconds);
  const started = performance.now();
  const clock = setInterval(() => { seconds.textContent = `${Math.round((performance.now() - started) / 1000)} s`; }, 1000);
  if (button.name === "_import") result.replaceChildren(note);
  else result.prepend(note);
  for (const each of form.querySelectorAll("button")) each.disabled = true;
  try {
    const answer = await fetch(location.pathname, { method: "POST", body, headers: { "X-Requested-With": "fetch" } });
    if (!answer.ok) throw new Error(String(answer.status));
    result.innerHTML = await answer.text(); // our own template, which escapes what the file says
    hint.hidden = result.querySelector("[data-done]") !== null;
    const summary = result.querySelector("[data-summary], [role=alert]");
    summary?.focus({ preventScroll: true });
    summary?.scrollIntoView({ block: "nearest" });
  } catch {
    note.textContent = button.name === "_import"
      ? "The service did not answer. Part of the file may be stored: import it again, nobody is stored twice."
      : "The service did not answer, or the file was changed on disk. Nothing was stored; choose the file and check again.";
    result.replaceChildren(note);
  } finally {
    clearInterval(clock);
    for (const each of form.querySelectorAll("button")) each.disabled = false;
  }
});

// What was checked was another file, or other columns.
file.addEventListener("input", () => {
  result.replaceChildren();
  hint.hidden = false;
});
form.addEventListener("input", (event) => {
  if (event.target.matches("select")) for (const each of form.querySelectorAll("[data-confirm]")) each.remove();
});
