// Show the model's card: what it is, what it was trained on, how well it did beside the baselines.

import { at, copyable, el, number, percent, score, svg } from "./page.dom.js";

const METRICS = new Map(Object.entries({
  roc_auc: "ROC AUC", brier: "Brier score", f1: "F1", f1_macro: "F1, mean of the classes",
  rmse: "RMSE", mae: "MAE", r2: "R²",
}));
const WIDTH = 160, EDGE = 6, MIDDLE = 10;
const DIGITS = 16;

export function showCard(card) {
  at("facts").replaceChildren(scores(card), facts(card));
  at("card").hidden = false;
}

export function inBrief(card) {
  return [card.description, `${card.problem}, by ${card.family}`].filter(Boolean).join(" · ");
}

function facts(card) {
  const { rows, period, decision, classes } = card;
  const pairs = [
    ["Predicts", card.target],
    ["Problem", card.problem],
    ["Family", card.family],
    ["Rows", `${number(rows.train, 12)} to train, ${number(rows.test, 12)} to test`],
    period && ["Training data", `${period.first} to ${period.last}`],
    classes.length ? ["Classes", classes.join(", ")] : null,
    decision.threshold !== undefined && ["Decision", `${classes[1]} from ${percent(decision.threshold)} on`],
    ...digests(card),
  ].filter(Boolean);
  const items = pairs.map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text)));
  return el("dl", { class: "facts card" }, items);
}

function scores(card) {
  const head = ["Metric", "Model", "95 % interval", "Linear", "Trivial"];
  const caption = `Scores on ${number(card.rows.test, 12)} test rows, which the model had not seen`;
  return el("div", { class: "card scroll", role: "region", "aria-label": "Scores", tabindex: "0" },
    el("table", {},
      el("caption", {}, el("span", {}, caption)),
      el("thead", {}, el("tr", {}, head.map((text, i) => el("th", { scope: "col", class: i ? "figure" : "" }, text)),
        el("td", { "aria-hidden": "true" }))),
      el("tbody", {}, card.scores.map(scored)),
    ),
    el("p", { class: "help" }, "Linear is a linear model of the same inputs; trivial knows no input. "
      + "In the drawing the line is the interval, the dot the model, the tick the linear one."),
  );
}

function scored(found) {
  const { metric, greater_is_better: greater, value, low, high, linear, trivial } = found;
  const direction = el("span", { class: "direction" }, greater ? "↑ greater is better" : "↓ smaller is better");
  const interval = low === null || high === null ? "–" : `${score(low)} to ${score(high)}`;
  return el("tr", {},
    el("th", { scope: "row" }, METRICS.get(metric) ?? metric.replaceAll("_", " "), direction),
    el("td", { class: "figure" }, el("strong", {}, score(value))),
    [interval, score(linear), score(trivial)].map((text) => el("td", { class: "figure" }, text)),
    el("td", { "aria-hidden": "true" }, drawing(value, low, high, linear)));
}

function drawing(value, low, high, linear) {
  const known = [value, low, high, linear].filter((each) => each !== null);
  const least = Math.min(...known), span = Math.max(...known) - least || 1;
  const x = (each) => EDGE + ((WIDTH - 2 * EDGE) * (each - least)) / span;
  const bounded = low !== null && high !== null;
  return svg("svg", { width: WIDTH, height: 2 * MIDDLE, viewBox: `0 0 ${WIDTH} ${2 * MIDDLE}` },
    bounded && svg("line", { class: "interval", x1: x(low), x2: x(high), y1: MIDDLE, y2: MIDDLE }),
    linear !== null && svg("line", { class: "linear", x1: x(linear), x2: x(linear), y1: 2, y2: 2 * MIDDLE - 2 }),
    svg("circle", { cx: x(value), cy: MIDDLE, r: 4.5 }));
}

function digests(card) {
  const url = /^https?:\/\//.test(card.run?.url ?? "") ? card.run.url : null;
  const link = url ? el("a", { href: url, rel: "noreferrer" }, card.run.name) : card.run?.name;
  return [
    ["Bento", copyable(card.bento, "the bento's tag")],
    ["Predictor", copyable(card.digests.predictor, "the predictor's digest", DIGITS)],
    ["Contract", copyable(card.digests.contract, "the contract's digest", DIGITS)],
    link && ["MLflow run", link],
  ];
}
