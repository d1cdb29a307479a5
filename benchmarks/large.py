"""Measure the memory of each stage on a large table: the greatest resident set of any one process in it."""

import sys
from pathlib import Path

import measure

N_ROWS = 500_000
LIMIT_MB = 2_500
FAMILIES = ("linear", "xgboost")
STAGES = (
    ("ingest",),
    ("validate",),
    ("split",),
    ("featurize",),
    *(("tune", family) for family in FAMILIES),
    ("fit",),
    ("evaluate",),
    ("package",),
)


def main() -> None:
    """Make a table, a project of it, and run its stages one by one as ``dvc.yaml`` does."""
    parser = measure.arguments(__doc__)
    parser.add_argument("--rows", type=int, default=N_ROWS)
    parser.add_argument("--trials", type=int, default=2, help="a family")
    parser.add_argument("--make", type=Path, help="write the table to this file and end")
    given = parser.parse_args()
    if given.make:
        make(given.make, given.rows)
        return
    with measure.scratch() as folder:
        table, project, env = folder / "large.parquet", folder / "large", measure.environment()
        # In a process of its own: what this one holds would count as its children's.
        measure.run([sys.executable, __file__, "--make", str(table), "--rows", str(given.rows)], measure.ROOT, env)
        new = ["lockstep", "new", str(project), "--table", str(table), "--target", "y"]
        ran = {"lockstep new": measure.run(new, measure.ROOT, env)}
        measure.change(project, families=list(FAMILIES), tune={"trials": given.trials})
        for stage in STAGES:
            name = " ".join(stage)
            ran[name] = measure.run(["python", "src/lockstep", *stage], project, env)
            measure.say(f"{name}: {ran[name].seconds:.1f} s, {ran[name].peak_mb:.0f} MB")
    what = f"{given.rows:,} x 20, linear and xgboost"
    rows = [
        measure.Row(
            f"{what}: {name}",
            "" if name == "lockstep new" else f"< {LIMIT_MB:,} MB",
            f"{found.peak_mb:,.0f} MB, {found.seconds:.1f} s",
            None if name == "lockstep new" else found.peak_mb < LIMIT_MB,
            "python benchmarks/large.py",
        )
        for name, found in ran.items()
    ]
    largest = max(ran, key=lambda name: ran[name].peak_mb)
    measure.say(f"the largest is {largest}: {ran[largest].peak_mb:.0f} MB")
    measure.publish("large", rows, write=given.write)


def make(file: Path, n_rows: int) -> None:
    """Write the table: twelve numbers, eight categories, gaps, and a target of two classes."""
    import door

    door.draw(n_rows).to_parquet(file, index=False)


if __name__ == "__main__":
    main()
