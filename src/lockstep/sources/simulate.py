"""Draw the monthly snapshots of a subscription business with churn; docs/simulate.md states the process."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

FIRST_MONTH = np.datetime64("2023-01", "M")
N_MONTHS = 24
N_WARM_UP = 12  # months lived before the first one shown, so that the churn rate has settled
MAX_ENTRY_TENURE = 72

CONTRACTS = {"monthly": 0.60, "one year": 0.25, "two years": 0.15}
PLANS = {"basic": 0.40, "standard": 0.40, "premium": 0.20}
PAYMENTS = {"direct debit": 0.40, "card": 0.35, "bank transfer": 0.15, "cheque": 0.10}
COMMON_REGIONS = {"north": 0.265, "south": 0.250, "east": 0.240, "west": 0.230}
REGIONS = COMMON_REGIONS | {"islands": 0.010, "highlands": 0.004, "overseas": 0.001}

LIST_PRICE = {"basic": 29.0, "standard": 49.0, "premium": 79.0}
TERM_FACTOR = {"monthly": 1.0, "one year": 0.9, "two years": 0.8}
TERM_LOGIT = {"monthly": 0.7, "one year": -0.5, "two years": -1.1}

SPOILS: Mapping[str, Any] = {
    "monthly_charge": -1.0,
    "tenure_months": 1200,
    "contract": "lifetime",
    "support_contacts": 999,
    "signup_date": np.datetime64("1900-01-01", "us"),
}

LABELS = ["contract", "plan", "region", "payment_method", "churned"]
COLUMNS = [
    "customer_id",
    "snapshot_month",
    "signup_date",
    "tenure_months",
    "contract",
    "plan",
    "monthly_charge",
    "total_charges",
    "usage_gb",
    "support_contacts",
    "days_since_login",
    "late_payments",
    "satisfaction",
    "region",
    "payment_method",
    "churned",
]

Floats = npt.NDArray[np.float64]


class Settings(BaseModel):
    """Say how many rows to draw and from which seed.

    rows
        Rows of the table, one per customer and month.
    seed
        All that the draw depends on, besides `rows` and `dirty_share`.
    dirty_share
        Share of rows with one spoiled cell, which the contract must catch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["simulate"] = "simulate"
    rows: int = Field(20_000, ge=100, le=5_000_000)
    seed: int = Field(7, ge=0)
    dirty_share: float = Field(0.003, ge=0, le=0.5)


@dataclass(frozen=True)
class Drawn:
    """Hold a table and what only a simulation can tell of it.

    rows
        One row per customer and month, by month then customer; RangeIndex.
    churn_probability
        Probability from which `churned` was drawn, shape (n_rows,).
    """

    rows: pd.DataFrame
    churn_probability: Floats


def lock(settings: Settings, root: Path) -> dict[str, Any]:
    """Return what determines the table: the parameters, the seed and the digest of this generator's source.

    Never a digest of rows, which follow from these. `root` is not used.
    """
    return settings.model_dump() | {"generator_sha256": hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}


def read(settings: Settings, root: Path) -> pd.DataFrame:
    """Return the table as its users see it, with gaps and dirty cells; `root` is not used."""
    return draw(settings).rows


def draw(settings: Settings) -> Drawn:
    """Draw the table and keep the probability behind each label."""
    rng = np.random.Generator(np.random.PCG64(settings.seed))
    drawn = _live(rng, _month_sizes(settings.rows))
    rows = _hide(rng, _present(drawn))
    return Drawn(_spoil(rng, rows, settings.dirty_share), drawn["churn_probability"].to_numpy())


def churn_probability(rows: pd.DataFrame) -> Floats:
    """Return the probability that each customer leaves within the month ahead, shape (n_rows,).

    It depends on nothing but columns of the table, rounded as shown, before gaps and dirty cells.
    """
    usage, tenure = rows["usage_gb"].to_numpy(), rows["tenure_months"].to_numpy()
    days, late = rows["days_since_login"].to_numpy(), rows["late_payments"].to_numpy()
    on_monthly = rows["contract"].eq("monthly").to_numpy()
    on_debit = rows["payment_method"].eq("direct debit").to_numpy()
    logit = (
        -2.4
        + _look_up(rows["contract"], TERM_LOGIT)
        - 0.025 * np.minimum(tenure, 40)
        + 0.03 * (rows["monthly_charge"].to_numpy() - 40.0) * on_monthly
        + 1.6 * (rows["support_contacts"].to_numpy() >= 3)
        + 1.5 * np.maximum(1.0 - usage / 40.0, 0.0)
        + 1.2 * np.clip(usage / 60.0 - 1.0, 0.0, 1.0)
        + 2.2 * np.minimum(days / 30.0, 1.0)
        + 0.7 * np.minimum(late, 3) * ~on_debit
        + 0.25 * (3.0 - rows["satisfaction"].to_numpy())
    )
    probability: Floats = 1.0 / (1.0 + np.exp(-logit))
    return probability


def _month_sizes(n_rows: int) -> list[int]:
    """Return the rows of each month, warm-up first; the months shown add up to `n_rows` and never shrink."""
    size, left_over = divmod(n_rows, N_MONTHS)
    return [size] * (N_WARM_UP + N_MONTHS - left_over) + [size + 1] * left_over


