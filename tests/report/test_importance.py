import numpy as np
import pandas as pd
import pytest

from lockstep.report.importance import N_ROWS, permutation_importance


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"strong": rng.normal(size=2_000), "weak": rng.normal(size=2_000), "unused": rng.choice(["a", "b"], 2_000)},
        index=rng.permutation(9_000)[:2_000],
    )
    return frame.assign(when=pd.Timestamp("2024-01-01"))


def losses(rows):
    """Squared errors of 3 strong + weak, whose target is looked up by the row's number."""
    rng = np.random.default_rng(0)
    strong, weak = rng.normal(size=2_000), rng.normal(size=2_000)
    rng.choice(["a", "b"], 2_000)
    target = pd.Series(3 * strong + weak, index=rng.permutation(9_000)[:2_000])
    return (3 * rows["strong"] + rows["weak"] - target.loc[rows.index]).to_numpy() ** 2


def test_the_most_informative_column_comes_first_and_an_unused_one_has_exactly_no_increase(rows):
    found = permutation_importance(losses, rows, ["unused", "weak", "strong"], seed=1)
    assert found["column"].tolist() == ["strong", "weak", "unused"]
    assert found["increase"].iloc[0] == pytest.approx(2 * 9, rel=0.15)  # shuffling doubles the variance
    assert found["increase"].iloc[1] == pytest.approx(2 * 1, rel=0.15)
    assert found.iloc[2, 1:].tolist() == [0, 0, 0]
    assert (found["low"] <= found["increase"]).all()
    assert (found["increase"] <= found["high"]).all()
    assert (found["low"] < found["high"]).tolist() == [True, True, False]


def test_same_seed_same_numbers_whatever_the_order_of_columns(rows):
    once = permutation_importance(losses, rows, ["strong", "weak", "unused"], seed=1)
    again = permutation_importance(losses, rows, ["weak", "strong", "unused"], seed=1)
    alone = permutation_importance(losses, rows, ["weak"], seed=1)
    other = permutation_importance(losses, rows, ["strong", "weak", "unused"], seed=2)
    pd.testing.assert_frame_equal(once, again, check_exact=True)
    assert alone["increase"].item() == once["increase"].iloc[1]
    assert not other["increase"].equals(once["increase"])


def test_one_column_is_shuffled_at_a_time_with_types_and_index_kept_and_the_rows_unchanged(rows):
    before, seen = rows.copy(), []
    permutation_importance(
        lambda given: seen.append(given) or losses(given), rows, ["strong", "when"], seed=1, repeats=2
    )
    pd.testing.assert_frame_equal(rows, before)
    assert len(seen) == 1 + 2 * 2
    for given in seen:
        assert given.dtypes.equals(rows.dtypes)
        assert given.index.equals(seen[0].index)
    for given in seen[1:3]:
        assert not given["strong"].equals(seen[0]["strong"])
        assert sorted(given["strong"]) == sorted(rows["strong"])
        pd.testing.assert_frame_equal(given.drop(columns="strong"), seen[0].drop(columns="strong"))


def test_of_a_large_table_only_a_sample_is_used():
    rows, sizes = pd.DataFrame({"x": np.arange(N_ROWS + 1_000.0)}), []
    permutation_importance(lambda given: sizes.append(len(given)) or given["x"].to_numpy(), rows, ["x"], seed=1)
    assert set(sizes) == {N_ROWS}


def test_a_column_may_be_called_self() -> None:
    rows = pd.DataFrame({"self": np.arange(50.0), "y": np.arange(50.0)})
    found = permutation_importance(lambda r: (r["self"] - r["y"]).to_numpy() ** 2, rows, ["self"], seed=1)
    assert found["increase"].iloc[0] > 0
