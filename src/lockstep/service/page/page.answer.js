// Show a prediction: what it is, how sure, what is unusual about the row, and what each input added to the score.

import { bar, breakable, copyable, el, number, percent, signed } from "./page.dom.js";
import { inWords } from "./page.words.js";

const SHOWN = 10;
const CLASSES_SHOWN = 8;

/** Return the parts of an answer; `card` may be null. */
export function makeAnswer(answer, card) {
  const chances = Object.entries(answer.probabilities ?? {});
  return [
    headline(answer, card, chances),
    chances.length ? likelihoods(answer, card, chances) : standing(answer, card),
    answer.warnings?.length ? unusual(answer.warnings) : null,
  ].filter(Boolean);
}

/** Return in one sentence what was predicted. */
export function inSentence(answer) {
  const chance = new Map(Object.entries(answer.probabilities ?? {})).get(answer.prediction);
  const text = chance === undefined ? number(answer.prediction, 6) : `${answer.prediction}, ${percent(chance)}`;
  const n = answer.warnings?.length ?? 0;
  return `Prediction: ${text}.${n ? ` ${n} unusual ${n === 1 ? "value" : "values"}.` : ""}`;
}

export function makeTrace(answer) {
  return el("dl", { class: "trace" },
    el("dt", {}, "Prediction id"), el("dd", {}, copyable(answer.prediction_id, "the prediction id")),
    el("dt", {}, "What stands behind it"),
    el("dd", {}, copyable(`lockstep trace ${answer.prediction_id}`, "the command that traces it")),
  );
}

/** Return the chart of contributions, and the same as a table, for the class that is asked for. */
export function makeExplanation(explanation, row, problem, prediction) {
  const values = new Map(Object.entries(row));
  const place = el("div");
  const show = (raw) => place.replaceChildren(...contributions(raw, values, problem));
  const start = Math.max(0, explanation.raw.findIndex((raw) => raw.class === prediction));
  show(explanation.raw[start]);
  const title = el("h3", {}, "What led to it");
  if (explanation.raw.length < 2) return el("div", { class: "why" }, title, place);
  const menu = el("select", { id: "score-of" }, explanation.raw.map((raw, i) => el("option", { value: i }, raw.class)));
  menu.value = String(start);
  menu.addEventListener("change", () => show(explanation.raw[Number(menu.value)]));
  const label = el("label", { for: "score-of" }, "Score of the class");
  return el("div", { class: "why" }, title, el("p", { class: "choice" }, label, menu), place);
}

function headline(answer, card, chances) {
  const chance = new Map(chances).get(answer.prediction);
  return el("p", { class: "headline" },
    el("span", { class: "what" }, card?.target ?? "prediction"),
    el("strong", {}, chances.length ? answer.prediction : number(answer.prediction, 6)),
    chance === undefined ? null : el("span", { class: "chance" }, percent(chance)),
  );
}

function likelihoods(answer, card, chances) {
  const threshold = card?.decision?.threshold;
  const positive = threshold === undefined ? null : card.classes[1];
  const sorted = chances.length > 2 ? chances.toSorted(([, a], [, b]) => b - a) : chances;
  const rest = sorted.slice(CLASSES_SHOWN);
  const items = sorted.slice(0, CLASSES_SHOWN).map(([name, chance]) => {
    const track = bar(chance, name === answer.prediction ? "chosen" : "");
    if (name === positive && threshold <= 1) {
      const tick = el("span", { class: "tick" });
      tick.style.left = `${100 * threshold}%`;
      track.append(tick);
    }
    return el("li", {}, el("span", { class: "name" }, name), track, el("span", { class: "figure" }, percent(chance)));
  });
  if (rest.length) {
    const left = rest.reduce((sum, [, chance]) => sum + chance, 0);
    items.push(el("li", {}, el("span", { class: "name muted" }, `${rest.length} others`), bar(left),
      el("span", { class: "figure" }, percent(left))));
  }
  return el("div", {},
    el("h3", { class: "unseen" }, "Probabilities"), el("ul", { class: "chances" }, items),
    positive !== null && el("p", { class: "help" }, threshold <= 1
      ? `${positive} is predicted from ${percent(threshold)} on: the decision threshold, chosen in training.`
      : `${positive} is never predicted: at the costs that were given, no probability is high enough.`),
  );
}

