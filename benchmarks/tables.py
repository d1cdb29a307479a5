"""Score real tables on the very split on which others were scored, beside their figures.

The split is ``train_test_split(test_size=0.2, random_state=42)``, stratified on the target where it is a class, given
to the project as a column. Duplicates are kept on both sides, as others kept them; no test row may be quarantined.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import measure
import pandas as pd

SPLIT = "benchmark_split"
ADULT = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education_num",
    "marital_status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital_gain",
    "capital_loss",
    "hours_per_week",
    "native_country",
    "income",
)


@dataclass(frozen=True)
class Table:
    """One table and what is asked of it."""

    read: Callable[[], pd.DataFrame]
    """Gives its cells as text, as they stand in the file."""
    target: str
    classes: bool
    asked: dict[str, tuple[float, str]]
    """By metric: what is asked, at least, but at most for those in ``LOSSES``; and what others reach on this very
    split, after the README that stands beside the tables: two cores, 60 s for those that search."""
    ignored: tuple[str, ...] = ()


def main() -> None:
    """Score the tables named, or all."""
    parser = measure.arguments(__doc__)
    parser.add_argument("names", nargs="*", metavar="table", help=f"some of {', '.join(KNOWN)}; all without a name")
    parser.add_argument("--seconds", type=float, default=15, help="of search, a family")
    parser.add_argument("--folder", type=Path, help="make the projects here and leave them")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(KNOWN))
    if unknown:
        parser.error(f"no table {unknown[0]!r}; expected some of {sorted(KNOWN)}")
    if given.write and given.names:
        parser.error("--write is for all tables together")
    rows = []
    with nullcontext(given.folder) if given.folder else measure.scratch() as folder:
        for name in given.names or KNOWN:
            rows += score(name, KNOWN[name], folder, given.seconds)
    measure.publish("tables", rows, write=given.write)


def score(name: str, table: Table, folder: Path, seconds: float) -> list[measure.Row]:
    """Make a project of a table, run it as far as evaluate, and set its scores beside what is asked."""
    project = build(name, table, folder, seconds)
    ran = measure.run(["dvc", "repro", "evaluate"], project, measure.environment())
    scores = measure.read_json(project / "reports" / "metrics.json")
    board = {entry["family"]: entry for entry in measure.read_json(project / "models" / "leaderboard.json")}
    winner = next(family for family, entry in board.items() if entry["chosen"])
    n_aside = quarantined(project)
    tried = ", ".join(f"{family} {entry['loss']:.5g} ({entry['n_trials']} trials)" for family, entry in board.items())
    measure.say(
        f"{name}: {ran.seconds:.0f} s; {winner} of {tried}; linear beside it: "
        f"{ {metric: scores[f'linear_{metric}'] for metric in table.asked} }"
    )
    found = f"{winner}, {scores['n_rows']} rows scored, {n_aside} rows of test quarantined"
    return [_row(name, metric, scores[metric], table.asked[metric], found, met=n_aside == 0) for metric in table.asked]


def build(name: str, table: Table, folder: Path, seconds: float) -> Path:
    """Write the table with its split as a column, and make a project by ``lockstep new``."""
    from sklearn.model_selection import train_test_split

    folder.mkdir(parents=True, exist_ok=True)
    rows = table.read()
    strata = rows[table.target] if table.classes else None
    _, test = train_test_split(rows.index, test_size=0.2, random_state=42, stratify=strata)
    rows[SPLIT] = "train"
    rows.loc[test, SPLIT] = "test"
    rows.to_csv(folder / f"{name}.csv", index=False)
    command = [
        "lockstep",
        "new",
        str(folder / name),
        "--table",
        str(folder / f"{name}.csv"),
        "--target",
        table.target,
        "--id",
        SPLIT,
        *(["--ignore", ",".join(table.ignored)] if table.ignored else []),
    ]
    measure.run(command, measure.ROOT, measure.environment())
    measure.change(
        folder / name, split={"kind": "predefined", "column": SPLIT, "duplicates": "keep"}, tune={"seconds": seconds}
    )
    return folder / name


def quarantined(project: Path) -> int:
    """Return how many test rows were set aside; all of test must have been scored but for them."""
    aside = pd.read_parquet(project / "data" / "quarantine.parquet")[SPLIT].eq("test").sum()
    scored = pd.read_parquet(project / "reports" / "predictions.parquet")["row"]
    raw = pd.read_parquet(project / "data" / "raw.parquet")[SPLIT]
    if len(scored) + aside != raw.eq("test").sum() or raw[scored].ne("test").any():
        sys.exit(f"{project.name}: the rows scored are not those of the split.")
    return int(aside)


def _row(name: str, metric: str, value: float, wanted: tuple[float, str], found: str, *, met: bool) -> measure.Row:
    loss, (asked, others) = metric in LOSSES, wanted
    shown = f"{value:.4f}" if asked < 10 else f"{value:,.2f}" if asked < 1_000 else f"{value:,.0f}"
    return measure.Row(
        f"{name}, {metric}",
        f"{'<=' if loss else '>='} {asked:,}",
        shown,
        met and (value <= asked if loss else value >= asked),
        f"python benchmarks/tables.py {name}",
        f"{found}{'; others: ' if others else ''}{others}",
    )


def _csv(path: str) -> Callable[[], pd.DataFrame]:
    return lambda: pd.read_csv(measure.TABLES / path, dtype="str", keep_default_na=False)


def _adult() -> pd.DataFrame:
    """Put both files together; labels of the second end in a dot."""
    parts: Sequence[pd.DataFrame] = [
        pd.read_csv(measure.TABLES / "adult_uci" / name, header=None, names=ADULT, dtype="str", keep_default_na=False)
        for name in ("adult.data", "adult.test")
    ]
    rows = pd.concat(parts, ignore_index=True)
    return rows.assign(income=rows["income"].str.strip().str.rstrip("."))


LOSSES = ("log_loss", "rmse")
KNOWN = {
    "telco_churn": Table(
        _csv("telco_churn/Telco-Customer-Churn.csv"),
        "Churn",
        True,
        {
            "roc_auc": (
                0.842,
                "Optuna-tuned XGBoost 0.8466, FLAML 0.8458, AutoGluon 0.8458, linear 0.8419, "
                "HistGradientBoosting 0.8330, XGBoost 0.8172",
            ),
            "log_loss": (
                0.420,
                "Optuna-tuned XGBoost 0.4146, FLAML 0.4156, AutoGluon 0.4161, linear 0.4205, "
                "HistGradientBoosting 0.4386, XGBoost 0.4799",
            ),
        },
        ("customerID",),
    ),
    "adult_uci": Table(
        _adult,
        "income",
        True,
        {
            "roc_auc": (
                0.930,
                "Optuna-tuned XGBoost 0.9325, AutoGluon 0.9309, XGBoost 0.9302, FLAML 0.9296, "
                "HistGradientBoosting 0.9296, linear 0.9059",
            )
        },
    ),
    "california_housing": Table(
        _csv("california_housing/housing.csv"),
        "median_house_value",
        False,
        {
            "rmse": (
                46_000,
                "Optuna-tuned XGBoost 44,717, AutoGluon 45,016, FLAML 45,098, HistGradientBoosting 47,753, "
                "XGBoost 48,536, linear 70,066",
            )
        },
    ),
    "bike_sharing": Table(
        _csv("bike_sharing/hour.csv"),
        "cnt",
        False,
        {"rmse": (38.5, "AutoGluon 35.64, FLAML 37.41, XGBoost 40.24, HistGradientBoosting 40.87, linear 139.2")},
        ("instant", "dteday", "casual", "registered"),
    ),
    "penguins": Table(_csv("penguins/penguins.csv"), "species", True, {"accuracy": (0.94, "")}),
}


if __name__ == "__main__":
    main()
