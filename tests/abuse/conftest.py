import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from crowd import Crowd, asking
from served import Built, Service, Setting, serving

GROWTH_MB = 50
TOKEN = "a-token-of-the-tests-0123456789"
BUILD = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import small_project
from lockstep import release, replay
root = small_project.make(Path(sys.argv[1]))
made, sample = release.build(root), replay.read_sample(root, 100)
built = {"tag": made.tag, "model": made.predictor, "rows": sample.rows, "expected": sample.expected}
print(json.dumps(built))
"""


def once(shared: Path, name: str, build: Callable[[Path], object]) -> Path:
    """Return a folder that the first worker to ask builds for all."""
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    root, done = shared / name, shared / f"{name}.done"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            root.mkdir()
            build(root)
            done.touch()
    return root


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Return a built bento; for all workers one. Never change it."""
    tests = Path(__file__).parents[1]

    def build(folder: Path) -> None:
        environment = {**os.environ, "BENTOML_HOME": str(folder / "home"), "PYTHONPATH": str(tests.parent / "src")}
        command = [sys.executable, "-c", BUILD, str(folder / "project"), str(tests / "service")]
        made = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert made.returncode == 0, made.stderr
        (folder / "built.json").write_text(made.stdout.splitlines()[-1])

    folder = once(tmp_path_factory.getbasetemp(), "built", build)
    return Built(home=folder / "home", **json.loads((folder / "built.json").read_text()))


@pytest.fixture(scope="module")
def service(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Give a running service with a token, which the tests of a file share; it must live through all of them."""
    folder = tmp_path_factory.mktemp("service")
    with serving(built, Setting(token=TOKEN, records=folder / "records"), folder / "run") as started:
        worker = started.worker()
        yield started
        assert started.worker() == worker, "the worker is the first one"


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have tests that load the machine, or measure, wait for each other."""
    base = tmp_path_factory.getbasetemp()
    with ((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "alone.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="module")
def memory(service: Service) -> float:
    """Return the memory of the service before any harm, after each kind of request was answered once."""
    for path in ("/metrics", "/card", "/openapi.json", "/"):
        assert service.ask("GET", path)[0] == 200
    assert service.predict(service.built.rows)[0] == 200
    assert service.ask("POST", "/explain", json.dumps({"rows": service.built.rows[:3]}).encode())[0] == 200
    service.forget_peak()
    return service.memory()


@pytest.fixture(scope="module")
def bystanders(service: Service, memory: float, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """Have decent clients ask during all the tests of this file; none of their answers is wrong, refused or late."""
    with asking(service, tmp_path_factory.mktemp("crowd"), clients=2, every_s=0.05) as crowd:
        yield crowd
    assert [one for one in crowd.seen if one.status != 200 or one.told] == []
    assert max(one.took_ms for one in crowd.seen) < 2000
    grown, peak = service.memory() - memory, service.peak() - memory
    print(f"{grown:+.0f} MB, {peak:+.0f} MB at the most")
    assert grown < GROWTH_MB, f"{grown:.0f} MB more than before"
    check_log(service)


def check_log(service: Service) -> None:
    """Demand a short log of printable lines, without stack traces, rows or the token."""
    log = service.log()
    assert all(line.isprintable() for line in log.split("\n")), log
    for text in (
        "Traceback",
        'File "',
        str(service.setting.token),
        "DROP TABLE",
        "alert(1)",
        "jndi",
        "k99999",
        "all is",
    ):
        assert text not in log
    assert len(log) < 20_000, "requests cannot fill it"
