"""The files that differ from project to project: parameters, features, README."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lockstep.steps.suggest import Suggestion

PARAMS = """\
# Every knob of the line. An unknown key is an error.
problem: {problem}
seed: 7

source:
{source}
families: [linear, hist_gradient, xgboost]   # one file each in src/lockstep/families; the simplest of equals wins

validate:
  max_quarantine: {max_quarantine:g}    # share of rows that may be set aside
  max_warnings: 3         # table rules of severity warning that may fail

split:
  kind: {split:15} # random, group, time or predefined
  test: 0.2               # share of the rows; of the most recent ones where the kind is time
  holdout: 0.0            # share of the most recent rows kept out of everything; needs a time
  folds: {folds}
  duplicates: group       # rows with equal inputs never stand on both sides
  accept_leaks: []        # columns that may tell the target, since they are known before it

tune:
  trials: 12              # a family
  seconds: null           # instead of trials; then not repeatable
  batch: 4

evaluate:
  cost: null              # binary only: {{false_positive: 1, false_negative: 5}}
  resamples: 200
  gates:
    better_than_trivial: true
    linear_margin: 0.02   # largest excess over the linear baseline's loss
    minimum: {{}}           # by metric: {{{metric}}}
    maximum: {{}}

package:
  replay_rows: 200        # test rows whose answers by the built service must equal evaluate's to the last bit
"""
METRIC = {"regression": "r2: 0.5"}

FEATURES = '''\
"""The project's own features.

One plain function each: its name is the feature, its arguments are the columns it needs. Arrays in, an array of
numbers out, NaN for missing; each row's value depends on that row alone. A leading underscore hides a helper.

    def {example}({columns}):
        return {body}
"""
'''
TEXT_FEATURES = '''

import numpy as np


def _measure(texts, of):
    """Apply ``of`` to each text; NaN where there is none."""
    return np.array([np.nan if text is None else of(text) for text in texts], dtype=np.float64)
'''
ONE_TEXT = '''

def {name}_letters({column}):
    """How long it is."""
    return _measure({column}, len)


def {name}_words({column}):
    """How many words it has."""
    return _measure({column}, lambda text: len(text.split()))


def {name}_digits({column}):
    """How many digits stand in it."""
    return _measure({column}, lambda text: sum(letter.isdigit() for letter in text))


def {name}_capitals({column}):
    """Which share of its letters are capitals."""
    return _measure({column}, lambda text: sum(letter.isupper() for letter in text) / max(len(text), 1))


def {name}_marks({column}):
    """How many characters are neither letters, digits nor spaces."""
    return _measure({column}, lambda text: sum(not letter.isalnum() and not letter.isspace() for letter in text))
'''

README = """\
# {name}

Predicts `{target}` ({problem}) from `{table}`, {n_rows} rows. Made by `lockstep new`; everything here is yours to change.

```
make run                       # the environment, then the whole line: ingest ... package
source .venv/bin/activate
lockstep summary               # the winner and its scores, beside the baselines'
lockstep status                # what is stale, and why
lockstep contract show         # what a row may be
lockstep refresh               # the table changed, and that is meant
dvc repro                      # run what is stale
```

| file | says |
|---|---|
| `params.yaml` | every knob |
| `expectations/rows.json` | the contract: what each column is, and what a row may be. It was suggested from the table: review it |
| `src/features.py` | the project's own features |
| `data/source.lock` | which table it is made from; commit it |
| `dvc.yaml` | which file is made from what |
| `src/lockstep/` | the code that does it |

## What was decided about each column

| column | role | why |
|---|---|---|
{decisions}
"""


def params(suggestion: Suggestion, source: Mapping[str, Any]) -> str:
    """Return ``params.yaml``."""
    block = "".join(f"  {key}: {_scalar(value)}\n" for key, value in source.items())
    return PARAMS.format(problem=suggestion.problem, source=block, split=suggestion.split, folds=suggestion.folds,
                         max_quarantine=suggestion.max_quarantine, metric=METRIC.get(suggestion.problem, "accuracy: 0.8"))


def features(suggestion: Suggestion) -> str:
    """Return ``src/features.py``: an example in words, and where only texts are there, features of them to begin with."""
    columns = [name for name in suggestion.numbers if name.isidentifier()][:2]
    body = f"np.divide({columns[0]}, {columns[1]})" if len(columns) == 2 else "np.log1p(amount)"
    text = FEATURES.format(example=f"{columns[0]}_per_{columns[1]}" if len(columns) == 2 else "log_amount",
                           columns=", ".join(columns) if len(columns) == 2 else "amount", body=body)
    if suggestion.n_inputs or not any(map(str.isidentifier, suggestion.texts)):
        return text
    return text + TEXT_FEATURES + "".join(ONE_TEXT.format(name=name, column=name) for name in suggestion.texts if name.isidentifier())


def readme(name: str, target: str, table: str, n_rows: int, suggestion: Suggestion) -> str:
    """Return ``README.md``."""
    decisions = "\n".join(f"| `{d.column}` | {d.decision} | {d.why.replace('|', '/')} |" for d in suggestion.decisions)
    return README.format(name=name, target=target, table=table, n_rows=n_rows, problem=suggestion.problem, decisions=decisions)


def bento_name(folder: str) -> str:
    """Return a folder's name as a bento may be called: lower case, digits, dashes.

    >>> bento_name("My Churn (2024)")
    'my-churn-2024'
    """
    return re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-")[:60].strip("-") or "project"


def bentofile(text: str, name: str) -> str:
    """Return ``bentofile.yaml`` with another name."""
    return re.sub(r"^name:.*$", f"name: {name}", text, count=1, flags=re.MULTILINE)


def dvc_config(text: str) -> str:
    """Return ``.dvc/config`` without remotes, which are the other project's."""
    sections: Sequence[str] = re.split(r"^(?=\s*\[)", text, flags=re.MULTILINE)
    kept = [section for section in sections if "remote" not in section.split("]")[0]]
    return re.sub(r"^\s*remote\s*=.*\n", "", "".join(kept), flags=re.MULTILINE)


def _scalar(value: Any) -> str:
    """Write a value so that YAML reads it back: JSON is YAML."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
