"""A file is answered as the service answers its rows: the same bits, the same refusals, row by row."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_project

from lockstep import contract as contracts
from lockstep import predictor, release, replay
from lockstep.commands import predict as command
from lockstep.commands.predict import predict
from lockstep.contract.read import read
from lockstep.contract.request import Door
from lockstep.errors import Breach, ReleaseError, SourceError

Made = Callable[..., Path]
N_ROWS = 40


@pytest.fixture
def table(tmp_path: Path) -> Path:
    small_project.draw(N_ROWS, seed=8).drop(columns=["target", "grade", "amount"]).to_csv(
        tmp_path / "in.csv", index=False
    )
    return tmp_path / "in.csv"


def answers(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


def edit(table: Path, **cells: str) -> Path:
    """Set a cell of each named column: of the first row for the first column, and so on."""
    rows = pd.read_csv(table, dtype=str, keep_default_na=False)
    for i, (name, value) in enumerate(cells.items()):
        rows.loc[i, name] = value
    rows.to_csv(table, index=False)
    return table


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_a_file_is_answered_as_requests_are_to_the_last_bit(
    problem: str, ending: str, made: Made, table: Path, tmp_path: Path
) -> None:
    root = made(problem, "linear" if problem == "regression" else "xgboost")
    model = predictor.load(root / "models" / "predictor")
    door, out = Door(model.contract), tmp_path / f"out.{ending}"
    requests = replay.request_rows(
        read(pd.read_csv(table, dtype=str), model.contract, target=False).rows, model.contract
    )
    expected = model.predict_rows([door.check(row).values for row in requests])

    said = predict(root, table, out)

    written = answers(out)
    chances = [f"probability_{name}" for name in model.card.classes]
    assert list(written.columns) == ["prediction", *chances, "refused"]
    assert written["prediction"].tolist() == list(expected.values)
    if chances:
        assert written[chances].to_numpy().tobytes() == np.ascontiguousarray(expected.output).tobytes()
    assert written["refused"].isna().all()
    assert said == f"{N_ROWS} rows answered by {model.digest[:12]}, 0 of them refused: {out}"


def test_refused_rows_come_out_in_their_place_without_an_answer_and_with_every_reason(
    root: Path, table: Path, tmp_path: Path
) -> None:
    edit(
        table, low="much", high="-3", colour="pink", account="B12", active="perhaps", opened="1999-12-31", town="beyond"
    )

    said = predict(root, table, tmp_path / "out.csv")

    written = answers(tmp_path / "out.csv")
    assert len(written) == N_ROWS
    assert written["refused"].isna().tolist() == [False] * 6 + [True] * (N_ROWS - 6)
    assert written.loc[:5, ["prediction", "probability_no", "probability_yes"]].isna().all(axis=None)
    assert written.loc[6:, ["prediction", "probability_no", "probability_yes"]].notna().all(axis=None)
    for row, reason in enumerate(
        [
            "low: must be a number",
            "high: be_between",
            "colour: be_in_set",
            "account: match_regex",
            "active: must be a boolean",
            "opened: be_between",
        ]
    ):
        assert reason in written["refused"][row]
    assert "6 of them refused" in said


def test_what_is_refused_of_a_file_is_refused_of_a_request(root: Path, table: Path, tmp_path: Path) -> None:
    edit(
        table,
        low="",
        high="-3",
        colour="pink",
        account="",
        active="",
        opened="",
        seen="",
        remark="x" * 300,
        town="beyond",
    )
    contract = contracts.load(root)
    rows = read(pd.read_csv(table, dtype=str), contract, target=False).rows
    door = Door(contract)

    predict(root, table, tmp_path / "out.csv")

    faults = [door.check(row).faults for row in replay.request_rows(rows, contract)]
    refused = [bool(found) for found in faults]
    assert refused[:9] == [True, True, True, False, False, False, False, True, False]
    written = answers(tmp_path / "out.csv")["refused"].fillna("")
    assert written.tolist() == ["; ".join(f"{fault.field}: {fault.rule}" for fault in found) for found in faults]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_of_refused_rows_alone_is_answered_too(ending: str, root: Path, table: Path, tmp_path: Path) -> None:
    pd.read_csv(table).assign(high=-1.0).to_csv(table, index=False)

    said = predict(root, table, tmp_path / f"out.{ending}")

    assert "40 rows answered" in said
    assert "40 of them refused" in said
    assert answers(tmp_path / f"out.{ending}")["prediction"].isna().all()


def test_a_category_never_seen_is_answered(root: Path, table: Path, tmp_path: Path) -> None:
    predict(root, edit(table, town="atlantis"), tmp_path / "out.csv")

    assert answers(tmp_path / "out.csv")["refused"].isna().all()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("n_rows", [1, 7, N_ROWS])
def test_chunks_change_nothing(
    n_rows: int, ending: str, root: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(table, low="much", high="-3")
    predict(root, table, tmp_path / f"whole.{ending}")

    monkeypatch.setattr(command, "CHUNK_ROWS", n_rows)
    predict(root, table, tmp_path / f"chunks.{ending}")

    pd.testing.assert_frame_equal(answers(tmp_path / f"chunks.{ending}"), answers(tmp_path / f"whole.{ending}"))
    if ending == "csv":
        assert (tmp_path / "chunks.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize("ending", ["csv.gz", "tsv", "jsonl", "parquet"])
def test_every_format_is_answered_alike(ending: str, root: Path, table: Path, tmp_path: Path) -> None:
    predict(root, table, tmp_path / "csv.csv")
    rows, other = pd.read_csv(table), tmp_path / f"in.{ending}"
    match ending:
        case "parquet":
            rows.to_parquet(other, index=False)
        case "jsonl":
            rows.to_json(other, orient="records", lines=True, double_precision=15)
        case _:
            rows.to_csv(other, index=False, sep="\t" if ending == "tsv" else ",")

    predict(root, other, tmp_path / "other.csv")

    if ending == "jsonl":  # pandas writes numbers of a few digits less
        pd.testing.assert_frame_equal(answers(tmp_path / "other.csv"), answers(tmp_path / "csv.csv"))
    else:
        assert (tmp_path / "other.csv").read_bytes() == (tmp_path / "csv.csv").read_bytes()


def test_the_target_and_what_the_model_does_not_need_may_be_there_or_not(
    root: Path, table: Path, tmp_path: Path
) -> None:
    rows = pd.read_csv(table)
    rows.assign(target="maybe").to_csv(tmp_path / "with.csv", index=False)
    rows.drop(columns=["account", "seen", "note", "remark"]).assign(seen=rows["seen"]).to_csv(
        tmp_path / "without.csv", index=False
    )

    for name in ("in", "with", "without"):
        predict(root, tmp_path / f"{name}.csv", tmp_path / f"{name}.out.csv")

    plain = answers(tmp_path / "in.out.csv")
    pd.testing.assert_frame_equal(answers(tmp_path / "with.out.csv"), plain)
    assert answers(tmp_path / "without.out.csv")["refused"].isna().all()


def test_the_lines_own_tables_are_answered(root: Path, tmp_path: Path) -> None:
    predict(root, root / "data" / "test.parquet", tmp_path / "out.parquet")

    expected = pd.read_parquet(root / "reports" / "predictions.parquet").drop(columns="row")
    pd.testing.assert_frame_equal(
        answers(tmp_path / "out.parquet").drop(columns="refused"), expected, check_dtype=False
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.drop(columns="low"), r"column 'low' is missing from the table"),
        (
            lambda rows: rows.rename(columns={"low": "lo"}),
            r"column 'low' is missing .*Was it renamed\? The table has \['lo'\]",
        ),
        (lambda rows: rows.assign(more=1), r"column 'more' is not in the contract"),
    ],
)
def test_other_columns_are_refused_by_name_and_nothing_is_written(
    change: Callable[[pd.DataFrame], pd.DataFrame], said: str, root: Path, table: Path, tmp_path: Path
) -> None:
    change(pd.read_csv(table)).to_csv(table, index=False)

    with pytest.raises(Breach, match=said):
        predict(root, table, tmp_path / "out.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "project"]


def test_a_file_cut_off_leaves_no_half_answer_and_what_was_there_stays(
    root: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out.csv").write_text("yesterday's")
    table.write_bytes(table.read_bytes()[:-30])
    monkeypatch.setattr(command, "CHUNK_ROWS", 5)

    with pytest.raises(SourceError, match=r"line 41 must hold 10 cells"):
        predict(root, table, tmp_path / "out.csv")

    assert (tmp_path / "out.csv").read_text() == "yesterday's"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv", "project"]


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("out.xlsx", r"--to must end in .csv or .parquet; got 'out.xlsx'"),
        ("no/out.csv", r"--to names a folder that does not exist"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_first(
    to: str, said: str, root: Path, table: Path, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=said):
        predict(root, table, tmp_path / to)


def test_without_a_live_release_it_says_what_to_run(root: Path, table: Path, tmp_path: Path) -> None:
    (root / ".lockstep" / "live.json").unlink()

    with pytest.raises(ReleaseError, match=r"nothing is live: .*`make run`"):
        predict(root, table, tmp_path / "out.csv")


def test_what_is_live_answers_whatever_was_fitted_since(root: Path, table: Path, tmp_path: Path) -> None:
    live = release.live(root)
    assert live
    shutil.rmtree(root / "models" / "predictor")

    assert re.search(rf"answered by {live['model'][:12]}", predict(root, table, tmp_path / "out.csv"))


def test_the_separator_of_the_projects_source_is_that_of_the_file(root: Path, table: Path, tmp_path: Path) -> None:
    predict(root, table, tmp_path / "plain.csv")
    path = root / "params.yaml"
    path.write_text(path.read_text().replace("path: table.csv", "path: table.csv, separator: ';'"))
    pd.read_csv(table).to_csv(tmp_path / "semicolons.csv", index=False, sep=";")

    predict(root, tmp_path / "semicolons.csv", tmp_path / "out.csv")

    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()
