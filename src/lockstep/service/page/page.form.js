// Build the form from the schema of a request, read a row from it, and put refusals beside the fields they name.

import { at, breakable, el, number } from "./page.dom.js";
import { helpOf, inWords, pairsOf } from "./page.words.js";

/** Make the form of a row; `inputs` are the names of the columns that the model sees, or nothing where not known. */
export function makeForm(schema, example, inputs) {
  const needed = new Set(schema.required ?? []);
  const known = Object.entries(schema.properties).filter(([, property]) => property.type);  // others are dropped
  const made = known.map(([name, property], i) => {
    const given = new Map(Object.entries(example)).get(name) ?? null;
    return makeField(`field-${i}`, name, property, needed.has(name), given);
  });
  const isSeen = (field) => !inputs?.length || inputs.includes(field.name);
  const seen = made.filter(isSeen), others = made.filter((field) => !isSeen(field));
  const fields = [...seen, ...others];  // as they stand on the page
  at("fields").replaceChildren(...seen.map((field) => field.node));
  at("unseen-fields").replaceChildren(...others.map((field) => field.node));
  at("unseen").hidden = !others.length;
  const pairs = pairsOf(schema.description ?? "");
  at("rules").replaceChildren(
    el("span", { class: "need", "aria-hidden": "true" }, "*"), " must be given; what else stays empty is missing.",
    pairs.length ? ` Also: ${pairs.join("; ")}.` : "",
  );
  const write = () => fields.forEach((field) => field.write(field.example));
  write();
  return { fields, write, read: () => readRow(fields), refuse: (errors) => refuse(fields, errors) };
}

/** Return the row, and the errors of what cannot even be sent; they are told as the service tells its own. */
function readRow(fields) {
  const read = fields.map((field) => [field.name, field.read()]);
  const errors = read.filter(([, value]) => value === undefined).map(([name]) => (
    { field: name, rule: "must be a number", found: "something else" }
  ));
  return { row: Object.fromEntries(read), errors };
}

/** Show every error at its field, list all of them, and go to the first; no errors clear the form. */
function refuse(fields, errors) {
  const words = new Map();
  for (const { field, rule, found } of errors) {
    const text = `${inWords(rule)}${found === "null" ? "" : `; found ${found}`}`;
    words.set(field, [...(words.get(field) ?? []), { text, rule }]);
  }
  for (const field of fields) field.refuse(words.get(field.name) ?? []);
  const places = new Map(fields.map((field) => [field.name, field]));
  const names = [...places.keys(), ...[...words.keys()].filter((name) => !places.has(name))];
  const items = names.filter((name) => words.has(name)).map((name) => {
    const text = `${name} ${words.get(name).map((fault) => fault.text).join("; ")}`;
    const place = places.get(name);
    if (!place) return el("li", {}, text);
    const link = el("a", { href: `#${place.control.id}` }, text);
    link.addEventListener("click", (event) => { event.preventDefault(); reveal(place.control); });
    return el("li", {}, link);
  });
  const title = `The row is refused: ${items.length === 1 ? "one field" : `${items.length} fields`}`;
  at("refused").replaceChildren(...(items.length ? [el("p", { class: "title" }, title), el("ul", {}, items)] : []));
  at("refused").classList.toggle("notice", items.length > 0);
  at("refused").classList.toggle("bad", items.length > 0);
  const first = fields.find((field) => words.has(field.name));
  if (first) reveal(first.control);
}

function reveal(control) {
  const fold = control.closest("details");
  if (fold) fold.open = true;
  control.focus();
}

function makeField(id, name, property, needed, example) {
  const seen = (property.examples ?? []).filter((value) => typeof value === "string");
  const made = control(id, name, property, needed, example, seen);
  const { text, rules } = helpOf(property.description ?? "", seen);
  const help = [text, limits(property), rules, offered(seen)].filter(Boolean).join(" ");
  const error = el("p", { id: `${id}-error`, class: "refusal" });
  const about = el("p", { id: `${id}-help`, class: "help" }, help);
  const mark = needed && el("span", { class: "need", "aria-hidden": "true" }, " *");
  const label = el("div", { class: "named" }, el("label", { for: id }, breakable(name)), mark);
  for (const each of made.controls) each.setAttribute("aria-describedby", `${id}-error ${id}-help`);
  made.main.setAttribute("aria-required", String(needed));
  const node = el("div", { class: `field ${made.wide ? "wide" : ""}` }, label, made.node, error, about);
  return {
    name, node, example, control: made.main, read: made.read, write: made.write,
    refuse: (faults) => {
      error.replaceChildren(...faults.flatMap(({ text, rule }) => {
        const named = rule.includes("(") && el("code", {}, rule);
        return el("span", {}, text.charAt(0).toUpperCase() + text.slice(1), named && ". Rule: ", named);
      }));
      node.classList.toggle("refused", faults.length > 0);
      if (faults.length) made.main.setAttribute("aria-invalid", "true");
      else made.main.removeAttribute("aria-invalid");
    },
  };
}

