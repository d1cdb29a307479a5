import json

import numpy as np
import pandas as pd
import pytest

from lockstep import contract as contracts
from lockstep.contract import Contract
from lockstep.errors import LeakError, SplitError
from lockstep.params import Split
from lockstep.steps.split import divide, fold_masks


def contract(**roles: str) -> Contract:
    columns = {
        "x": {"kind": "number"},
        "y": {"kind": "category", "role": "target"},
        "g": {"kind": "category", "role": roles.get("g", "id")},
        "t": {"kind": "date", "role": roles.get("t", "id")},
        "part": {"kind": "category", "role": "id"},
    }
    return contracts.loads(json.dumps({"meta": {"columns": columns}}).encode())


def table(n_rows: int = 600, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "x": rng.normal(size=n_rows),
            "y": np.where(rng.random(n_rows) < 0.1, "yes", "no"),
            "g": rng.integers(0, 60, n_rows).astype(str),
            "t": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 100, n_rows), unit="D"),
            "part": np.where(rng.random(n_rows) < 0.3, "test", "train"),
        },
        index=np.arange(n_rows) * 2,
    )


def test_every_row_stands_in_one_part_and_in_one_fold():
    rows = table()
    found = divide(rows, contract(), Split(), seed=1)
    assert sorted([*found.train.index, *found.test.index]) == list(rows.index)
    assert found.train.index.is_monotonic_increasing
    assert found.folds.index.equals(found.train.index)
    assert sorted(found.folds["fold"].unique()) == [0, 1, 2, 3, 4]
    covered = np.sum([valid for _, valid in fold_masks(found.folds)], axis=0)
    assert (covered == 1).all()


def test_classes_are_spread_evenly_over_parts_and_folds():
    found = divide(table(2000), contract(), Split(duplicates="keep"), seed=1)
    share = (found.train["y"] == "yes").mean()
    assert (found.test["y"] == "yes").mean() == pytest.approx(share, abs=0.003)
    by_fold = (found.train["y"] == "yes").groupby(found.folds["fold"]).mean()
    assert by_fold.max() - by_fold.min() < 0.01
    assert len(found.test) == pytest.approx(400, abs=2)


def test_numbers_are_spread_evenly_too():
    columns = {"x": {"kind": "number"}, "y": {"kind": "number", "role": "target"}}
    numeric = contracts.loads(json.dumps({"meta": {"columns": columns}}).encode())
    rows = pd.DataFrame({"x": np.arange(1000.0), "y": np.random.default_rng(0).lognormal(size=1000)})
    found = divide(rows, numeric, Split(), seed=1)
    assert found.test["y"].quantile([0.1, 0.5, 0.9]).to_numpy() == pytest.approx(
        found.train["y"].quantile([0.1, 0.5, 0.9]).to_numpy(), rel=0.15
    )


def test_the_same_seed_divides_alike_and_another_does_not():
    rows = table()
    first, again, other = (divide(rows, contract(), Split(), seed=seed) for seed in (1, 1, 2))
    assert first.test.index.equals(again.test.index)
    assert first.folds.equals(again.folds)
    assert not first.test.index.equals(other.test.index)


def test_equal_inputs_never_stand_on_both_sides_unless_kept():
    rows = table().assign(x=lambda frame: frame["x"].round(1))
    grouped = divide(rows, contract(), Split(), seed=1)
    assert not set(grouped.train["x"]) & set(grouped.test["x"])
    assert (grouped.folds["fold"].groupby(grouped.train["x"]).nunique() == 1).all()
    kept = divide(rows, contract(), Split(duplicates="keep"), seed=1)
    assert set(kept.train["x"]) & set(kept.test["x"])


def test_groups_stay_together_also_where_equal_inputs_connect_them():
    rows = table()
    rows.loc[rows["g"].isin(["1", "2"]), "x"] = 0.5
    found = divide(rows, contract(g="group"), Split(kind="group"), seed=1)
    assert not set(found.train["g"]) & set(found.test["g"])
    assert (found.folds["fold"].groupby(found.train["g"]).nunique() == 1).all()
    connected = [part for part in (found.train, found.test) if part["g"].isin(["1", "2"]).any()]
    assert len(connected) == 1, "the two groups share equal inputs, so they are one unit"


def test_a_group_on_both_sides_is_refused_unless_accepted():
    with pytest.raises(LeakError, match=r"group 'g' stands on both sides of the split.*split\.kind: group"):
        divide(table(), contract(g="group"), Split(), seed=1)
    accepted = divide(table(), contract(g="group"), Split(accept_leaks=("g",)), seed=1)
    assert set(accepted.train["g"]) & set(accepted.test["g"])


