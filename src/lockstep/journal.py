"""Keep what a search has judged, so that one that was killed goes on where it was.

``.lockstep/search/<study>.jsonl``: a header, then a line for each judged trial, written and fsynced as it is judged, so
the lines of one batch stand in any order. One process at a time makes a search; another waits for it.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lockstep import alive, digest, held, project
from lockstep import trial as trials
from lockstep.trial import Trial

FOLDER = "search"
ASIDE = ".aside"


@dataclass(frozen=True)
class Study:
    """A search, as its journal shows it."""

    key: str
    """Digest of all that decides what is tried and how it does; see :func:`key_of`."""
    family: str
    wanted: int | None
    """Trials in all; None where seconds are counted."""
    batch: int
    machine: str
    """What the last bits of a loss may depend on beside the study: processor, BLAS kernel, Python."""
    owner: alive.Owner
    """The process that searched last."""
    trials: tuple[Trial, ...] = ()
    """In the order in which they were judged."""
    seconds: tuple[float, ...] = ()
    """What the search had taken when each was judged, over all its lives."""

    def as_bytes(self) -> bytes:
        """Return the content of a journal, which :func:`parse` reads."""
        header = {
            "study": self.key,
            "family": self.family,
            "trials": self.wanted,
            "batch": self.batch,
            "machine": self.machine,
            "owner": self.owner.as_json(),
        }
        return _line(header) + b"".join(map(self.entry, self.trials, self.seconds))

    def entry(self, trial: Trial, seconds: float) -> bytes:
        """Return the line of a judged trial."""
        batch = trials.batch_of(trial.number, self.batch)
        return _line({**trial.as_json(), "batch": batch, "elapsed": round(seconds, 3)})


def key_of(parts: Mapping[str, Any]) -> str:
    """Return the digest that names a study, from all that decides it."""
    return digest.of_bytes(digest.dump_json(parts).encode())


def studies(root: Path) -> list[Study]:
    """Return every search that has a journal, also while it is written; what is torn or broken is left out."""
    found = []
    for path in sorted((project.state(root) / FOLDER).glob("*.jsonl")):
        with contextlib.suppress(FileNotFoundError):  # a later search may have removed it meanwhile
            found.append(parse(path.read_bytes()))
    return [study for study in found if study is not None]


def parse(content: bytes) -> Study | None:
    """Return what a journal holds up to the first line that is torn, broken or out of place; None without a header."""
    header, *lines = content.split(b"\n")[:-1] or [b""]  # what follows the last line end is torn
    try:
        value = json.loads(header)
        study = Study(
            str(value["study"]),
            str(value["family"]),
            None if value["trials"] is None else int(value["trials"]),
            int(value["batch"]),
            str(value["machine"]),
            alive.read(value["owner"]),
        )
    except (ValueError, KeyError, TypeError):
        return None
    if study.batch < 1:
        return None
    entries = list(_entries(lines, study.batch))
    return replace(study, trials=tuple(trial for trial, _ in entries), seconds=tuple(taken for _, taken in entries))


class InMemory:
    """A journal for a search of one life."""

    name = "memory"

    def __init__(self) -> None:
        self.known: Mapping[int, Trial] = {}
        self._began = time.monotonic()

    def append(self, trial: Trial) -> None:
        """Take note of a trial for which nobody will ask."""

    def elapsed(self) -> float:
        """Return the seconds since the journal was begun."""
        return time.monotonic() - self._began

    def set_aside(self, why: str) -> None:
        """Know nothing, as ever."""


class Journal:
    """The journal of one study, held until it is closed.

    Begins with what is whole of the file that is there, if that is of this study and this machine; else the file is
    kept beside it, and nothing is known. ``say`` receives a line where the search waits, goes on, or starts afresh.

    Raises
    ------
    OSError
        The journal cannot be read or written; always with its name.
    """

    def __init__(self, root: Path, study: Study, say: Callable[[str], None]) -> None:
        self._path = project.state(root) / FOLDER / f"{study.key}.jsonl"
        self.name, self._say = str(self._path), say
        self._study = replace(study, trials=(), seconds=())
        with self._naming():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with held.hold(self._path, self._say_who) as file:
                begun = self._usable(file.read())
                self._file = held.put(self._path, begun.as_bytes())
        self.known: Mapping[int, Trial] = {trial.number: trial for trial in begun.trials}
        self._before, self._began = max(begun.seconds, default=0.0), time.monotonic()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, trial: Trial) -> None:
        """Add a judged trial; it is on the disk when this returns."""
        with self._naming():
            held.append(self._file, self._study.entry(trial, self.elapsed()))

    def elapsed(self) -> float:
        """Return the seconds of search in all lives; those between the last trial of one and its end are lost."""
        return self._before + time.monotonic() - self._began

    def set_aside(self, why: str) -> None:
        """Begin the journal anew; keep what it held beside it."""
        with self._naming():
            self._keep_aside(self._path.read_bytes(), why)
            before, self._file = self._file, held.put(self._path, self._study.as_bytes())
            before.close()
        self.known, self._before, self._began = {}, 0.0, time.monotonic()

    def forget_others(self) -> None:
        """Remove the journals of this family's other studies, but for those that a process holds."""
        for path in set(self._path.parent.glob("*.jsonl")) - {self._path}:
            if held.remove(path, self._is_of_family):
                path.with_suffix(ASIDE).unlink(missing_ok=True)
                path.with_suffix(held.NEW).unlink(missing_ok=True)
        self._path.with_suffix(ASIDE).unlink(missing_ok=True)

    def _is_of_family(self, content: bytes) -> bool:
        study = parse(content)
        return study is None or study.family == self._study.family

    def _usable(self, content: bytes) -> Study:
        """Return this study with the trials that a journal holds of it."""
        found = parse(content)
        if content and (why := _strange(found, self._study)):
            self._keep_aside(content, why)
            return self._study
        if found is None:
            return self._study
        torn = content.count(b"\n") > 1 + len(found.trials) or not content.endswith(b"\n")
        cut = "; what was torn behind them is cut off" if torn else ""
        self._say(f"goes on after {len(found.trials)} trials that were judged before{cut}")
        return replace(self._study, trials=found.trials, seconds=found.seconds)

    def _keep_aside(self, content: bytes, why: str) -> None:
        aside = self._path.with_suffix(ASIDE)
        aside.write_bytes(content)
        self._say(f"{self.name}: {why}. It is kept as {aside.name}, and the search starts afresh.")

    def _say_who(self, content: bytes) -> None:
        study = parse(content)
        who = f"process {study.owner.pid} on {study.owner.host}" if study else "another process"
        self._say(f"waits for {who}, which makes the same search")

    @contextlib.contextmanager
    def _naming(self) -> Iterator[None]:
        """Tell an error of the system, as on a full disk, whose it was."""
        try:
            yield
        except OSError as error:
            error.filename = self.name
            raise


def _entries(lines: list[bytes], size: int) -> Iterator[tuple[Trial, float]]:
    seen: set[int] = set()
    for position, line in enumerate(lines):
        try:
            value = json.loads(line)
            trial, seconds = trials.read(value), float(value["elapsed"])
        except (ValueError, KeyError, TypeError):
            return
        # A batch begins when the one before is complete, so the place of a line tells its batch.
        batch = trials.batch_of(position, size)
        if value.get("batch") != batch or trial.number not in set(trials.numbers_of(batch, size)) - seen:
            return
        seen.add(trial.number)
        yield trial, seconds


def _strange(found: Study | None, study: Study) -> str:
    """Return why a journal is not to be used for ``study``; empty if it is."""
    if found is None:
        return "it begins without a header"
    for name in ("key", "family", "batch", "machine"):
        must, is_ = getattr(study, name), getattr(found, name)
        if must != is_:
            return f"its {name} must be {must}; found {is_}"
    return ""


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True).encode() + b"\n"
