"""Set up an experiment's page: what it says at its top, and two saved views: families and trials, and winners.

MLflow keeps a saved view as JSON in a tag of the experiment; a version that does not know one shows its own columns.
"""

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from lockstep.tracking.wanted import Run

COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#17becf", "#bcbd22")
"""Of the families, in the order of params.yaml."""
PAGE = "#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={view}"
TRIALS, WINNERS = "lockstep-trials", "lockstep-winners"
VIEW = "mlflow.sharedViewState."
CHARTS = "lockstep"
N_SCORES = 3
MADE = 1_767_225_600_000
"""MLflow wants to know when a view was made; the beginning of 2026, for all of them."""


def paint(run: Run, families: Sequence[str]) -> Run:
    """Give a run, and the trials below it, the colour of its family."""
    family = run.tags["lockstep.family"]
    position = families.index(family) if family in families else len(families)
    tags = {**run.tags, "mlflow.runColor": COLOURS[position % len(COLOURS)]}
    return replace(run, tags=tags, trials=tuple(paint(trial, families) for trial in run.trials))


def tags(experiment: str, scores: Iterable[str]) -> dict[str, str]:
    """Return the tags of an experiment; ``scores`` are the metrics of a winner, the foremost first."""
    return {
        "mlflow.note.content": _note(experiment),
        "mlflow.experimentKind": "custom_model_development",
        VIEW + TRIALS: _view(
            "Families and trials",
            orderByKey="metrics.`loss`",
            orderByAsc=True,
            selectedColumns=["metrics.`loss`", "params.`family`", "tags.`lockstep.kind`", "tags.`lockstep.outcome`"],
            runsHiddenMode="SHOW_ALL",
            compareRunCharts=[_chart("BAR", "loss"), _chart("LINE", "least_loss"), _chart("LINE", "fold_loss")],
            compareRunSections=[{"uuid": CHARTS, "name": "Search", "display": True, **_AS_MADE}],
        ),
        VIEW + WINNERS: _view(
            "Winners",
            orderByKey="attributes.start_time",
            orderByAsc=False,
            searchFilter="tags.`lockstep.kind` = 'winner'",
            selectedColumns=[
                "params.`family`",
                "tags.`lockstep.verdict`",
                *(f"metrics.`{name}`" for name in itertools.islice(scores, N_SCORES)),
                "tags.`lockstep.bento`",
                "tags.`lockstep.commit`",
            ],
        ),
    }


_AS_MADE = {"deleted": False, "isGenerated": False, "isReordered": False}


def _note(experiment: str) -> str:
    trials, winners = (PAGE.format(experiment=experiment, view=view) for view in (TRIALS, WINNERS))
    return (
        f"**[Families and trials]({trials})** as a table, **[as charts]({trials}&compareRunsMode=CHART)** · "
        f"**[Winners]({winners})**\n\n"
        "One run a search, its best trials below it; one run a winner. `loss` is the mean over all folds; `fold_loss` "
        "has a step a fold, `trial_loss` and `least_loss` have a step a trial. Filter by "
        "`tags.lockstep.kind = 'winner'`, or `search`, or `trial`. `lockstep publish` writes all of this from the "
        "project's files, and adds to it what is missing."
    )


def _view(name: str, **state: Any) -> str:
    return json.dumps({"name": name, "createdAt": MADE, "updatedAt": MADE, "state": json.dumps(state)})


def _chart(kind: str, metric: str) -> dict[str, Any]:
    card = {"type": kind, "uuid": f"{CHARTS}-{metric}", "metricSectionId": CHARTS, "metricKey": metric}
    axes = {"xAxisKey": "step", "scaleType": "linear", "xAxisScaleType": "linear"}
    line = {"selectedMetricKeys": [metric], "lineSmoothness": 0, "useGlobalLineSmoothing": True, **axes}
    return {**card, **(line if kind == "LINE" else {}), **_AS_MADE, "runsCountToCompare": 100}