function control(id, name, property, needed, example, seen) {
  const types = [property.type].flat();
  if (property.enum) return menu(id, property.enum.filter((value) => value !== null), needed);
  if (types.includes("boolean")) return menu(id, [true, false], needed);
  if (types.includes("number") || types.includes("integer")) return figure(id, name, property, needed, example);
  return words(id, property, needed, seen);
}

function menu(id, values, needed) {
  const none = el("option", { value: "" }, needed ? "choose one" : "missing");
  const select = el("select", { id }, none, values.map((value, i) => el("option", { value: i }, String(value))));
  return {
    node: select, main: select, controls: [select],
    read: () => (select.value === "" ? null : values[Number(select.value)]),
    write: (value) => { select.value = values.includes(value) ? String(values.indexOf(value)) : ""; },
  };
}

function words(id, property, needed, seen) {
  const hint = property.description?.includes("A date like 2024-01-31") ? "2024-01-31" : needed ? null : "missing";
  const long = !seen.length && !property.pattern;
  const list = seen.length ? `${id}-seen` : null;
  const shared = { id, placeholder: hint, autocomplete: "off", autocapitalize: "none", spellcheck: "false" };
  const field = long ? el("textarea", { ...shared, rows: 1 }) : el("input", { ...shared, type: "text", list });
  const options = seen.map((value) => el("option", { value }));
  if (list) field.addEventListener("focus", () => field.select());  // the list shows what begins like the value
  return {
    node: el("div", { class: "whole" }, field, list && el("datalist", { id: list }, options)),
    main: field, controls: [field], wide: long,
    read: () => (field.value === "" ? null : field.value),
    write: (value) => { field.value = value ?? ""; },
  };
}

function figure(id, name, property, needed, example) {
  const low = property.minimum ?? property.exclusiveMinimum, high = property.maximum ?? property.exclusiveMaximum;
  const hint = needed ? null : "missing";
  const field = el("input", { id, type: "number", step: "any", inputmode: "decimal", placeholder: hint });
  const read = () => (field.validity.badInput ? undefined : field.value === "" ? null : Number(field.value));
  const write = (value) => { field.value = value ?? ""; };
  if (!(high > low && Number.isFinite(high - low))) return { node: field, main: field, controls: [field], read, write };
  const slider = el("input", { type: "range", min: low, max: high, step: "any", "aria-label": `${name}, slider` });
  const step = stepOf(low, high, example);
  const follow = () => {
    slider.classList.toggle("empty", field.value === "");
    slider.value = field.value === "" ? (low + high) / 2 : field.value;
    slider.setAttribute("aria-valuetext", field.value === "" ? "missing" : field.value);
  };
  const lead = (value) => {
    const steps = Math.round((Math.min(Math.max(value, low), high) - low) / step);
    field.value = Number(Math.min(low + steps * step, high).toPrecision(12));
    follow();
  };
  field.addEventListener("input", follow);
  slider.addEventListener("input", () => lead(Number(slider.value)));
  slider.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[event.key];
    if (!by) return;
    event.preventDefault();
    lead(Number(slider.value) + by * step);
  });
  return {
    node: el("div", { class: "pair" }, slider, field), main: field, controls: [field, slider], read,
    write: (value) => { write(value); follow(); },
  };
}

/** Return what an arrow key moves: a power of ten, 1 at least where bounds and example are whole numbers. */
function stepOf(low, high, example) {
  const fine = 10 ** Math.floor(Math.log10((high - low) / 150));
  const whole = [low, high, example ?? low].every(Number.isInteger) && high - low >= 4;
  return whole ? Math.max(fine, 1) : fine;
}

function limits(property) {
  const { minimum: low, maximum: high, exclusiveMinimum: above, exclusiveMaximum: below } = property;
  if (low !== undefined && high !== undefined) return `${number(low)} to ${number(high)}.`;
  const parts = [
    low !== undefined && `at least ${number(low)}`, above !== undefined && `above ${number(above)}`,
    high !== undefined && `at most ${number(high)}`, below !== undefined && `below ${number(below)}`,
    property.minLength > 1 && `at least ${property.minLength} characters`,
    property.maxLength && `at most ${property.maxLength} characters`,
    property.pattern && !property.description?.includes("A date like") && `in the pattern ${property.pattern}`,
  ].filter(Boolean).join(", ");
  return parts && `${parts.charAt(0).toUpperCase()}${parts.slice(1)}.`;
}

function offered(seen) {
  return seen.length && `Seen in training: ${seen.slice(0, 8).join(", ")}${seen.length > 8 ? ", …" : ""}.`;
}
