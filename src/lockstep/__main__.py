"""Run one stage: ``python src/lockstep STAGE [FAMILY]``, as ``dvc.yaml`` does.

The path names this very copy of the code, so a stage never runs another one; and it works with any Python far enough
to say what is wrong with it.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ACTIVATE = "Run `make env`, then `source .venv/bin/activate`."


def main() -> int:
    """Check the environment, run the stage; an error of ours is one line."""
    sys.path[0] = str(ROOT / "src")
    if sys.version_info < (3, 11):
        return _fail(f"stages need Python 3.11 or later; {sys.executable} is {sys.version.split()[0]}. {ACTIVATE}")
    try:
        from lockstep import project
        from lockstep.errors import PASSING, LockstepError, StageFailed, Unavailable, explain, may_pass

        project.locked(ROOT)
    except ModuleNotFoundError as error:
        return _fail(f"{sys.executable} has no package {error.name!r}: the environment is not active. {ACTIVATE}")
    from lockstep import runner

    try:
        runner.run_stage(ROOT, sys.argv[1:])
    except Unavailable as error:
        return _fail(str(error), PASSING)
    except StageFailed as error:
        return _fail(str(error), PASSING if error.passing else 1)
    except LockstepError as error:
        return _fail(str(error))
    except OSError as error:
        if not explain(error):
            raise
        return _fail(explain(error), PASSING if may_pass(error) else 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    return 0


def _fail(line: str, status: int = 1) -> int:
    stage = sys.argv[1] if len(sys.argv) > 1 else "stage"
    print(f"lockstep {stage}: {line}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
