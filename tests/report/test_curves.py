import io

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import auc, average_precision_score, confusion_matrix, roc_auc_score

from lockstep.report import curves


def test_each_problem_has_its_figures(binary_frames, multiclass_frames, regression_frames):
    both = {"importance", "search"}
    assert set(binary_frames) == {"roc", "precision_recall", "calibration", "confusion", "confusion_rows"} | both
    assert set(multiclass_frames) == {"calibration", "confusion", "confusion_rows"} | both
    assert set(regression_frames) == {"residuals", "residual_histogram"} | both


def test_the_area_below_the_written_roc_curve_is_that_of_scikit_learn(scored, binary_frames):
    y, output, _ = scored
    roc = pd.read_csv(io.StringIO(binary_frames["roc"].to_csv(index=False)))
    assert len(roc) <= curves.N_CURVE_POINTS < len(np.unique(output[:, 1]))
    assert roc[["fpr", "tpr"]].iloc[[0, -1]].to_numpy().tolist() == [[0, 0], [1, 1]]
    assert auc(roc["fpr"], roc["tpr"]) == pytest.approx(roc_auc_score(y, output[:, 1]), abs=1e-4)


def test_a_short_roc_curve_keeps_every_point():
    positive, score = np.array([True, False, True, True, False]), np.array([0.9, 0.8, 0.8, 0.3, 0.1])
    roc = curves.roc(positive, score, n_taken=3)
    assert roc["fpr"].tolist() == [0, 0, 0.5, 0.5, 1]
    assert roc["tpr"].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    assert roc["threshold"].tolist()[1:] == [0.9, 0.8, 0.3, 0.1]
    assert roc["chosen"].tolist() == [False, False, True, False, False]
    assert auc(roc["fpr"], roc["tpr"]) == pytest.approx(roc_auc_score(positive, score), abs=1e-12)


def test_precision_over_recall_sums_to_the_average_precision(scored):
    y, output, predicted = scored
    few = slice(0, 300)
    frame = curves.precision_recall(y[few] == 1, output[few, 1], int(predicted[few].sum()))
    found = (np.diff(frame["recall"], prepend=0) * frame["precision"]).sum()
    assert found == pytest.approx(average_precision_score(y[few], output[few, 1]), abs=1e-12)
    chosen = frame[frame["chosen"]].iloc[0]
    assert chosen["precision"] == pytest.approx(y[few][predicted[few] == 1].mean())


def test_the_threshold_that_serves_is_marked_once_although_curves_are_thinned(scored, binary_frames):
    y, _, predicted = scored
    chosen = binary_frames["roc"][binary_frames["roc"]["chosen"]]
    assert len(chosen) == 1
    assert chosen["tpr"].item() == pytest.approx(predicted[y == 1].mean(), abs=1e-5)
    assert chosen["fpr"].item() == pytest.approx(predicted[y == 0].mean(), abs=1e-5)


def test_taking_no_row_is_the_origin_and_has_no_precision():
    positive, score = np.array([True, False]), np.array([0.2, 0.1])
    assert curves.roc(positive, score, 0)["chosen"].tolist() == [True, False, False]
    assert not curves.precision_recall(positive, score, 0)["chosen"].any()


def test_rows_of_one_class_have_no_roc_curve(importance, search):
    output = np.array([[0.4, 0.6], [0.7, 0.3]])
    frames = curves.curves(("a", "b"), np.array([1, 1]), output, np.array([1, 0]), importance, search)
    assert "roc" not in frames
    assert "precision_recall" not in frames
    assert frames["calibration"]["n_rows"].sum() == 2


def test_calibration_counts_what_happened_in_bins_of_equally_many_rows():
    probability = np.repeat(np.arange(10) / 10 + 0.05, 20)
    happened = np.concatenate([np.arange(20) < 2 * i for i in range(10)])
    found = curves.calibration(happened, probability)
    assert found["n_rows"].tolist() == [20] * 10
    assert found["predicted"].tolist() == pytest.approx(np.arange(10) / 10 + 0.05)
    assert found["observed"].tolist() == pytest.approx(np.arange(10) / 10)
    assert found["low"].iloc[0] == 0
    assert found["high"].iloc[0] == pytest.approx(0.1611252, abs=1e-6)  # Wilson's z^2 / (n + z^2)
    assert ((found["low"] <= found["observed"]) & (found["observed"] <= found["high"])).all()


def test_calibration_of_a_constant_is_one_bin():
    found = curves.calibration(np.array([True, False, False, False]), np.full(4, 0.3))
    assert found[["predicted", "observed", "n_rows"]].to_numpy().tolist() == [[pytest.approx(0.3), 0.25, 4]]


def test_wilson_gives_the_textbook_interval():
    low, high = curves.wilson(np.array([81]), np.array([263]))  # Newcombe 1998, table I, method 3
    assert (round(low[0], 4), round(high[0], 4)) == (0.2553, 0.3662)


def test_confusion_counts_every_row_as_scikit_learn_does(scored, binary_frames):
    y, _, predicted = scored
    table = binary_frames["confusion"].pivot_table(index="actual", columns="predicted", values="n_rows", sort=False)
    assert table.to_numpy().tolist() == confusion_matrix(y, predicted).tolist()
    assert list(table.index) == list(table.columns) == ["stayed", "churned"]
    assert binary_frames["confusion"].groupby("actual")["share"].sum().tolist() == pytest.approx([1, 1], abs=1e-5)


def test_single_rows_for_confusion_are_capped():
    y = np.arange(50_000) % 2
    found = curves.confusion_rows(("a", "b"), y, 1 - y)
    assert len(found) == curves.N_CONFUSION_ROWS
    assert set(map(tuple, found.to_numpy())) == {("a", "b"), ("b", "a")}


def test_residuals_keep_the_extremes_and_the_histogram_every_row(regression_frames):
    scatter, histogram = regression_frames["residuals"], regression_frames["residual_histogram"]
    assert len(scatter) == curves.N_SCATTER_POINTS
    np.testing.assert_allclose(scatter["actual"] - scatter["predicted"], scatter["residual"], atol=10)
    assert histogram["n_rows"].sum() == 4_000
    assert (histogram["low"] < histogram["high"]).all()


def test_a_perfect_prediction_has_a_histogram_too():
    assert curves.residual_histogram(np.zeros(7))["n_rows"].sum() == 7


def test_the_best_loss_so_far_never_rises_and_skips_trials_without_one(search):
    found = curves.best_so_far(search)
    assert found.loc[found["family"] == "linear", "best"].tolist() == [0.5, 0.48, 0.48]
    assert found.loc[found["family"] == "xgboost", "best"].tolist()[1:] == [0.47, 0.47, 0.43]
    assert np.isnan(found.loc[found["family"] == "xgboost", "best"].iloc[0])
    assert found["trial"].tolist() == [1, 2, 3, 1, 2, 3, 4]
    assert curves.best_so_far({"linear": []}).empty


def test_at_most_twenty_columns_are_shown(scored, search):
    many = pd.DataFrame({"column": [f"c{i}" for i in range(30)], "increase": 1 / 3, "low": 0.3, "high": 0.4})
    shown = curves.curves(("a", "b"), *scored, many, search)["importance"]
    assert shown["column"].tolist() == [f"c{i}" for i in range(20)]
    assert shown["increase"].unique().tolist() == [0.333333]
