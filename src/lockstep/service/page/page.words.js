// Say a rule of the contract in words: "be_between(min_value=0)" is "must be at least 0".

const CALL = /^(\w+)\((.*)\)$/s;
const ARGUMENT = /(\w+)=('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\[[^\]]*\]?[^,]*|[^,]+)/g;
const WHOLE = /\w+\((?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^'")])*\)/;
const NOTE = new RegExp(`(Unusual unless|Must be) (${WHOLE.source})\\.`, "g");
const PAIR = new RegExp(`pair_${WHOLE.source}`, "g");
const SEEN = "Seen in training: ";

/** Return a rule as words that follow a field's name; one that is not known is returned as it stands. */
export function inWords(rule) {
  const [name, value] = parse(rule);
  switch (name) {
    case "not_be_null":
      return "must be given";
    case "be_between":
      return `must be ${bounds(value)}`;
    case "be_in_set":
      return `must be one of ${value.get("value_set")}`;
    case "not_be_in_set":
      return `must be none of ${value.get("value_set")}`;
    case "match_regex":
      return `must match the pattern ${value.get("regex")}`;
    case "not_match_regex":
      return `must not match the pattern ${value.get("regex")}`;
    case "value_lengths_to_be_between":
      return `must be ${bounds(value)} characters long`;
    case "pair_values_a_to_be_greater_than_b":
      return `must be ${value.get("or_equal") === "True" ? "at least" : "greater than"} ${value.get("column_B")}`;
    case "pair_values_to_be_equal":
      return `must equal ${value.get("column_B")}`;
    default:
      return rule;
  }
}

/** Return the rules on two fields that stand in the description of a row, in words. */
export function pairsOf(description) {
  return (description.match(PAIR) ?? []).map((rule) => `${parse(rule)[1].get("column_A")} ${inWords(rule)}`);
}

/** Return what a field's description says, and its rules in words; not the categories, which the field offers. */
export function helpOf(description, seen) {
  const end = seen.length ? description.lastIndexOf(SEEN) : -1;
  const rules = [];
  const text = (end < 0 ? description : description.slice(0, end)).replace(NOTE, (note, kind, rule) => {
    const words = inWords(rule);
    if (words === rule) return note;
    if (kind === "Must be") rules.push(`M${words.slice(1)}.`);
    else if (!seen.length || !rule.startsWith("be_in_set")) rules.push(`Usually ${words.replace(/^must (be )?/, "")}.`);
    return "";
  });
  return { text: text.trim(), rules: rules.join(" ") };
}

function parse(rule) {
  const [, name, given] = CALL.exec(rule) ?? [null, null, ""];
  return [name, new Map([...given.matchAll(ARGUMENT)].map(([, key, text]) => [key, plain(text)]))];
}

function bounds(value) {
  const known = (key) => (value.get(key) === "None" ? undefined : value.get(key));
  const [low, high] = [known("min_value"), known("max_value")];
  const [above, below] = ["strict_min", "strict_max"].map((key) => value.get(key) === "True");
  if (low && high && !above && !below) return `between ${low} and ${high}`;
  const dated = /^\d{4}-\d\d-\d\d/.test(low ?? high);
  const from = dated ? (above ? `later than ${low}` : `${low} or later`) : `${above ? "above" : "at least"} ${low}`;
  const to = dated ? (below ? `earlier than ${high}` : `${high} or earlier`) : `${below ? "below" : "at most"} ${high}`;
  return [low && from, high && to].filter(Boolean).join(" and ");
}

/** Return a value as Python writes it without its quotes and brackets. */
function plain(text) {
  const unquoted = text.replace(/'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"/g, (_, one, two) => one ?? two);
  return unquoted.replace(/^\[(.*?)\]?$/s, "$1").replace(/\\(.)/g, "$1").trim();
}
