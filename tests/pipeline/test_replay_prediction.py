"""`lockstep replay` over real lines: predictions are proven by running them again, and every broken link is named."""

import json
import re
import shutil
import signal
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asked
import project
import pytest

from lockstep import graph, objects, replay

SETTINGS = {
    **project.SMALL,
    "source": {"rows": 300},
    "families": ["linear"],
    "evaluate": {"gates": {"better_than_trivial": False, "linear_margin": None}, "resamples": 50},
}
STAGES = ["validate", "split", "featurize", "tune@linear", "fit"]
SAME = " the same to the last bit"
PRIVATE = "customer_id"
ID = re.compile(r"([0-9a-f]{28}-\d+):(.*)")


@dataclass(frozen=True)
class Site:
    """A project with three releases, and predictions of each."""

    root: Path
    first: list[str]
    """Made at the first commit that holds a predictor."""
    second: list[str]
    """Made of a parameter changed since, and committed."""
    third: list[str]
    """Made of changes that were never committed, and are here no more."""
    private: str
    """One more of the first release, asked with a private value."""
    row: dict[str, Any]
    """What was asked then."""

    @property
    def raw(self) -> Path:
        """The object of the raw table in DVC's cache."""
        return objects.place(self.root / ".dvc" / "cache" / "files" / "md5", graph.md5(self.root / "data/raw.parquet"))

    def replay(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return project.lockstep(self.root, "replay", *words)

    def refused(self, *words: str) -> dict[str, str]:
        """Return what a replay that could not prove all said of each prediction, by its id."""
        done = self.replay(*words)
        assert done.returncode == 1, done.stdout + done.stderr
        assert not done.stderr
        found = [match.groups() for match in map(ID.fullmatch, done.stdout.splitlines()) if match]
        assert set(dict(found)) == set(words) - {"--row", str(self.root / "row.json")}, done.stdout
        return dict(found)

    def rewrite(self, *changes: Callable[[], None]) -> None:
        """Make both commits that hold predictors, or the first alone, again with a change in each."""
        commits = project.git(self.root, "rev-list", "--reverse", "HEAD~2..HEAD").split()
        project.git(self.root, "reset", "--quiet", "--hard", "HEAD~2")
        for commit, change in zip(commits, changes, strict=False):
            project.git(self.root, "checkout", "--quiet", commit, "--", ".")
            change()
            project.commit(self.root, "Another history")


def answers(given: list[dict[str, Any]]) -> list[str]:
    return [one["prediction_id"] for one in given]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    root = project.make(tmp_path_factory.mktemp("proof") / "project", SETTINGS)
    project.change_contract(root, lambda suite: suite["meta"]["columns"][PRIVATE].update(private=True))
    project.said(project.repro(root, "evaluate"))
    project.commit(root, "The first run")
    row, *rows = replay.read_sample(root, 11).rows
    rows = [{name: value for name, value in row.items() if name != PRIVATE} for row in rows]
    private, *first = answers(asked.release_and_ask(root, [row, *rows]))

    project.change_params(root, {"evaluate": {"cost": {"false_positive": 5, "false_negative": 1}}})
    project.said(project.repro(root, "evaluate"))
    project.commit(root, "A needless offer costs more")
    second = answers(asked.release_and_ask(root, rows))

    project.append(root / "src" / "features.py", "\n\ndef late_share(late_payments):\n    return late_payments / 12\n")
    project.said(project.repro(root, "evaluate"))
    third = answers(asked.release_and_ask(root, rows[:4]))
    project.git(root, "checkout", "--quiet", "--", ".")
    return Site(root, first, second, third, private, row)


@pytest.fixture
def broken(site: Site, tmp_path: Path) -> Site:
    """Return a copy that may be broken."""
    return replace(site, root=project.copy(site.root, tmp_path / "project"))


def everything(root: Path) -> dict[str, bytes]:
    """Return what a replay must leave as it was: checkout, index, git's worktrees, DVC's cache and the state."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(root)): path.read_bytes() for path in files if root / ".dvc/tmp" not in path.parents}


def edit_record(root: Path, identity: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change one line of the log of predictions."""
    for path in (root / ".lockstep" / "predictions").glob("*.jsonl"):
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for line in (line for line in lines if line["id"] == identity):
            change(line)
        path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def next_bit(number: float) -> float:
    (bits,) = struct.unpack("<q", struct.pack("<d", number))
    return float(struct.unpack("<d", struct.pack("<q", bits ^ 1))[0])


def log(site: Site, *identities: str) -> list[str]:
    """Return the recorded lines of predictions, in their order."""
    lines = [
        line for path in (site.root / ".lockstep/predictions").glob("*.jsonl") for line in path.read_text().splitlines()
    ]
    return [next(line for line in lines if f'"{identity}"' in line) for identity in identities]


def fits(site: Site) -> list[Path]:
    """Return the ledger's entries of the fits, the first first."""
    return sorted(
        (site.root / ".lockstep/ledger/fit").iterdir(), key=lambda path: json.loads(path.read_text())["began"]
    )


def folder(site: Site, bento: str) -> Path:
    """Return where the release of a bento lies."""
    (found,) = (site.root / ".lockstep" / "releases").glob(f"{bento.partition(':')[2]}*")
    return found


def flip(path: Path) -> None:
    """Change a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(mode)


def test_predictions_of_three_releases_are_proven_by_one_command_which_changes_nothing(site: Site) -> None:
    """Two releases were committed; the third is made again of a commit and a patch, by what the ledger tells."""
    before, identities = everything(site.root), [*site.first, *site.second, *site.third]

    lines = project.said(site.replay(*identities)).splitlines()

    assert lines[-24:] == [f"{identity}:{SAME}" for identity in identities]
    assert [line.split()[0] for line in lines if line.split()[0] in STAGES] == STAGES * 3
    assert len([line for line in lines if line.endswith("s; as recorded")]) == len(STAGES) * 3
    held = [line.rpartition("; ")[2] for line in lines if line.startswith("commit ")]
    assert held == ["its dvc.lock holds the digests"] * 2 + ["the ledger holds the digests"]
    assert [line for line in lines if " with the ledger's patch " in line and line.startswith("commit ")]
    assert everything(site.root) == before
    assert not list((site.root / ".lockstep" / "tmp").iterdir())


def test_a_record_that_was_edited_is_named_and_the_others_of_its_release_are_proven(broken: Site) -> None:
    """A bit of an answer, an input, and a private value that only a row would tell."""
    bit, changed, *untouched = broken.first

    def turn(line: dict[str, Any]) -> None:
        line["probabilities"]["yes"] = next_bit(line["probabilities"]["yes"])

    edit_record(broken.root, bit, turn)
    edit_record(
        broken.root, changed, lambda line: line["inputs"].update(late_payments=line["inputs"]["late_payments"] + 3)
    )

    found = broken.refused(bit, changed, *untouched, broken.private)

    assert {identity: found[identity] for identity in untouched} == dict.fromkeys(untouched, SAME)
    said = re.fullmatch(r" not proven; answer: (\{.*\}) is recorded; now it is (\{.*\})\.", found[bit])
    assert said
    recorded, now = (json.loads(text)["probabilities"]["yes"] for text in said.groups())
    assert next_bit(recorded) == now
    assert " not proven; answer: " in found[changed]
    assert (
        f" not proven; inputs: prediction {broken.private}: the link is broken at private columns"
        in found[broken.private]
    )


def test_sources_that_are_not_those_of_the_run_are_named_where_another_predictor_comes_out(broken: Site) -> None:
    """The raw table comes from the remote, the private value from a file: these links hold, and are told."""
    far = broken.root / ".lockstep" / "far"
    (broken.root / ".dvc" / "config.local").write_text(f"[core]\nremote = far\n['remote \"far\"']\nurl = {far}\n")
    project.said(project.run(broken.root, "dvc", "push", "--quiet", "data/raw.parquet"))
    broken.raw.unlink()
    broken.rewrite(lambda: project.append(broken.root / "src" / "features.py", "\n# A remark.\n"))
    (broken.root / "row.json").write_text(json.dumps(broken.row))

    done = broken.replay(broken.private, "--row", str(broken.root / "row.json"), "--json")

    assert done.returncode == 1
    (chain,) = json.loads(done.stdout)["predictions"]
    links = {link["link"]: link for link in chain["links"]}
    assert list(links) == [
        "prediction",
        "release",
        "inputs",
        "commit",
        "checkout",
        "packages",
        "data",
        *STAGES,
        "predictor",
    ]
    assert [name for name, link in links.items() if not link["ok"]] == ["predictor"]
    assert links["data"]["said"].endswith("from remote 'far'")
    assert links["prediction"]["found"]["inputs"][PRIVATE] != broken.row[PRIVATE]
    assert "First difference: featurize reads another src/features.py." in links["predictor"]["said"]
    assert links["featurize"]["found"]["differs"] == ["featurize reads another src/features.py"]
    assert links["fit"]["found"]["differs"][:2] == [
        "fit reads another src/features.py",
        "fit makes another models/predictor",
    ]
    assert not broken.raw.exists()


def test_another_environment_and_a_stage_that_fails_are_named(broken: Site) -> None:
    def ask_for_older_packages() -> None:
        lock = broken.root / "requirements.lock"
        lock.write_text(re.sub(r"(?m)^numpy==\S+", "numpy==1.26.4", lock.read_text()))

    def spoil() -> None:
        (broken.root / "expectations" / "rows.json").write_text("{")

    broken.rewrite(ask_for_older_packages, spoil)

    found = broken.refused(broken.first[0], broken.second[0])

    commit = project.git(broken.root, "rev-parse", "HEAD~1")[:12]
    assert " not proven; packages: requirements.lock of that commit asks for" in found[broken.first[0]]
    assert "numpy must be 1.26.4; found " in found[broken.first[0]]
    assert f"`git worktree add ../then {commit} && make -C ../then env`" in found[broken.first[0]]
    assert " not proven; validate: lockstep validate: expectations/rows.json" in found[broken.second[0]]


def test_what_is_not_recorded_or_not_here_any_more_is_named(broken: Site) -> None:
    gone, damaged = (json.loads(line)["bento"] for line in log(broken, broken.first[0], broken.second[0]))
    patch = broken.root / ".lockstep/ledger/patches" / f"{json.loads(fits(broken)[2].read_text())['patch']}.patch"
    shutil.rmtree(folder(broken, gone))
    flip(folder(broken, damaged) / "predictor" / "encoder.json")
    flip(patch)
    unknown = f"{broken.first[0].partition('-')[0]}-99"

    found = broken.refused(unknown, broken.first[0], broken.second[0], broken.third[0])

    assert found[unknown].startswith(f" not proven; prediction: no prediction '{unknown}' is recorded in ")
    assert found[broken.first[0]].startswith(f" not proven; release: release {gone}, which answered, is not in ")
    assert f" not proven; release: release {damaged} is damaged: " in found[broken.second[0]]
    assert "predictor/encoder.json was changed" in found[broken.second[0]]
    assert found[broken.third[0]].startswith(f" not proven; commit: {patch} was changed")


def test_history_that_was_dropped_is_named(broken: Site) -> None:
    """Of the first release the ledger is lost too; of the second it knows the commit, which is gone for good."""
    fits(broken)[0].unlink()
    commit = project.git(broken.root, "rev-parse", "HEAD~1").strip()
    project.git(broken.root, "reset", "--quiet", "--hard", "HEAD~2")
    project.git(broken.root, "reflog", "expire", "--expire=now", "--all")
    project.git(broken.root, "gc", "--quiet", "--prune=now")

    found = broken.refused(broken.first[0], broken.second[0])

    assert " not proven; commit: no commit's dvc.lock holds the predictor" in found[broken.first[0]]
    assert "the ledger does not know the run that made it" in found[broken.first[0]]
    assert (
        f" not proven; commit: commit {commit}, at which the predictor was made, is not in this"
        in found[broken.second[0]]
    )


@pytest.mark.parametrize(("damage", "said"), [(Path.unlink, "lacks it"), (flip, "has it damaged")])
def test_a_raw_table_that_cannot_be_had_is_named(damage: Callable[[Path], None], said: str, broken: Site) -> None:
    damage(broken.raw)
    before = everything(broken.root)

    found = broken.refused(broken.first[0])

    assert found[broken.first[0]].endswith(f" is nowhere: DVC's cache {said}; no default remote is set.")
    assert " not proven; data: data/raw.parquet of MD5 " in found[broken.first[0]]
    assert everything(broken.root) == before


def test_a_replay_that_is_asked_to_end_leaves_nothing(site: Site) -> None:
    before = everything(site.root)
    words = ["lockstep", "replay", site.first[0]]
    running = subprocess.Popen(
        words, cwd=site.root, env=project.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout
    seen = next(line for line in running.stdout if line.startswith("data "))
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=30)

    assert seen
    assert running.returncode == 130
    assert everything(site.root) == before
    assert not list((site.root / ".lockstep" / "tmp").iterdir())
    assert len(project.git(site.root, "worktree", "list").splitlines()) == 1
