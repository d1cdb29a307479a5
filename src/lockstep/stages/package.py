"""Make the bento, and let it prove itself."""

from pathlib import Path

from lockstep import release
from lockstep.params import Params


def run(root: Path, params: Params) -> None:
    """Predictor, verdict, predictions, contract -> ``models/bento.json``."""
    release.package(root, params)
