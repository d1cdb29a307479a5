"""The files that differ from project to project: parameters, features, README."""

import importlib.util
import json
import keyword
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
  duplicates: group       # rows with equal inputs stand on one side, where the split is ours to make
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

flow:
  timeout_s: 14400        # a stage that takes longer is ended, with all its processes
  memory_mb: null         # and one whose processes hold more
  retries: 2              # after errors that may pass, and no others
  retry_delay_s: 5

schedules: {{}}             # train: {{cron: "0 3 * * 1", timezone: UTC}}, while `lockstep up` runs
"""
METRIC = {"regression": "r2: 0.5"}

PLOTS_OF_NUMBERS = """\
  - reports/plots/residuals.csv:
      template: scatter
      x: actual
      y: predicted
      title: Predicted and actual
      x_label: actual
      y_label: predicted
  - reports/plots/residual_histogram.csv:
      template: simple
      x: residual
      y: n_rows
      title: Residuals
      x_label: actual - predicted
      y_label: rows
"""
PLOTS_OF_TWO_CLASSES = ("roc", "precision_recall")
PLOTS_OF_CLASSES = (*PLOTS_OF_TWO_CLASSES, "calibration", "confusion_rows")

TEST = '''\
"""What must hold of this project before anything runs."""

from pathlib import Path

from lockstep import contract, features, graph, params
from lockstep.contract.request import Door

ROOT = Path(__file__).resolve().parents[1]


def test_parameters_graph_and_contract_can_be_read():
    assert params.load(ROOT).problem
    assert graph.load(ROOT)
    assert contract.load(ROOT).inputs


def test_the_examples_of_the_contract_pass_it_and_every_feature_can_use_them():
    rows = contract.load(ROOT)
    door = Door(rows)
    checked = door.check({name: column.example for name, column in door.columns.items()})
    assert not checked.faults
    own = features.load((ROOT / features.FILE).read_text("utf-8"), rows)
    assert own.of_row(checked.values).keys() == set(own.names)
'''

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

def {name}_letters({name}):
    """How long it is."""
    return _measure({name}, len)


def {name}_words({name}):
    """How many words it has."""
    return _measure({name}, lambda text: len(text.split()))


def {name}_digits({name}):
    """How many digits stand in it."""
    return _measure({name}, lambda text: sum(letter.isdigit() for letter in text))


def {name}_capitals({name}):
    """Which share of its letters are capitals."""
    return _measure({name}, lambda text: sum(letter.isupper() for letter in text) / max(len(text), 1))


def {name}_marks({name}):
    """How many characters are neither letters, digits nor spaces."""
    return _measure({name}, lambda text: sum(not letter.isalnum() and not letter.isspace() for letter in text))
'''

README = """\
# {name}

Predicts `{target}` ({problem}) from `{table}`, {n_rows} rows. Made by `lockstep new`; all of it is yours to change.

```
make run                       # the environment, then the whole line: ingest ... package
source .venv/bin/activate
lockstep up                    # the Prefect, MLflow and prediction servers, and schedules
python flows/train.py          # the same graph as `dvc repro`, by Prefect
lockstep summary               # the winner and its scores, beside the baselines'
lockstep status                # what is stale, and why
lockstep contract show         # what a row may be
lockstep refresh               # the table changed, and that is meant
dvc repro                      # run what is stale
```

| file | says |
|---|---|
| `params.yaml` | every knob |
| `expectations/rows.json` | the contract: what each column is, what a row may be; suggested from the table: review it |
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
    metric = METRIC.get(suggestion.problem, "accuracy: 0.8")
    return PARAMS.format(
        problem=suggestion.problem,
        source=block,
        split=suggestion.split,
        folds=suggestion.folds,
        max_quarantine=suggestion.max_quarantine,
        metric=metric,
    )


def features(suggestion: Suggestion) -> str:
    """Return ``src/features.py``: an example in words, and where only texts are there, features of them."""
    a, b = ([name for name in suggestion.numbers if _is_argument(name)] + ["amount", "months"])[:2]
    example = FEATURES.format(example=f"{a}_per_{b}", columns=f"{a}, {b}", body=f"np.divide({a}, {b})")
    texts = [name for name in suggestion.texts if _is_argument(name)]
    if suggestion.n_inputs or not texts:
        return example
    return example + TEXT_FEATURES + "".join(ONE_TEXT.format(name=name) for name in texts)


def readme(name: str, target: str, table: str, n_rows: int, suggestion: Suggestion) -> str:
    """Return ``README.md``."""
    decisions = "\n".join(f"| `{d.column}` | {d.decision} | {d.why.replace('|', '/')} |" for d in suggestion.decisions)
    return README.format(
        name=name, target=target, table=table, n_rows=n_rows, problem=suggestion.problem, decisions=decisions
    )


def bento_name(folder: str) -> str:
    """Return a folder's name as a bento may be called: lower case, digits, dashes.

    >>> bento_name("My Churn (2024)")
    'my-churn-2024'
    """
    name = re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-")[:40].strip("-") or "my-project"
    is_module = name.isidentifier() and importlib.util.find_spec(name) is not None  # BentoML would import that instead
    return f"{name}-model" if is_module else name


def bentofile(text: str, name: str) -> str:
    """Return ``bentofile.yaml`` with another name."""
    return re.sub(r"^name:.*$", f"name: {name}", text, count=1, flags=re.MULTILINE)


def graph(text: str, problem: str) -> str:
    """Return ``dvc.yaml`` with the plots that the problem has."""
    dropped = {"binary": (), "multiclass": PLOTS_OF_TWO_CLASSES}.get(problem, PLOTS_OF_CLASSES)
    for name in dropped:
        text = re.sub(rf"^  - reports/plots/{name}\.csv:\n(?:      .*\n)+", "", text, flags=re.MULTILINE)
    return text + (PLOTS_OF_NUMBERS if problem == "regression" else "")


def makefile(text: str) -> str:
    """Return ``Makefile`` without the measure of how much of this code the tests reach; the project has few."""
    return re.sub(r" --cov(?:-[a-z-]+)?(?:=\S+)?", "", text)


def dvc_config(text: str) -> str:
    """Return ``.dvc/config`` without remotes, which are the other project's."""
    sections: Sequence[str] = re.split(r"^(?=\s*\[)", text, flags=re.MULTILINE)
    kept = [section for section in sections if "remote" not in section.split("]")[0]]
    return re.sub(r"^\s*remote\s*=.*\n", "", "".join(kept), flags=re.MULTILINE)


def _is_argument(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)


def _scalar(value: Any) -> str:
    """Write a value so that YAML reads it back: JSON is YAML."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