/** Say where a number stands among the predictions of the test rows. */
function standing(answer, card) {
  const deciles = card?.deciles ?? [];
  if (!deciles.length) return null;
  const below = deciles.filter((decile) => decile <= answer.prediction).length;
  const cells = Array.from({ length: deciles.length + 1 }, (_, i) => el("span", { class: i === below ? "here" : "" }));
  const range = `${number(deciles[0])} to ${number(deciles.at(-1))}`;
  const text = below === 0 ? "Among the lowest tenth of the predictions for the test rows"
    : below === deciles.length ? "Among the highest tenth of the predictions for the test rows"
      : `Higher than about ${below} in 10 of the predictions for the test rows`;
  return el("div", {},
    el("div", { class: "tenths", "aria-hidden": "true" }, cells),
    el("p", { class: "help" }, `${text}; eight in ten lie within ${range}.`));
}

function unusual(warnings) {
  const usual = (rule) => inWords(rule).replace(/^must be /, "is usually ").replace(/^must /, "should usually ");
  const items = warnings.map(({ field, rule, found }) => (
    el("li", {}, el("strong", {}, field), ` ${usual(rule)}; found ${found}`)
  ));
  const title = el("p", { class: "title" }, "Unusual about this row");
  return el("div", { class: "notice warn" }, title, el("ul", {}, items));
}

function contributions(raw, values, problem) {
  const sorted = Object.entries(raw.contributions).toSorted(([, a], [, b]) => Math.abs(b) - Math.abs(a));
  const largest = Math.max(...sorted.map(([, value]) => Math.abs(value)), Number.MIN_VALUE);
  const digits = decimals(Math.max(largest, Math.abs(raw.base), Math.abs(raw.score)));
  const about = (name) => (values.has(name) ? ` =\u00a0${shown(values.get(name))}` : " (computed)");
  const line = ([name, value]) => contribution(name, about(name), value, { largest, digits });
  const rest = sorted.slice(SHOWN);
  const body = el("tbody", {}, sorted.slice(0, SHOWN).map(line));
  if (rest.length > 1) {
    const all = el("button", { type: "button", class: "small" }, `Show all ${sorted.length}`);
    const sum = rest.reduce((total, [, value]) => total + value, 0);
    const others = contribution(`${rest.length} others`, "", sum, { largest, digits });
    others.firstChild.append(" ", all);
    all.addEventListener("click", () => {
      others.replaceWith(...rest.map(line));
      body.rows[SHOWN].firstChild.setAttribute("tabindex", "-1");
      body.rows[SHOWN].firstChild.focus();
    });
    body.append(others);
  } else body.append(...rest.map(line));
  const caption = `Contribution of each input to the ${scoreName(raw, problem)}, the largest first`;
  return [
    el("div", { class: "scroll" }, el("table", { class: "contributions" },
      el("caption", {}, el("span", {}, caption)),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Input"),
        el("td", { class: "plot", "aria-hidden": "true" }, el("span", {}, "lowers"), el("span", {}, "raises")),
        el("th", { scope: "col", class: "figure" }, "Contribution"))),
      body,
      el("tfoot", {}, total("Base, the same for every row", raw.base, digits),
        total(`${problem === "regression" ? "Prediction" : "Score"}, the sum`, raw.score, digits)),
    )),
  ];
}

function contribution(name, about, amount, { largest, digits }) {
  const share = Math.abs(amount) / largest;
  const fill = el("span", { class: amount < 0 ? "lowers" : "raises" });
  fill.style.width = `${50 * Math.min(share, 1)}%`;
  return el("tr", {},
    el("th", { scope: "row" }, breakable(name), el("span", { class: "value" }, about)),
    el("td", { class: "plot", "aria-hidden": "true" }, fill), el("td", { class: "figure" }, signed(amount, digits)));
}

function total(name, amount, digits) {
  const heading = el("th", { scope: "row", colspan: 2 }, name);
  return el("tr", {}, heading, el("td", { class: "figure" }, signed(amount, digits)));
}

/** Return the decimals that show three digits of the largest figure of a column. */
function decimals(largest) {
  return Math.min(Math.max(2 - Math.floor(Math.log10(largest)), 0), 12);
}

function scoreName(raw, problem) {
  if (problem === "regression") return "prediction";
  return problem === "binary" ? `log odds of ${raw.class}` : `score of ${raw.class}`;
}

function shown(value) {
  return value === null ? "missing" : typeof value === "number" ? number(value, 6) : String(value);
}
