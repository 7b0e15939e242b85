/**
 * The tour page: its buttons, the clock from press to arrival, the mailbox, and the balance. No build step, no dependencies.
 * What servers say is written as text, never as HTML.
 */

const KEPT_RESULTS = 4;
const GIVE_UP_MS = 60_000;
const LOAD_PATIENCE_MS = 240_000;
const LOOK_MS = 150;
const CALM_MS = 2000;
const BUSY_MS = 400;
const BUSY_FOR_MS = 30_000;

const byId = (id) => document.getElementById(id);
/** The token as it is now: whoever logs in, in whatever tab, gets another one. */
const csrf = () => document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1] ?? "";
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** GET JSON. Throws what a person can read. */
async function ask(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`The server answered ${answer.status} to ${path}.`);
  return answer.json();
}

async function post(path, fields = {}) {
  const answer = await fetch(path, { method: "POST", headers: { "X-CSRFToken": csrf() }, body: new URLSearchParams(fields) });
  if (answer.ok) return answer.json();
  const problem = answer.status === 503 ? (await answer.json()).problem : "";
  throw new Error(problem || `The server answered ${answer.status} to ${path}.`);
}

/** Ask again and again until `enough` says so. Throws after a while, saying what was waited for. */
async function until(path, enough, what, patience = GIVE_UP_MS) {
  const end = performance.now() + patience;
  while (performance.now() < end) {
    const answer = await ask(path);
    if (enough(answer)) return answer;
    await wait(LOOK_MS);
  }
  throw new Error(`${what} took longer than ${span(patience)}. Look at the staff pages.`);
}

function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

/** A line in one of the page's lists of results, the newest on top. */
class Result {
  constructor(text) {
    this.row = make("li");
    this.chip = make("span", "chip", "…");
    this.what = make("span", "what", text);
    this.row.append(this.chip, this.what);
  }

  static newest(list, text) {
    const result = new Result(text);
    list.prepend(result.row);
    while (list.children.length > KEPT_RESULTS) list.lastChild.remove();
    return result;
  }

  /** A line that belongs to this one, below it. */
  part(text) {
    this.parts ??= this.row.appendChild(make("ol", "parts"));
    const result = new Result(text);
    this.parts.append(result.row);
    return result;
  }

  say(word, tone, text, small = "") {
    this.chip.textContent = word;
    this.chip.dataset.tone = tone;
    this.what.textContent = text;
    if (small) this.what.append(make("small", "", small));
  }

  time(ms, text) {
    this.what.replaceChildren(make("span", "time", span(ms)), ` ${text}`);
  }

  link(label, page) {
    const button = make("button", "", label);
    button.type = "button";
    button.addEventListener("click", () => openAsStaff(page));
    this.what.after(button);
  }

  /** How a job stands: over, or waiting because staff hold its channel. */
  job(job, text, small = "") {
    this.say(job.held ? "On hold" : job.word, job.held ? "warn" : job.tone, job.held || text, small);
    this.link("Open its timeline", job.page);
  }

  fail(error) {
    this.say("Did not work", "bad", error.message);
  }
}

const span = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);
const isSettled = (job) => job.is_over || job.held;

/** Opens a staff page in a new tab, logged in as admin: a POST, since it changes who one is. */
function openAsStaff(page) {
  const form = byId("as-staff");
  form.elements.next.value = page;
  form.requestSubmit();
}

document.addEventListener("submit", ({ target }) => {
  target.elements.csrfmiddlewaretoken.value = csrf();
});

/** Runs what a button does, once at a time. The button keeps the focus, which a disabled one would lose. */
function onPress(id, list, text, act) {
  const button = byId(id);
  button?.addEventListener("click", async () => {
    if (button.ariaDisabled === "true") return;
    button.ariaDisabled = "true";
    const result = Result.newest(byId(list), text);
    try {
      await act(result, performance.now());
    } catch (error) {
      result.fail(error);
    } finally {
      button.ariaDisabled = "false";
    }
  });
}

