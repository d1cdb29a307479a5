"""Say what should be in MLflow of the winner: a run with its scores, pages and plots, and a model for the registry."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lockstep import contract as contracts
from lockstep import digest, plugins
from lockstep.tracking import made
from lockstep.tracking.made import Made
from lockstep.tracking.wanted import CONTENT, KEY, KIND, Model, Point, Run, Table, as_text, key_of

TYPES = {"number": "double", "boolean": "boolean", "date": "datetime", "category": "string", "text": "string"}
"""MLflow's types of the contract's kinds."""
PREDICTOR, LEADERS, BENTO = "models/predictor", "models/leaderboard.json", "models/bento.json"
VERDICT, METRICS, PLOTS = "reports/verdict.json", "reports/metrics.json", "reports/plots"
TEST, PREDICTIONS = "data/test.parquet", "reports/predictions.parquet"
PAGES = (VERDICT, METRICS, LEADERS, "reports/index.html")
REPORTS = (VERDICT, METRICS, "reports/index.html", PLOTS, PREDICTIONS)

Files = Mapping[str, bytes]


def read(root: Path, project: str, stages: Mapping[str, Made]) -> tuple[Run, Model] | None:
    """Return run and model of the winner, or None while its files are not whole, or not of one run of the line."""
    stage = stages.get("evaluate")
    if stage is None or not made.is_whole(root, TEST, stage.deps[TEST]):
        return None
    recorded = {path: stage.outs[path] for path in REPORTS} | {path: stage.deps[path] for path in (PREDICTOR, LEADERS)}
    read = {path: made.content(root, path, md5) for path, md5 in recorded.items()}
    files = {path: found for path, found in read.items() if found is not None}
    if len(files) < len(recorded):
        return None
    winner = _Winner(root, stage, stages, files)
    return winner.run(), winner.model(project)


class _Winner:
    """The files of a winner, all of one run of the line."""

    def __init__(self, root: Path, stage: Made, stages: Mapping[str, Made], files: Mapping[str, Files]) -> None:
        self.root, self.stage, self.files = root, stage, files
        self.verdict, self.scores, self.leaders = (_json(files, path) for path in (VERDICT, METRICS, LEADERS))
        self.card = json.loads(files[PREDICTOR]["predictor.json"])
        self.digest = digest.of_bytes(files[PREDICTOR][digest.MANIFEST])
        fit = stages.get("fit")
        self.maker = made.maker(root, fit if fit and fit.outs.get(PREDICTOR) == stage.deps[PREDICTOR] else stage)
        self.chain = _chain(stage, stages)
        named = {"family": self.card["family"], "problem": self.card["problem"], "seed": stage.params["seed"]}
        self.params = {n: as_text(v) for n, v in {**self.card["settings"], **self.card["decision"], **named}.items()}
        self.points = tuple(Point(name, float(value)) for name, value in sorted(self.scores.items()))

    def run(self) -> Run:
        """Return what its run should hold."""
        key = key_of("winner", predictor=self.digest, outs=dict(self.stage.outs), leaders=self.stage.deps[LEADERS])
        note = {"mlflow.note.content": _note(self.verdict, self.scores, self.leaders)}
        return Run(
            key=key,
            content=key,
            name=f"winner {self.card['family']}",
            tags={**self._tags(), **note, KEY: key, CONTENT: key, KIND: "winner"},
            params=self.params,
            points=(*self.points, *_standing(self.leaders, self.card["family"])),
            began=self.maker.began,
            ended=self.maker.ended,
            files=self._artifacts(),
            tables=self._tables(),
        )

    def model(self, project: str) -> Model:
        """Return what the registry should hold."""
        return Model(
            key=key_of("model", predictor=self.digest, predictions=self.stage.outs[PREDICTIONS]),
            name=project,
            predictor=self.files[PREDICTOR],
            predictions=self.files[PREDICTIONS]["predictions.parquet"],
            digest=self.digest,
            accepted=self.verdict["accepted"],
            params=self.params,
            points=self.points,
            tags={name: value for name, value in self._tags().items() if name.startswith("lockstep.")},
        )

    def _tags(self) -> dict[str, str]:
        return {
            **self.maker.tags,
            "lockstep.family": self.card["family"],
            "lockstep.problem": self.card["problem"],
            "lockstep.verdict": "accepted" if self.verdict["accepted"] else "rejected",
            "lockstep.predictor": self.digest,
            **{f"lockstep.{name}": self.stage.deps[f"data/{name}.parquet"] for name in ("train", "test")},
            **({"lockstep.source": self.chain[-1].deps["data/source.lock"]} if self.chain else {}),
            **_packaged(self.root, self.digest),
            "mlflow.source.name": "lockstep fit",
            "mlflow.source.type": "LOCAL",
        }

    def _artifacts(self) -> dict[str, bytes]:
        single = {name: self.files[path][name] for path in PAGES for name in self.files[path]}
        plots = {f"plots/{name}": content for name, content in self.files[PLOTS].items()}
        page = "reports/validation.html"
        validation = made.content(self.root, page, self.chain[1].outs[page]) if self.chain else None
        return {**single, **plots, **(validation or {})}

    def _tables(self) -> tuple[Table, ...]:
        contract = contracts.loads(self.files[PREDICTOR]["contract.json"])
        columns = tuple((name, TYPES[c.kind]) for name, c in contract.columns.items() if c.role != "ignored")
        paths = {"train": "training", "test": "evaluation"}
        return tuple(
            Table(name, self.stage.deps[path], path, context, columns, _n_rows(self.root, path, self.stage.deps[path]))
            for name, context in paths.items()
            for path in (f"data/{name}.parquet",)
        )


def _json(files: Mapping[str, Files], path: str) -> Any:
    return json.loads(files[path][Path(path).name])


def _chain(stage: Made, stages: Mapping[str, Made]) -> list[Made]:
    """Return split, validate and ingest if they made what evaluate read; nothing if one of them was run again since."""
    chain, needed = [], {"data/train.parquet": stage.deps["data/train.parquet"]}
    for name, taken in (("split", "data/valid.parquet"), ("validate", "data/raw.parquet"), ("ingest", "")):
        found = stages.get(name)
        if found is None or not needed.items() <= found.outs.items():
            return []
        chain.append(found)
        needed = {taken: found.deps[taken]} if taken else {}
    return chain


def _packaged(root: Path, predictor: str) -> dict[str, str]:
    """Return the tags of the release that holds the predictor, if the last package is one."""
    try:
        record = json.loads((root / BENTO).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    if record.get("predictor") != predictor:
        return {}
    return {"lockstep.release": record["release"], "lockstep.bento": record["bento"]}


def _standing(leaders: Sequence[Mapping[str, Any]], family: str) -> tuple[Point, ...]:
    """Return how the winner did in its search, under the names that the searches use."""
    own = next(entry for entry in leaders if entry["family"] == family)
    return (Point("loss", own["loss"]), *(Point("fold_loss", loss, fold) for fold, loss in enumerate(own["losses"])))


def _n_rows(root: Path, path: str, recorded: str) -> int | None:
    """Return the number of rows, where the file is still the recorded one."""
    from pyarrow import parquet

    return int(parquet.read_metadata(root / path).num_rows) if made.is_whole(root, path, recorded) else None


def _note(verdict: Mapping[str, Any], scores: Mapping[str, float], leaders: Sequence[Mapping[str, Any]]) -> str:
    names = plugins.load("problems", verdict["problem"]).METRICS
    rows = [
        f"| {name} | {scores[name]:.5g} | {_figure(scores, f'linear_{name}')} | {_figure(scores, f'trivial_{name}')} |"
        for name in names
        if name in scores
    ]
    failed = [f"- **{gate['gate']}** failed: {gate['reason']}" for gate in verdict["gates"] if not gate["passed"]]
    stood = ", ".join(f"{entry['family']} {entry['loss']:.5g}" for entry in leaders)
    said = "accepted by every gate" if verdict["accepted"] else "**rejected**"
    head = (
        f"The winner is `{verdict['family']}`, {said}, judged on {scores['n_rows']:.0f} test rows. Searches: {stood}."
    )
    table = ["| score | winner | linear | trivial |", "|---|---|---|---|", *rows]
    return "\n".join([head, "", *failed, *([""] if failed else []), *table, "", "`index.html` is the whole report."])


def _figure(scores: Mapping[str, float], name: str) -> str:
    return f"{scores[name]:.5g}" if name in scores else "-"
