/**
 * A list's people: "Check" asks the server without leaving the page, so that the chosen file is still chosen when staff confirm.
 * Without this file the same form answers with a page. No dependencies.
 */
for (const form of document.querySelectorAll("form[data-people]")) {
  const result = form.querySelector("[data-result]");
  const people = form.querySelector("[name=people]");
  const file = form.querySelector("[type=file]");
  // Unfold writes a file's name into a text field beside it, which there is not here.
  file.hasChangeListener = true;
  const check = form.querySelector("[name=_check]");

  form.addEventListener("submit", async (event) => {
    if (event.submitter !== check) return;
    event.preventDefault();
    if (check.ariaDisabled === "true") return;
    check.ariaDisabled = "true"; // `disabled` would take the focus from who pressed it
    result.textContent = "Looking them up …";
    try {
      const body = new FormData(form, check);
      const answer = await fetch(form.action, { method: "POST", body, headers: { "X-Requested-With": "fetch" } });
      if (!answer.ok) throw new Error(String(answer.status));
      result.innerHTML = await answer.text(); // our own template, which escapes what was pasted
    } catch {
      result.textContent = "The service did not answer. Nothing was stored; press Check again.";
    } finally {
      check.ariaDisabled = null;
    }
  });

  // The page's own "Save" is for its name; what was pasted here would be gone without a word.
  let isSent = false;
  form.addEventListener("submit", (event) => { isSent = !event.defaultPrevented; });
  addEventListener("beforeunload", (event) => {
    if (isSent || !(people.value.trim() || file.files.length)) return;
    event.preventDefault();
    // Who stays can press it again.
    setTimeout(() => { for (const each of document.querySelectorAll("button[type=submit]:disabled")) each.disabled = false; }, 100);
  });

  // What was checked is no longer what would be added.
  form.addEventListener("input", () => result.replaceChildren());
}