// The phone tells when a notification is on it. It may be there before the server has answered our press.

const arrivals = new Map();
const expected = new Map();

byId("phone").addEventListener("notify-notification", ({ detail }) => {
  const at = performance.now();
  arrivals.set(detail.job_id, at);
  expected.get(detail.job_id)?.(at);
});

function arrival(jobId) {
  return new Promise((resolve, reject) => {
    if (arrivals.has(jobId)) return resolve(arrivals.get(jobId));
    const timer = setTimeout(() => reject(new Error("It is not on the phone after a minute. Is the phone live?")), GIVE_UP_MS);
    expected.set(jobId, (at) => {
      clearTimeout(timer);
      expected.delete(jobId);
      resolve(at);
    });
  });
}

onPress("send-ws", "sent", "On its way to the phone …", async (result, pressed) => {
  const { job_id: id } = await post("/demo/send/", { channel: "ws" });
  const arrived = arrival(id);
  arrived.catch(() => {}); // it is awaited later, or not at all while the channel is on hold
  const job = await until(`/demo/jobs/${id}/`, isSettled, "Its row");
  result.job(job, "");
  if (!job.held) result.time((await arrived) - pressed, "from your press to the phone");
});

onPress("send-email", "sent", "On its way to the mailbox …", async (result) => {
  const { job_id: id } = await post("/demo/send/", { channel: "email" });
  const job = await until(`/demo/jobs/${id}/`, isSettled, "The mail");
  result.job(job, "");
  if (job.held) return;
  result.time(job.milliseconds, "from accepted to handed over");
  await showMails(true);
});

onPress("send-bad", "judged", "On the topic …", async (result) => {
  const { bad, before, after } = await post("/demo/bad/", { job: byId("bad-job").value });
  const place = `partition ${bad.partition}, offset ${bad.offset}`;
  const judged = await until(`/demo/records/${bad.partition}/${bad.offset}/`, (answer) => answer.is_refused || isSettled(answer), "The job");
  if (judged.is_refused) {
    result.say("Refused", "bad", judged.sentence, `${judged.title}; ${place}`);
    result.link("Show it under Undeliverable", judged.page);
  } else {
    result.job(judged, "This one is a job like any other.", place);
  }
  for (const [name, id] of [["before", before], ["after", after]]) {
    const neighbour = result.part(`The neighbour ${name} it, on its way …`);
    const job = await until(`/demo/jobs/${id}/`, isSettled, "The neighbour");
    neighbour.job(job, `The neighbour ${name} it`);
  }
});

for (const button of document.querySelectorAll("[data-bad]")) {
  button.addEventListener("click", () => {
    byId("bad-job").value = button.dataset.bad;
    byId("bad-job").focus();
  });
}

// Breaking things, and the balance.

let busyUntil = 0;

onPress("stop-a-sender", "broken", "Loading the topic …", async (result) => {
  const load = await post("/demo/stop-a-sender/");
  follow(result, load, "Killed", `A sender was killed by SIGKILL amid ${load.jobs.toLocaleString()} jobs and is started again.`);
});

onPress("wipe-redis", "broken", "Loading the topic …", async (result) => {
  const load = await post("/demo/wipe-redis/");
  follow(result, load, "Wiped", `All ${load.keys} keys of Redis were deleted amid ${load.jobs.toLocaleString()} jobs.`);
});

/** Says how many of a load have arrived, until it is over. Meanwhile the button may be pressed again. */
async function follow(result, { load, jobs }, word, text) {
  busyUntil = performance.now() + BUSY_FOR_MS;
  const tell = ({ arrived, over, unaccounted }) => {
    const isOver = over >= jobs;
    const count = `${arrived.toLocaleString()} of ${jobs.toLocaleString()} arrived`;
    const isWell = arrived === jobs && unaccounted === 0;
    result.say(word, isOver ? (isWell ? "ok" : "bad") : "warn", `${text} ${count}${isOver ? `, unaccounted ${unaccounted}.` : " …"}`);
    return isOver;
  };
  try {
    await until(`/demo/loads/${load}/`, tell, "The load", LOAD_PATIENCE_MS);
  } catch (error) {
    result.fail(error);
  }
}