def test_by_time_the_future_judges_the_past_and_equal_times_stay_together():
    found = divide(table(), contract(t="time"), Split(kind="time"), seed=1)
    assert found.train["t"].max() < found.test["t"].min()
    assert len(found.test) == pytest.approx(120, abs=15)
    folds = found.folds["fold"]
    assert sorted(folds.unique()) == [-1, 0, 1, 2, 3, 4]
    for number, (learn, valid) in enumerate(fold_masks(found.folds)):
        assert found.train["t"][learn].max() < found.train["t"][valid].min()
        assert (folds[learn] < number).all()


def test_the_hold_out_takes_the_most_recent_rows_of_any_kind_of_split():
    rows = table()
    for kind in ("random", "time"):
        found = divide(rows, contract(t="time"), Split(kind=kind, holdout=0.1), seed=1)
        assert found.holdout["t"].min() > max(found.train["t"].max(), found.test["t"].max())
        assert len(found.holdout) == pytest.approx(60, abs=12)
        assert len(found.train) + len(found.test) + len(found.holdout) == len(rows)


def test_a_predefined_split_is_taken_as_it_stands():
    rows = table()
    found = divide(rows, contract(), Split(kind="predefined", column="part", duplicates="keep"), seed=1)
    assert (found.test["part"] == "test").all()
    assert (found.train["part"] == "train").all()


@pytest.mark.parametrize(
    ("settings", "change", "match"),
    [
        (Split(kind="group"), {}, "needs a column of role 'group'"),
        (Split(kind="time"), {}, "needs a column of role 'time'"),
        (Split(holdout=0.1), {}, r"split\.holdout needs a column of role 'time'"),
        (Split(kind="predefined", column="prat"), {}, r"'prat' is no column.*Did you mean 'part'\?"),
        (Split(kind="predefined", column="x"), {}, "'x' must not be an input"),
        (Split(kind="predefined", column="part"), {"part": "train"}, r"must say 'train' or 'test' in every row"),
        (Split(kind="predefined", column="part"), {"part": None}, "and missing"),
    ],
)
def test_a_division_that_cannot_be_made_is_refused(settings: Split, change: dict[str, object], match: str):
    with pytest.raises(SplitError, match=match):
        divide(table().assign(**change), contract(), settings, seed=1)


def test_too_few_rows_are_refused():
    with pytest.raises(SplitError, match="at least 20 rows to train on; 15 rows gave"):
        divide(table(15), contract(), Split(), seed=1)


def test_a_row_without_its_time_or_group_is_named():
    rows = table()
    with pytest.raises(SplitError, match="needs the time 't' of every row; 1 miss it"):
        divide(rows.assign(t=rows["t"].where(rows.index != 4)), contract(t="time"), Split(kind="time"), seed=1)
    with pytest.raises(SplitError, match="group 'g' cannot be placed; 1 miss it"):
        divide(rows.assign(g=rows["g"].where(rows.index != 4)), contract(g="group"), Split(kind="group"), seed=1)


def test_folds_by_time_need_several_times():
    rows = table()
    last = rows["t"] > rows["t"].quantile(0.7)
    rows["t"] = pd.Timestamp("2024-01-01")
    rows.loc[last, "t"] = pd.Timestamp("2024-02-01")
    with pytest.raises(SplitError, match="folds by time need several times in train"):
        divide(rows, contract(t="time"), Split(kind="time"), seed=1)


def test_rows_are_not_changed():
    rows = table()
    before = rows.copy()
    divide(rows, contract(), Split(), seed=1)
    pd.testing.assert_frame_equal(rows, before)


@pytest.mark.parametrize("seed", range(6))
def test_few_groups_give_fewer_folds_and_none_that_is_empty(seed: int):
    rows = table(400).assign(g=lambda frame: (np.arange(len(frame)) % 6).astype(str))
    found = divide(rows, contract(g="group"), Split(kind="group"), seed=seed)
    for learn, valid in fold_masks(found.folds):
        assert learn.any()
        assert valid.any()


def test_train_that_is_one_unit_cannot_be_cut_into_folds():
    rows = table(60).assign(x=1.0, part=["train"] * 50 + ["test"] * 10)
    with pytest.raises(SplitError, match="train must hold at least two groups, or different inputs"):
        divide(rows, contract(), Split(kind="predefined", column="part"), seed=1)


def test_the_share_of_test_is_of_all_rows_whatever_the_hold_out():
    for kind in ("random", "time"):
        found = divide(table(2000), contract(t="time"), Split(kind=kind, holdout=0.2, duplicates="keep"), seed=1)
        assert len(found.test) == pytest.approx(400, abs=30)