def _live(rng: np.random.Generator, sizes: list[int]) -> pd.DataFrame:
    """Live through the months; each fills the places of those who left, sees some leave and bills the others."""
    customers, n_joined, months = _join(rng, 0, month=0, first=0), 0, []
    for month, size in enumerate(sizes, start=-N_WARM_UP):
        joining = _join(rng, size - len(customers), month=month, first=n_joined)
        n_joined += len(joining)
        seen = _observe(rng, pd.concat([customers, joining], ignore_index=True), month)
        probability = churn_probability(seen)
        leaves = rng.random(size) < probability
        months.append(seen.assign(churn_probability=probability, churned=np.where(leaves, "yes", "no")))
        customers = _bill(rng, seen[~leaves])
    return pd.concat(months[N_WARM_UP:], ignore_index=True)


def _join(rng: np.random.Generator, n: int, *, month: int, first: int) -> pd.DataFrame:
    """Return `n` customers who enter the panel in `month`, most with a short tenure, with habits that last."""
    tenure = np.floor(MAX_ENTRY_TENURE * rng.random(n) ** 2.5).astype(np.int64)
    contract, plan = _pick(rng, CONTRACTS, n), _pick(rng, PLANS, n)
    charge = np.round(_look_up(contract, TERM_FACTOR) * _look_up(plan, LIST_PRICE) * rng.uniform(0.8, 1.2, n), 2)
    late_habit = rng.beta(0.5, 6.0, n)
    return pd.DataFrame(
        {
            "customer": np.arange(first, first + n),
            "signup": month - 1 - tenure,
            "signup_day": rng.integers(2, 29, n),
            "contract": contract,
            "plan": plan,
            "monthly_charge": charge,
            "total_charges": np.round(tenure * charge * rng.uniform(0.85, 1.0, n), 2),
            "late_payments": rng.binomial(tenure, late_habit),
            "region": _pick(rng, REGIONS, n),
            "payment_method": _pick(rng, PAYMENTS, n),
            "usage_habit": 50.0 * np.exp(0.5 * rng.standard_normal(n)),
            "contact_habit": rng.gamma(0.8, 1.2, n),
            "login_habit": rng.gamma(1.2, 10.0, n),
            "late_habit": late_habit,
            "mood": rng.standard_normal(n),
        }
    )


def _observe(rng: np.random.Generator, customers: pd.DataFrame, month: int) -> pd.DataFrame:
    """Return the customers with what is seen of them on the first day of `month`."""
    n = len(customers)
    usage = customers["usage_habit"] * np.exp(0.3 * rng.standard_normal(n))
    contacts = np.minimum(rng.poisson(customers["contact_habit"]), 30)
    days = np.floor(rng.exponential(customers["login_habit"])).astype(np.int64)
    mood = customers["mood"] + 0.7 * rng.standard_normal(n) - 0.25 * (contacts - 1)
    return customers.assign(
        month=month,
        tenure_months=month - 1 - customers["signup"],
        usage_gb=usage.clip(upper=999.9).round(1),
        support_contacts=contacts,
        days_since_login=np.minimum(days, 180),
        satisfaction=np.floor(mood + 3.5).clip(1.0, 5.0),
    )


def _bill(rng: np.random.Generator, customers: pd.DataFrame) -> pd.DataFrame:
    """Return the customers a month later: one more charge, and for some one more late payment."""
    late = rng.random(len(customers)) < customers["late_habit"]
    total = (customers["total_charges"] + customers["monthly_charge"]).round(2)
    return customers.assign(total_charges=total, late_payments=customers["late_payments"] + late)


def _present(drawn: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that users see, of the types they see."""
    signup = (FIRST_MONTH + drawn["signup"].to_numpy()).astype("datetime64[D]") + (drawn["signup_day"].to_numpy() - 1)
    rows = drawn.assign(
        customer_id="C" + drawn["customer"].astype("str").str.zfill(7),
        snapshot_month=(FIRST_MONTH + drawn["month"].to_numpy()).astype("datetime64[us]"),
        signup_date=signup.astype("datetime64[us]"),
    )
    return rows[COLUMNS].astype(dict.fromkeys(LABELS, "str"))


def _hide(rng: np.random.Generator, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with gaps, which are likelier for some rows than for others."""
    long_standing = rows["tenure_months"] >= 36
    share_missing = {
        "usage_gb": 0.02 + 0.06 * long_standing + 0.08 * (rows["support_contacts"] >= 3),
        "satisfaction": 0.10 + 0.25 * (rows["satisfaction"] <= 2),
        "payment_method": 0.01 + 0.03 * long_standing,
        "total_charges": 1.0 * (rows["tenure_months"] == 0),
    }
    gaps = {name: rng.random(len(rows)) < share for name, share in share_missing.items()}
    return rows.assign(**{name: rows[name].mask(gap) for name, gap in gaps.items()})


def _spoil(rng: np.random.Generator, rows: pd.DataFrame, share: float) -> pd.DataFrame:
    """Return the rows with one impossible cell in a share of them, an equal part of each sort."""
    spoiled, n_dirty = rows.copy(), round(share * len(rows))
    parts = np.array_split(rng.choice(len(rows), n_dirty, replace=False), len(SPOILS))
    for (column, value), part in zip(SPOILS.items(), parts, strict=True):
        spoiled.loc[part, column] = value
    return spoiled


def _pick(rng: np.random.Generator, shares: Mapping[str, float], n: int) -> pd.Series:
    """Return `n` labels drawn with these shares, as categories."""
    codes = rng.choice(len(shares), n, p=list(shares.values()))
    return pd.Series(pd.Categorical.from_codes(codes, categories=pd.Index(list(shares))))


def _look_up(labels: pd.Series, values: Mapping[str, float]) -> Floats:
    """Return the number that stands for each label, shape (n_rows,)."""
    return np.asarray(labels.map(values), dtype=np.float64)
