/**
 * A list's people: "Check" asks the server without leaving the page, so that the chosen file is still chosen when staff confirm.
 * Without this file the same form answers with a page. No dependencies.
 */
for (const form of document.querySelectorAll("form[data-people]")) {
  const result = form.querySelector("[data-result]");
  // Unfold writes a file's name into a text field beside it, which there is not here.
  for (const file of form.querySelectorAll("[type=file]")) file.hasChangeListener = true;
  const check = form.querySelector("[name=_check]");

  form.addEventListener("submit", async (event) => {
    if (event.submitter !== check) return;
    event.preventDefault();
    check.disabled = true;
    result.textContent = "Looking them up …";
    try {
      const body = new FormData(form, check);
      const answer = await fetch(form.action, { method: "POST", body, headers: { "X-Requested-With": "fetch" } });
      if (!answer.ok) throw new Error(String(answer.status));
      result.innerHTML = await answer.text(); // our own template, which escapes what was pasted
    } catch {
      result.textContent = "The service did not answer. Nothing was stored; press Check again.";
    } finally {
      check.disabled = false;
    }
  });

  // What was checked is no longer what would be added.
  form.addEventListener("input", () => result.replaceChildren());
}
