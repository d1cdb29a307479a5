"""Show the winner, its scores beside the baselines', and what to do next."""

from pathlib import Path

from lockstep import plugins, release
from lockstep.digest import read_object

NEXT = """
reports   reports/index.html  reports/validation.html
next      bentoml serve                          predictions at POST /predict
          lockstep predict TABLE --to OUT        the same for a file
          dvc exp run -S tune.trials=20          try something; dvc exp show compares
          lockstep status                        what is stale, packaged, live
          (activate the environment first: source .venv/bin/activate)"""


def describe(root: Path) -> str:
    """Return a short table from ``reports/`` and ``models/``."""
    scores, verdict = read_object(root / "reports" / "metrics.json"), read_object(root / "reports" / "verdict.json")
    names = plugins.load("problems", verdict["problem"]).METRICS
    lines = [
        f"winner    {verdict['family']}, {'accepted' if verdict['accepted'] else 'REJECTED'}, "
        f"on {scores['n_rows']} test rows",
        "",
        f"          {'':24}{'winner':>10}  {'95 % interval':>21}{'linear':>11}{'trivial':>11}",
    ]
    for name, greater in names.items():
        if name not in scores:
            continue
        interval = f"{scores.get(f'{name}_low', float('nan')):.5g} to {scores.get(f'{name}_high', float('nan')):.5g}"
        lines.append(
            f"          {name + (' (+)' if greater else ' (-)'):24}{scores[name]:>10.5g}  {interval:>21}"
            f"{_cell(scores, f'linear_{name}')}{_cell(scores, f'trivial_{name}')}"
        )
    lines.append("          (+) greater is better, (-) smaller is better")
    lines += [
        f"          gate {gate['gate']} failed: {gate['reason']}" for gate in verdict["gates"] if not gate["passed"]
    ]
    live = release.live(root)
    lines += ["", f"live      {live['bento']}" if live else "live      nothing"]
    return "\n".join(lines) + NEXT


def _cell(scores: dict[str, float], name: str) -> str:
    return f" {scores[name]:>10.5g}" if name in scores else f"{'-':>11}"
