"""Judge the predictor on the test set, through its own door."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyarrow import parquet

from lockstep import plugins, predictor
from lockstep.params import Params
from lockstep.predictor import Predictions, Predictor
from lockstep.report import page
from lockstep.report.curves import curves
from lockstep.report.drawings import figures
from lockstep.report.importance import permutation_importance
from lockstep.stages.files import empty_folder, read_json, read_table, write_json, write_table, write_text
from lockstep.steps.evaluate import Gate, Judged, judge, resample, score

LOSS = {True: "log loss", False: "RMSE"}


def run(root: Path, params: Params) -> None:
    """Predictor, baseline, test rows -> metrics, verdict, predictions, plots and ``reports/index.html``."""
    winner = predictor.load(root / "models" / "predictor")
    linear = predictor.load(root / "models" / "baseline")
    problem, contract = plugins.load("problems", params.problem), winner.contract
    test = read_table(root / "data" / "test.parquet")
    y = problem.encode_target(test[contract.target], winner.card.classes)
    answers = winner.predict_table(test)
    models = {
        "": _judged(problem, answers.output, winner.card.decision),
        "trivial_": _trivial(root, problem, winner, len(test)),
        "linear_": _judged(problem, linear.predict_table(test).output, linear.card.decision),
    }
    drawn = resample(len(y), params.evaluate.resamples, seed=params.seed)
    scores = score(problem, y, models, drawn)
    gates = judge(problem, y, models, scores, drawn, params.evaluate.gates)

    reports = root / "reports"
    write_json(scores, reports / "metrics.json")
    write_json(_verdict(gates, params, winner), reports / "verdict.json")
    write_table(_answers(answers, test, winner), reports / "predictions.parquet")
    _report(root, params, winner, problem, test, y, models[""], scores)


def _judged(problem: Any, output: NDArray[np.float64], decision: dict[str, float]) -> Judged:
    return Judged(output, problem.decide(output, decision))


def _trivial(root: Path, problem: Any, winner: Predictor, n_rows: int) -> Judged:
    """Answer every row alike: the frequencies of the classes and the most frequent one, or the mean."""
    classes = winner.card.classes
    y = problem.encode_target(read_table(root / "data" / "train.parquet")[winner.contract.target], classes)
    constant = problem.trivial(y, len(classes))
    output = np.array(np.broadcast_to(constant, (n_rows, *constant.shape)))
    return Judged(output, np.full(n_rows, np.argmax(constant)) if classes else output)


def _verdict(gates: list[Gate], params: Params, winner: Predictor) -> dict[str, Any]:
    return {
        "accepted": all(gate.passed for gate in gates),
        "problem": params.problem,
        "family": winner.card.family,
        "predictor": winner.digest,
        "gates": [
            {"gate": gate.gate, "passed": gate.passed, "reason": gate.reason, "figures": gate.figures} for gate in gates
        ],
    }


def _answers(answers: Predictions, test: pd.DataFrame, winner: Predictor) -> pd.DataFrame:
    columns: dict[str, Any] = {"row": test.index.to_numpy(), "prediction": answers.values}
    for code, name in enumerate(winner.card.classes):
        columns[f"probability_{name}"] = answers.output[:, code]
    return pd.DataFrame(columns)


def _report(
    root: Path,
    params: Params,
    winner: Predictor,
    problem: Any,
    test: pd.DataFrame,
    y: NDArray[Any],
    judged: Judged,
    scores: dict[str, float],
) -> None:
    """Write the plots, as CSV for ``dvc plots`` and as SVG, and the page that holds them."""
    target, classes = winner.contract.target, winner.card.classes

    def losses(rows: pd.DataFrame) -> NDArray[np.float64]:
        found: NDArray[np.float64] = problem.losses(
            problem.encode_target(rows[target], classes), winner.predict_table(rows).output
        )
        return found

    leaderboard = read_json(root / "models" / "leaderboard.json")
    importance = permutation_importance(losses, test, winner.contract.inputs, seed=params.seed)
    frames = curves(
        classes,
        y,
        judged.output,
        judged.predicted,
        importance,
        {entry["family"]: entry["trials"] for entry in leaderboard},
    )
    svgs = figures(frames, LOSS[bool(classes)])
    folder = empty_folder(root / "reports" / "plots")
    for name, frame in frames.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    for name, svg in svgs.items():
        write_text(svg, folder / f"{name}.svg")
    results = page.Results(
        target, _read_verdict(root), scores, problem.METRICS, leaderboard, LOSS[bool(classes)], _row_counts(root)
    )
    write_text(page.index_page(results, svgs), root / "reports" / "index.html")


def _read_verdict(root: Path) -> dict[str, Any]:
    verdict: dict[str, Any] = read_json(root / "reports" / "verdict.json")
    return verdict


def _row_counts(root: Path) -> dict[str, int]:
    parts = ("train", "test", "holdout", "quarantine")
    return {name: parquet.read_metadata(root / "data" / f"{name}.parquet").num_rows for name in parts}
