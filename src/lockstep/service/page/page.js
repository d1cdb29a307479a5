// The page: ask the service what a row and the model are, then let a person ask it for predictions.

import { at, el, tell } from "./page.dom.js";
import { inSentence, makeAnswer, makeExplanation, makeTrace } from "./page.answer.js";
import { inBrief, showCard } from "./page.card.js";
import { makeForm } from "./page.form.js";

const ANSWER_WITHIN_S = 15;
const KEPT = "lockstep-token";
const TROUBLE = new Map([
  [413, "That is too much for one request."],
  [429, "The service is busy. Try again in a moment."],
  [503, "The service is not ready. Try again in a moment."],
]);

class Trouble extends Error {
  constructor(message, status = 0, errors = []) {
    super(message);
    this.status = status;
    this.errors = errors;
  }
}

let token = sessionStorage.getItem(KEPT) ?? "";
let form = null, card = null, again = null, asking = false;

/** Ask the service; what is not an answer becomes a Trouble that says so plainly. */
async function ask(path, body) {
  const headers = {
    ...(token && { Authorization: `Bearer ${token}` }), ...(body && { "Content-Type": "application/json" }),
  };
  const how = { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), cache: "no-store" };
  let response, answer;
  try {
    response = await fetch(path, { ...how, signal: AbortSignal.timeout(1000 * ANSWER_WITHIN_S) });
    answer = await response.json();
  } catch (error) {
    const late = error.name === "TimeoutError" && `The service did not answer within ${ANSWER_WITHIN_S} seconds.`;
    const odd = response && `The service answered ${response.status}, and not in JSON.`;
    throw new Trouble(late || odd || "The service cannot be reached. Does it still run?", response?.status);
  }
  if (response.ok) return answer;
  const reason = answer.error ?? "no reason given";
  const said = TROUBLE.get(response.status) ?? `The service answered ${response.status}: ${reason}`;
  throw new Trouble(said, response.status, answer.errors);
}

/** Do something that asks the service; where it wants a token, ask the person for it and do it again. */
async function attempt(action) {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    if (error.status === 401) askForToken(action);
    else if (error.status === 422) refused(error.errors);
    else say(error.message, action);
  }
}

async function begin() {
  const schema = await ask("openapi.json");
  card = await ask("card").catch((error) => {
    if (error.status === 401) throw error;
    return null;  // the form works without it
  });
  const { content } = schema.paths["/predict"].post.requestBody;
  const { schema: body, example } = content["application/json"];
  const row = resolve(schema, resolve(schema, resolve(schema, body).properties.rows).items);
  form = makeForm(row, example?.rows?.[0] ?? {}, card?.inputs);
  document.title = at("title").textContent = schema.info.title;
  if (card) {
    at("about").textContent = inBrief(card);
    showCard(card);
  }
  at("work").hidden = false;
  say("");
}

async function predict() {
  const { row, errors } = form.read();
  if (errors.length) throw new Trouble("", 422, errors);
  const body = { rows: [row] };
  const { predictions: [answer], bento } = await ask("predict", body);
  form.refuse([]);
  say(card && bento !== card.bento ? `Another release answers now, ${bento}. Reload the page to see its card.` : "");
  const why = el("p", { class: "muted" }, "Explaining …");
  at("result").replaceChildren(...makeAnswer(answer, card), why, makeTrace(answer), asCurl(body));
  tell(inSentence(answer));
  show(at("answer"));
  try {
    const { explanations: [explanation] } = await ask("explain", body);
    why.replaceWith(makeExplanation(explanation, row, card?.problem, answer.prediction));
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    why.replaceChildren("What led to it cannot be shown. ", error.message);
  }
}

function refused(errors) {
  say("");
  at("result").replaceChildren(el("p", { class: "muted" }, "No prediction: the row is refused."));
  form.refuse(errors);
}

/** Say what is wrong, with a button that tries again; nothing is wrong where there is no text. */
function say(text, action = null) {
  const button = action && el("button", { type: "button", class: "small" }, "Try again");
  button?.addEventListener("click", () => attempt(action));
  at("notice").replaceChildren(...(text ? [text, " ", button ?? ""] : []));
  at("notice").hidden = !text;
  at("notice").classList.toggle("bad", action !== null);
  if (text) show(at("notice"));
}

function askForToken(action) {
  at("door-error").textContent = token ? "The service does not know this token." : "";
  forget();
  again = action;
  say("");
  at("work").hidden = true;
  at("door").hidden = false;
  at("token").value = "";
  at("token").focus();
}

function forget() {
  token = "";
  sessionStorage.removeItem(KEPT);
}

async function enter() {
  const given = at("token").value.trim();
  if (!/^[\x21-\x7e]+$/.test(given)) {
    at("door-error").textContent = "A token has letters, digits and signs, and no spaces.";
    at("token").focus();
    return;
  }
  token = given;
  sessionStorage.setItem(KEPT, token);
  at("door").hidden = true;
  at("work").hidden = form === null;
  await attempt(again);
}

/** Open what wants the token, which a plain link cannot bring. */
async function open(link) {
  const tab = window.open("", "_blank");
  const response = await fetch(link.href, { headers: { Authorization: `Bearer ${token}` } }).catch(() => null);
  if (tab && response?.ok) {
    tab.location = URL.createObjectURL(new Blob([await response.text()], { type: "text/plain" }));
  } else {
    tab?.close();
    say(`${link.textContent} cannot be shown${response ? `; the service answered ${response.status}` : ""}.`);
  }
}

function asCurl(body) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const words = [
    `curl -s ${quoted(new URL("predict", location.href).href)}`, "-H 'Content-Type: application/json'",
    token && '-H "Authorization: Bearer $LOCKSTEP_TOKEN"', `-d ${quoted(JSON.stringify(body))}`,
  ].filter(Boolean);
  return el("details", {}, el("summary", {}, "The same by curl"), el("pre", { tabindex: "0" }, words.join(" \\\n  ")));
}

function resolve(document, schema) {
  const path = schema.$ref?.split("/").slice(1) ?? [];
  return path.length ? path.reduce((found, key) => found[key], document) : schema;
}

function show(node) {
  const box = node.getBoundingClientRect();
  if (box.top < 0 || box.top > innerHeight * 0.7) node.scrollIntoView({ block: "start" });  // CSS says how smoothly
}

at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (asking) return;
  asking = true;
  at("predict").setAttribute("aria-disabled", "true");
  try {
    await attempt(predict);
  } finally {
    asking = false;
    at("predict").removeAttribute("aria-disabled");
  }
});
at("example").addEventListener("click", () => {
  form.write();
  form.refuse([]);
  tell("The example is filled in");
});
at("door").addEventListener("submit", (event) => {
  event.preventDefault();
  enter();
});
for (const link of document.querySelectorAll("footer a")) {
  link.addEventListener("click", (event) => {
    if (!token) return;
    event.preventDefault();
    open(link);
  });
}
attempt(begin);
