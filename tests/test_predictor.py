import datetime as dt
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lockstep import digest, encoder, features, predictor
from lockstep.encoder import Part
from lockstep.errors import IntegrityError, UnknownName
from lockstep.families import Task, largest_difference, linear
from lockstep.predictor import Card

SOURCE = "def per_room(price, rooms): return price / rooms\n"
COLUMNS = {
    "price": {"kind": "number"},
    "rooms": {"kind": "number"},
    "city": {"kind": "category"},
    "built": {"kind": "date"},
}
ROW = {"price": 3.0, "rooms": 0.0, "city": "é", "built": dt.datetime(2024, 1, 31)}


@pytest.fixture(scope="module")
def contract(contract_of):
    return contract_of(COLUMNS)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    built = pd.Series(np.datetime64("2020-01-01", "us") + rng.integers(0, 10**14, 90).astype("timedelta64[us]"))
    return pd.DataFrame(
        {
            "price": rng.normal(5, 1, 90),
            "rooms": rng.integers(0, 4, 90).astype(float),
            "city": pd.Series(rng.choice(["é", "b"], 90), dtype="str"),
            "built": built,
        }
    )


@pytest.fixture(scope="module")
def trained(contract, rows):
    """What ``save`` takes: a card, a contract, an encoder, the features and a fitted model."""
    loaded = features.load(SOURCE, contract)
    fitted = encoder.fit(rows, contract, loaded.names)
    X = fitted.encode_table(rows.assign(**loaded.of_table(rows)))
    y = (rows["price"] > 5).to_numpy().astype(int)
    model = linear.fit(X, y, Task(2, fitted.parts), linear.defaults(2), seed=1, threads=1)
    card = Card("binary", "linear", ("no", "yes"), {"threshold": 0.25}, {"strength": 0.1})
    return card, contract, fitted, SOURCE, model


@pytest.fixture
def folder(trained, tmp_path):
    predictor.save(tmp_path / "predictor", *trained)
    return tmp_path / "predictor"


def test_what_was_saved_answers_as_before_and_carries_its_digest(trained, rows, tmp_path):
    named = predictor.save(tmp_path / "predictor", *trained)
    loaded = predictor.load(tmp_path / "predictor", named)
    card, _, fitted, _, model = trained
    assert loaded.digest == named == digest.of_file(tmp_path / "predictor" / "manifest.json")
    assert loaded.card == card
    assert loaded.contract.digest == trained[1].digest
    assert loaded.encoder.parts == fitted.parts == loaded.task.parts
    X = loaded.encode_table(rows)
    assert loaded.predict_table(rows).output.tobytes() == model.predict(X).tobytes()
    assert fitted.names == ("price", "rooms", "city", "built.days", *fitted.names[4:-1], "per_room")


def test_saving_twice_gives_one_digest_and_other_content_another(trained, tmp_path):
    card, *rest = trained
    first, second = (predictor.save(tmp_path / name, card, *rest) for name in ("a", "b"))
    other = predictor.save(tmp_path / "c", replace(card, decision={"threshold": 0.5}), *rest)
    assert first == second != other


def test_a_loaded_predictor_saved_again_is_the_same(trained, folder, tmp_path):
    loaded = predictor.load(folder)
    assert (
        predictor.save(tmp_path / "again", loaded.card, loaded.contract, loaded.encoder, SOURCE, trained[-1])
        == loaded.digest
    )


def test_an_existing_folder_is_never_overwritten(trained, folder):
    with pytest.raises(FileExistsError, match="predictor"):
        predictor.save(folder, *trained)


def test_its_files_can_be_read_by_a_person(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "contract.json",
        "encoder.json",
        "features.py",
        "linear.npz",
        "manifest.json",
        "predictor.json",
    ]
    assert json.loads((folder / "predictor.json").read_text("utf-8")) == {
        "problem": "binary",
        "family": "linear",
        "classes": ["no", "yes"],
        "decision": {"threshold": 0.25},
        "settings": {"strength": 0.1},
    }
    assert "é" in (folder / "encoder.json").read_text("utf-8")


