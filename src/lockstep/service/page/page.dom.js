// Build elements and write numbers. Whatever comes from the service becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";
const MINUS = "\u2212";

export const at = (id) => document.getElementById(id);

/** Make an element: attributes (true stands for an empty one, false and null for none), then children. */
export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** A name that may be broken after its underscores. */
export function breakable(name) {
  return name.split(/(?<=_)/).flatMap((part, i) => (i ? [el("wbr"), part] : [part]));
}

/** Say something to those who hear the page; the same words twice are said twice. */
export function tell(text) {
  at("told").textContent = "";
  requestAnimationFrame(() => { at("told").textContent = text; });
}

/** 1234567.8 -> "1,234,568", 0.04567891 -> "0.04568", 1e-9 -> "1e−9". */
export function number(value, digits = 4) {
  if (value === null || value === undefined) return "\u2013";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e15)) {
    return value.toExponential(digits - 1).replace(/\.?0+e/, "e").replace("+", "").replaceAll("-", MINUS);
  }
  const whole = size >= 10 ** (digits - 1);
  const how = whole ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: digits };
  return value.toLocaleString("en", how).replace("-", MINUS);
}

/** 0.5 -> "0.5000": four digits always, so that scores stand in line. */
export function score(value) {
  if (value === null || Math.abs(value) >= 1000) return number(value);
  return value.toLocaleString("en", { minimumSignificantDigits: 4, maximumSignificantDigits: 4 }).replace("-", MINUS);
}

/** A number with its sign and that many decimals, so that a column of them stands in line. */
export function signed(value, decimals) {
  const how = { minimumFractionDigits: decimals, maximumFractionDigits: decimals, signDisplay: "exceptZero" };
  return value.toLocaleString("en", how).replace("-", MINUS);
}

/** 0.12345 -> "12.3 %"; what is neither 0 nor 1 never reads as 0 % or 100 %. */
export function percent(share) {
  const value = 100 * share;
  if (value > 0 && value < 0.01) return "<0.01 %";
  if (value < 100 && value > 99.99) return ">99.99 %";
  const decimals = value < 1 || value > 99 ? 2 : 1;
  return `${value.toLocaleString("en", { maximumFractionDigits: decimals })} %`;
}

/** A bar that fills a share of its track; the number itself must stand beside it. */
export function bar(share, kind = "") {
  const fill = el("span", { class: `fill ${kind}` });
  fill.style.width = `${100 * Math.min(Math.max(share, 0), 1)}%`;
  return el("span", { class: "track", "aria-hidden": "true" }, fill);
}

/** Text in fixed width with a button that copies it; a long one may be shown by its first letters. */
export function copyable(text, what, n = Infinity) {
  const shown = el("code", {}, text.length > n ? `${text.slice(0, n)}…` : text);
  const button = el("button", { type: "button", class: "small", "aria-label": `Copy ${what}` }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
      tell(`Copied ${what}`);
    } catch {  // only pages from this machine, or over TLS, may write there
      shown.textContent = text;
      getSelection().selectAllChildren(shown);
      tell("Selected; press Control and C to copy");
    }
  });
  return el("span", { class: "copyable" }, shown, button);
}
