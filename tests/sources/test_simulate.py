"""The simulated table is the one that docs/simulate.md states."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from lockstep.sources import simulate
from lockstep.sources.simulate import Drawn, Settings

ROOT = Path()
NUMBERS = [
    "tenure_months",
    "monthly_charge",
    "total_charges",
    "usage_gb",
    "support_contacts",
    "days_since_login",
    "late_payments",
    "satisfaction",
]
LABELS = ["contract", "plan", "region", "payment_method"]


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return simulate.draw(Settings())


@pytest.fixture(scope="module")
def clean() -> Drawn:
    return simulate.draw(Settings(dirty_share=0))


def said_yes(rows: pd.DataFrame) -> np.ndarray:
    return (rows["churned"] == "yes").to_numpy()


def differs(left: pd.Series, right: pd.Series) -> pd.Series:
    return (left != right) & ~(left.isna() & right.isna())


def test_one_seed_gives_one_table_and_another_seed_another() -> None:
    first = simulate.read(Settings(rows=500), ROOT)
    pd.testing.assert_frame_equal(first, simulate.read(Settings(rows=500), ROOT))
    assert not first.equals(simulate.read(Settings(rows=500, seed=8), ROOT))


def test_the_state_of_the_global_generator_does_not_matter() -> None:
    np.random.seed(0)
    first = simulate.read(Settings(rows=500), ROOT)
    np.random.seed(1)
    pd.testing.assert_frame_equal(first, simulate.read(Settings(rows=500), ROOT))


def test_the_default_table_stays_the_same_on_every_machine(drawn: Drawn) -> None:
    rows = drawn.rows
    assert (rows["customer_id"].nunique(), said_yes(rows).sum()) == (4091, 3398)
    assert rows[["monthly_charge", "usage_gb"]].sum().tolist() == pytest.approx([799873.91, 1078067.7])


@pytest.mark.parametrize("n", [100, 101, 119, 1000, 20_000])
def test_exactly_the_rows_asked_for_come_out(n: int) -> None:
    drawn = simulate.draw(Settings(rows=n))
    assert len(drawn.rows) == len(drawn.churn_probability) == n
    assert drawn.rows.index.equals(pd.RangeIndex(n))


def test_months_are_equally_long_to_within_one_row() -> None:
    counts = simulate.read(Settings(rows=1000), ROOT)["snapshot_month"].value_counts()
    assert len(counts) == simulate.N_MONTHS
    assert counts.max() - counts.min() <= 1


def test_rows_come_by_month_then_customer_one_row_each(drawn: Drawn) -> None:
    keys = drawn.rows[["snapshot_month", "customer_id"]]
    pd.testing.assert_frame_equal(keys, keys.sort_values(["snapshot_month", "customer_id"]))
    assert not keys.duplicated().any()


def test_values_have_the_types_that_users_see(drawn: Drawn) -> None:
    dtypes = drawn.rows.dtypes.astype(str)
    assert "churn_probability" not in dtypes
    assert set(dtypes[["customer_id", "churned", *LABELS]]) == {"str"}
    assert set(dtypes[["snapshot_month", "signup_date"]]) == {"datetime64[us]"}
    assert set(dtypes[["tenure_months", "support_contacts", "days_since_login", "late_payments"]]) == {"int64"}
    assert set(drawn.rows["churned"]) == {"yes", "no"}


@pytest.mark.parametrize(
    ("column", "decimals"), [("monthly_charge", 2), ("total_charges", 2), ("usage_gb", 1), ("satisfaction", 0)]
)
def test_numbers_are_rounded_to_the_precision_shown(drawn: Drawn, column: str, decimals: int) -> None:
    shown = drawn.rows[column].dropna()
    assert (shown == shown.map(lambda value: float(f"{value:.{decimals}f}"))).all()


def test_churn_is_said_once_and_in_the_last_row_of_a_customer(drawn: Drawn) -> None:
    last = ~drawn.rows["customer_id"].duplicated(keep="last")
    assert last[said_yes(drawn.rows)].all()


def test_a_customer_is_seen_every_month_until_leaving(clean: Drawn) -> None:
    customers = clean.rows.groupby("customer_id")
    assert customers["tenure_months"].diff().dropna().eq(1).all()
    assert customers["snapshot_month"].diff().dropna().dt.days.between(28, 31).all()
    assert customers["late_payments"].diff().dropna().isin([0, 1]).all()
    unfinished = clean.rows[customers["churned"].transform("last") == "no"]
    assert unfinished.groupby("customer_id")["snapshot_month"].max().eq(clean.rows["snapshot_month"].max()).all()


def test_tenure_is_the_full_months_since_signup(clean: Drawn) -> None:
    snapshot, signup = clean.rows["snapshot_month"].dt, clean.rows["signup_date"].dt
    months = 12 * (snapshot.year - signup.year) + snapshot.month - signup.month - (signup.day > 1)
    assert (months == clean.rows["tenure_months"]).all()


def test_the_churn_rate_is_that_stated_and_does_not_drift(drawn: Drawn) -> None:
    yes = pd.Series(said_yes(drawn.rows))
    assert 0.15 < yes.mean() < 0.20
    halves = yes.groupby(drawn.rows["snapshot_month"] < "2024-01-01").mean()
    assert abs(halves[True] - halves[False]) < 0.025


def test_rare_regions_are_rare_but_there(drawn: Drawn) -> None:
    shares = drawn.rows["region"].value_counts(normalize=True)
    assert set(shares.index) == set(simulate.REGIONS)
    assert shares[["islands", "highlands", "overseas"]].between(0, 0.02, inclusive="neither").all()


@pytest.mark.parametrize("rows", [1000, 20_000])
@pytest.mark.parametrize("share", [0.0, 0.003, 0.1])
def test_the_dirty_share_has_one_spoiled_cell_each_and_nothing_else_changes(rows: int, share: float) -> None:
    clean = simulate.read(Settings(rows=rows, dirty_share=0), ROOT)
    dirty = simulate.read(Settings(rows=rows, dirty_share=share), ROOT)
    changed = pd.DataFrame({name: differs(clean[name], dirty[name]) for name in clean})
    assert changed.any(axis=1).sum() == changed.to_numpy().sum() == round(share * rows)
    assert set(changed.columns[changed.any()]) == set(list(simulate.SPOILS)[: round(share * rows)])


def test_spoiled_values_lie_outside_all_that_is_drawn_otherwise(clean: Drawn) -> None:
    for column, value in simulate.SPOILS.items():
        assert not clean.rows[column].isin([value]).any()
    assert clean.rows["monthly_charge"].between(18.56, 94.8).all()
    assert clean.rows["tenure_months"].between(0, 120).all()
    assert clean.rows["support_contacts"].between(0, 30).all()
    assert clean.rows["signup_date"].min() > pd.Timestamp("2010-01-01")


def test_what_is_missing_depends_on_the_row(clean: Drawn) -> None:
    missing, rows = clean.rows.isna(), clean.rows
    assert set(missing.columns[missing.any()]) == {"usage_gb", "satisfaction", "payment_method", "total_charges"}
    heavy, long_standing = rows["support_contacts"] >= 3, rows["tenure_months"] >= 36
    assert missing["usage_gb"][heavy].mean() > 2 * missing["usage_gb"][~heavy].mean()
    assert missing["usage_gb"][long_standing].mean() > 2 * missing["usage_gb"][~long_standing].mean()
    assert missing["payment_method"][long_standing].mean() > 2 * missing["payment_method"][~long_standing].mean()
    assert missing["total_charges"].eq(rows["tenure_months"] == 0).all()


def test_the_unhappy_do_not_answer_the_survey(monkeypatch: pytest.MonkeyPatch, clean: Drawn) -> None:
    monkeypatch.setattr(simulate, "_hide", lambda rng, rows: rows)
    asked = simulate.read(Settings(dirty_share=0), ROOT)["satisfaction"]
    unanswered = clean.rows["satisfaction"].isna()
    assert unanswered[asked <= 2].mean() == pytest.approx(0.35, abs=0.02)
    assert unanswered[asked > 2].mean() == pytest.approx(0.10, abs=0.02)


def test_the_probability_follows_from_the_columns_shown(clean: Drawn) -> None:
    whole = clean.rows.drop(columns="total_charges").notna().all(axis=1).to_numpy()
    again = simulate.churn_probability(clean.rows[whole])
    assert whole.mean() > 0.7
    np.testing.assert_array_equal(again, clean.churn_probability[whole])


@pytest.mark.parametrize("seed", range(5))
def test_the_probability_is_calibrated(seed: int) -> None:
    drawn = simulate.draw(Settings(seed=seed))
    p, yes = drawn.churn_probability, said_yes(drawn.rows)
    for part in np.array_split(np.argsort(p), 10):
        noise = np.sqrt((p[part] * (1 - p[part])).sum())
        assert abs(yes[part].sum() - p[part].sum()) < 4 * noise


@pytest.mark.parametrize("seed", range(5))
def test_the_best_reachable_auc_is_in_the_band_stated(seed: int) -> None:
    drawn = simulate.draw(Settings(seed=seed))
    assert 0.80 < roc_auc_score(said_yes(drawn.rows), drawn.churn_probability) < 0.85


def test_boosting_comes_near_the_best_and_ahead_of_a_line(clean: Drawn) -> None:
    rows, yes = clean.rows, said_yes(clean.rows)
    trees = HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=200, max_leaf_nodes=8, categorical_features="from_dtype", early_stopping=False
    )
    line = make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), NUMBERS),
            (OneHotEncoder(handle_unknown="ignore"), LABELS),
        ),
        LogisticRegression(max_iter=2000),
    )
    inputs = {
        "trees": (trees, rows[NUMBERS + LABELS].astype(dict.fromkeys(LABELS, "category"))),
        "line": (line, rows[NUMBERS].join(rows[LABELS].astype(object).fillna("missing"))),
    }
    auc = {"best": roc_auc_score(yes, clean.churn_probability)}
    for name, (model, X) in inputs.items():
        guess = cross_val_predict(model, X, yes, groups=rows["customer_id"], cv=GroupKFold(5), method="predict_proba")
        auc[name] = roc_auc_score(yes, guess[:, 1])
    assert auc["best"] - auc["trees"] < 0.015
    assert 0.02 < auc["trees"] - auc["line"] < 0.06


def test_the_lock_holds_parameters_and_the_generator_but_no_rows() -> None:
    locked = simulate.lock(Settings(), ROOT)
    source = hashlib.sha256(Path(simulate.__file__).read_bytes()).hexdigest()
    assert locked == {"kind": "simulate", "rows": 20_000, "seed": 7, "dirty_share": 0.003, "generator_sha256": source}


def test_the_lock_is_made_without_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(simulate, "draw")
    assert simulate.lock(Settings(), ROOT)["kind"] == "simulate"


@pytest.mark.parametrize("change", [{"rows": 1000}, {"seed": 8}, {"dirty_share": 0.0}])
def test_the_lock_changes_with_each_parameter(change: dict[str, float]) -> None:
    assert simulate.lock(Settings(**change), ROOT) != simulate.lock(Settings(), ROOT)


@pytest.mark.parametrize("wrong", [{"rows": 99}, {"rows": 5_000_001}, {"seed": -1}, {"dirty_share": 0.6}, {"row": 200}])
def test_impossible_settings_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Settings(**wrong)
