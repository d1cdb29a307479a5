"""The Prefect server goes, before or in the middle of a run: what finished is kept, one line says what happened."""

from collections.abc import Iterator
from pathlib import Path

import prefect_server
import project
import pytest
from faults import FLOW, Fault
from sites import Site


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return the folder of a server of the test's own."""
    folder = tmp_path / "prefect"
    folder.mkdir()
    return folder


@pytest.fixture
def own(made: Path, home: Path, tmp_path: Path) -> Iterator[Site]:
    """Give a project on a server that the test may kill."""
    with prefect_server.serving(home) as server:
        site = Site(project.copy(made, tmp_path / "project"), tmp_path / "beside", server)
        yield site
        site.kill_all()


def test_a_server_that_is_down_at_the_start_is_told_in_one_line(own: Site) -> None:
    prefect_server.kill(own.server.process)
    own.forget("split")

    own.run(FLOW).said("lockstep flow: the Prefect server does not answer")

    with prefect_server.serving(own.server.home, own.server.port):
        own.completes(made=["split"])


@pytest.mark.parametrize("stage", ["split", "package"])
def test_a_line_whose_server_goes_is_finished_and_kept(stage: str, own: Site) -> None:
    """With the server back, the next start closes the run, and finds nothing to do."""
    own.forget("split", "package")
    run = own.start(FLOW, Fault(stage, "during"))
    placed = run.reaches()

    prefect_server.kill(own.server.process)
    placed.release()
    ended = run.ends()

    ended.said("lockstep flow: the Prefect server does not answer", "what finished is kept")
    assert ended.made == ["split", "package"]
    with prefect_server.serving(own.server.home, own.server.port):
        own.completes(made=[])
        assert own.runs() == ["CRASHED", "COMPLETED"]


def test_a_server_that_is_back_in_time_is_not_missed(own: Site) -> None:
    own.forget("split")
    run = own.start(FLOW, Fault("split", "during"))
    placed = run.reaches()

    prefect_server.kill(own.server.process)
    with prefect_server.serving(own.server.home, own.server.port):
        placed.release()
        ended = run.ends()

        assert ended.status == 0, ended.text
        assert ended.made == ["split"]
        own.is_as_undisturbed()
        assert own.runs() == ["COMPLETED"]