@pytest.mark.parametrize("name", ["contract.json", "encoder.json", "features.py", "linear.npz", "predictor.json"])
def test_a_changed_byte_is_refused_by_the_name_of_its_file_before_anything_is_parsed(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 4
    (folder / name).write_bytes(content)
    with pytest.raises(IntegrityError, match=rf"^predictor/{name.replace('.', '[.]')} was changed"):
        predictor.load(folder)


def test_a_missing_or_an_added_file_is_refused_by_name(folder):
    (folder / "sitecustomize.py").write_text("")
    with pytest.raises(IntegrityError, match=r"^sitecustomize\.py does not belong into predictor/"):
        predictor.load(folder)
    (folder / "sitecustomize.py").unlink()
    (folder / "linear.npz").unlink()
    with pytest.raises(IntegrityError, match=r"^linear\.npz is missing from predictor/"):
        predictor.load(folder)


def test_another_predictor_than_the_one_asked_for_is_refused(folder):
    with pytest.raises(IntegrityError, match="must have digest 0000"):
        predictor.load(folder, "0000")


def test_a_family_that_this_project_lacks_is_named(trained, tmp_path):
    card, *rest = trained
    predictor.save(tmp_path / "other", replace(card, family="liner"), *rest)
    with pytest.raises(UnknownName, match=r"no family named 'liner'; .*Did you mean 'linear'"):
        predictor.load(tmp_path / "other")


def test_both_doors_give_the_same_answers_features_among_them(folder, rows):
    loaded = predictor.load(folder)
    records = [{**row, "built": row["built"].to_pydatetime()} for row in rows.to_dict("records")]
    assert np.isnan(loaded.encode_rows([ROW])[0, -1]), "a division by zero is missing"
    assert loaded.encode_table(rows).tobytes() == loaded.encode_rows(records).tobytes()
    assert loaded.predict_table(rows).output.tobytes() == loaded.predict_rows(records).output.tobytes()
    assert loaded.predict_table(rows).values == loaded.predict_rows(records).values


def test_answers_are_names_of_classes_decided_by_the_threshold_chosen_on_train(folder, rows):
    answers = predictor.load(folder).predict_table(rows)
    assert answers.output.shape == (90, 2)
    assert list(answers.values) == np.where(answers.output[:, 1] >= 0.25, "yes", "no").tolist()
    assert set(answers.values) == {"no", "yes"}


def test_an_answer_of_regression_is_the_number_itself(trained, rows, tmp_path):
    card, contract, fitted, source, _ = trained
    loaded = features.load(source, contract)
    X = fitted.encode_table(rows.assign(**loaded.of_table(rows)))
    model = linear.fit(X, rows["price"].to_numpy() * 2, Task(0, fitted.parts), linear.defaults(0), seed=1, threads=1)
    numbers = replace(card, problem="regression", classes=(), decision={})
    predictor.save(tmp_path / "numbers", numbers, contract, fitted, source, model)
    answers = predictor.load(tmp_path / "numbers").predict_table(rows)
    assert answers.values == answers.output.tolist()
    assert isinstance(answers.values[0], float)
    np.testing.assert_allclose(answers.output, rows["price"] * 2, atol=0.1)


def test_predicting_changes_nothing_of_the_table(folder, rows):
    before = rows.copy(deep=True)
    predictor.load(folder).predict_table(rows)
    pd.testing.assert_frame_equal(rows, before)


def test_a_request_is_answered_without_pandas_and_without_what_trains(folder):
    program = f"""
import sys, datetime, pathlib
from lockstep import predictor
answers = predictor.load(pathlib.Path({str(folder)!r})).predict_rows(
    [{{"price": 3.0, "rooms": 0.0, "city": "é", "built": datetime.datetime(2024, 1, 31)}}])
heavy = {{"pandas", "sklearn", "optuna", "great_expectations", "xgboost", "scipy"}} & set(sys.modules)
print(answers.values[0], answers.output[0, 1].hex(), sorted(heavy))
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(predictor.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    here = predictor.load(folder).predict_rows([ROW])
    assert done.stdout.split(maxsplit=2) == [here.values[0], float(here.output[0, 1]).hex(), "[]\n"]


def test_the_largest_difference_of_two_engines_is_over_all_rows_and_outputs():
    parts = (Part("a", "a", "number"),)
    X = np.linspace(-1, 1, 50).reshape(-1, 1)
    one, two = (
        linear.fit(X, slope * X[:, 0], Task(0, parts), linear.defaults(0), seed=1, threads=1) for slope in (1, 3)
    )
    assert largest_difference(one, one, X) == 0
    assert largest_difference(one, two, X) == pytest.approx(2, abs=0.01)
    assert largest_difference(one, two, X[:0]) == 0