onPress("break-provider", "broken", "Sending mails …", async (result) => {
  const load = await post("/demo/break-provider/");
  byId("break-provider").textContent = load.is_broken ? "Mend provider A" : "Break provider A";
  if (load.is_broken) {
    follow(result, load, "Broken", `Provider A refuses everything amid ${load.jobs} mails, and provider B takes over. The bell of the staff pages says so.`);
  } else {
    result.say("Mended", "ok", "Provider A works again. A probe finds out within seconds.");
  }
});

async function showStatus() {
  const { balance, processes } = await ask("/demo/status/");
  for (const figure of document.querySelectorAll("[data-figure]")) {
    figure.textContent = balance[figure.dataset.figure].toLocaleString();
  }
  document.querySelector(".verdict").dataset.tone = balance.unaccounted === 0 ? "ok" : "bad";
  byId("processes").replaceChildren(...processes.map(processRow));
}

function processRow(process) {
  const row = make("tr");
  const life = process.is_running ? (process.seconds < 120 ? `${process.seconds} s` : `${Math.round(process.seconds / 60)} min`) : "starting again";
  for (const text of [process.title, process.pid, life, process.restarts]) row.append(make("td", "", String(text)));
  return row;
}

// The mailbox.

let openMail = "";
let listed = "";

async function showMails(openNewest = false) {
  const { mails } = await ask("/demo/mailbox/");
  const keys = mails.map((mail) => mail.key).join();
  if (keys !== listed) {
    listed = keys;
    const focused = document.activeElement?.dataset?.key;
    byId("mails").replaceChildren(...mails.map(mailRow));
    document.querySelector(`[data-key="${CSS.escape(focused ?? "")}"]`)?.focus();
  }
  byId("mails").hidden = mails.length === 0;
  byId("mail-empty").hidden = mails.length > 0;
  if (mails.length && (openNewest || !openMail)) showMail(mails[0]);
  mark();
}

function mailRow(mail) {
  const button = make("button");
  const at = new Date(mail.at);
  const time = make("time", "", at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  time.dateTime = mail.at;
  button.type = "button";
  button.dataset.key = mail.key;
  button.append(make("b", "", mail.subject), make("span", "", mail.to), time);
  button.addEventListener("click", () => showMail(mail));
  const item = make("li");
  item.append(button);
  return item;
}

function showMail(mail) {
  openMail = mail.key;
  const [to, from] = byId("mail-head").querySelectorAll("dd");
  to.textContent = mail.to;
  from.textContent = mail.from;
  byId("mail-head").hidden = byId("mail-frame").hidden = false;
  byId("mail-leave").hidden = !mail.unsubscribe;
  byId("mail-leave").querySelector("a").href = mail.unsubscribe || "#";
  byId("mail-frame").title = `The mail: ${mail.subject}`;
  byId("mail-frame").src = `/demo/mailbox/${mail.key}/`;
  mark();
}

function mark() {
  for (const button of document.querySelectorAll("#mails [data-key]")) {
    button.setAttribute("aria-current", String(button.dataset.key === openMail));
  }
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(byId(button.dataset.copy).textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}

/** Keeps figures and mailbox fresh while somebody looks. A server that is away for a moment is asked again. */
async function keepFresh() {
  for (;;) {
    if (document.visibilityState === "visible") {
      try {
        await Promise.all([showStatus(), showMails()]);
        document.body.dataset.server = "there";
      } catch (error) {
        document.body.dataset.server = "away";
        console.warn("The page is not fresh:", error.message);
      }
    }
    await wait(performance.now() < busyUntil ? BUSY_MS : CALM_MS);
  }
}

keepFresh();
