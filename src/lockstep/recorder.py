"""Keep a stage's outs in DVC's cache, take them back from it, and record them in ``dvc.lock``, as ``dvc repro`` does.

Commands run outside, side by side; what happens here happens one after another, in one thread with one DVC repository,
which DVC asks for. While a stage is claimed, its paths are locked in DVC's own way: another ``dvc`` says "is busy".
"""

import contextlib
import json
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import psutil

from lockstep import alive, digest, graph, objects
from lockstep.activate import LOW_DISK_BYTES
from lockstep.errors import IntegrityError, StageFailed
from lockstep.graph import Stage

T = TypeVar("T")
WAIT_S = 0.2
MARK = "lockstep flow"
ANSI = r"\x1b\[[0-9;]*m"


class Recorder:
    """DVC's side of a run. ``stopped`` says whether to give up waiting for others."""

    def __init__(self, root: Path, stopped: Callable[[], bool] = lambda: False) -> None:
        self._root, self._stopped = root, stopped
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dvc")
        self._repo: Any = None
        self._claims: dict[str, Any] = {}
        self._kept: dict[str, Any] = {}

    def mend_lock(self) -> None:
        """Remove a ``dvc.lock`` that a kill cut off: what it recorded is taken from DVC's cache again."""
        try:
            graph.recorded(self._root)
        except IntegrityError:
            self._call(self._drop_lock)

    def order(self) -> list[str]:
        """Return the stages in the order in which ``dvc repro`` would run them."""
        return self._call(self._order)

    @contextlib.contextmanager
    def claim(self, stage: Stage, say: Callable[[str], None]) -> Iterator[None]:
        """Lock what a stage reads and writes against any other run; wait while another has it."""
        said = False
        while busy := self._call(lambda: self._claim(stage)):  # not in DVC's thread, which the others need meanwhile
            if not said:
                say(f"waits: {busy}")
                said = True
            self._wait("another run")
        try:
            yield
        finally:
            self._call(lambda: self._release(stage))

    def restore(self, stage: Stage, say: Callable[[str], None]) -> bool:
        """Take a claimed stage's outs from the cache if it was run on the same before, else remove what lies there.

        Every object is compared with its digest first; a damaged one leaves the cache, and is fetched from the default
        remote if there is one.
        """
        return self._call(lambda: self._restore(stage, say))

    def keep(self, stage: Stage, read: Mapping[str, Any]) -> None:
        """Take a finished stage's outs into the cache and its run cache, so that nothing can cost its work.

        ``read`` is what it read, as :func:`graph.inputs` gives it; where that has changed since, nothing is kept.
        """
        self._call(lambda: self._keep(stage, read))

    def record(self, name: str) -> None:
        """Write the entry of a kept stage to ``dvc.lock``."""
        self._call(lambda: self._record(name))

    def mend(self, outs: Mapping[str, str], say: Callable[[str], None]) -> list[str]:
        """Check the objects of outs, given by path and digest, as :meth:`restore` does; return the paths that lack."""

        def check() -> list[str]:
            with self._locked() as repo:
                forget_the_dead(Path(repo.tmp_dir) / "rwlock")
                for folder in sorted(Path(repo.stage_cache.cache_dir).glob("*/*")):
                    drop_torn_runs(folder)
                return self._lacking(repo, outs, say)

        return self._call(check)

    def copy_out(self, named: str, to: Path) -> tuple[str, list[str]]:
        """Copy the object of a file, given by its digest, out of the cache, else from the default remote.

        Return where it was found, empty where nowhere, and what is wrong with each place before. Neither the cache nor
        a file of the project changes.
        """
        return self._call(lambda: self._copy_out(named, to))

    def close(self) -> None:
        """Let go of the repository."""
        if self._repo is not None:
            self._call(self._repo.close)
        self._thread.shutdown()

    def _call(self, work: Callable[[], T]) -> T:
        """Do ``work`` in DVC's thread; what DVC refuses there fails the stage."""
        from dvc.exceptions import DvcException

        try:
            return self._thread.submit(work).result()
        except DvcException as error:
            free = shutil.disk_usage(self._root).free  # DVC calls a full disk "no possible cache link types"
            low = f" The disk has {free >> 10} KiB left: make room." if free < LOW_DISK_BYTES else ""
            raise StageFailed(f"DVC says: {' '.join(re.sub(ANSI, '', str(error)).split())}{low}") from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[Any]:
        """Hold DVC's lock; another process's is waited for."""
        from dvc.lock import LockError
        from dvc.repo import Repo, lock_repo

        if self._repo is None:
            logging.getLogger("dvc").setLevel(logging.WARNING)
            logging.getLogger("dvc_data").setLevel(logging.CRITICAL)  # what it tells with a traceback is raised too
            os.chdir(self._root)  # DVC looks for dvc.yaml from here
            self._repo = Repo(str(self._root))
        with contextlib.ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(lock_repo(self._repo))
                    break
                except LockError:
                    self._wait("DVC's lock")
            yield self._repo

    def _wait(self, what: str) -> None:
        if self._stopped():
            raise StageFailed(f"was stopped while it waited for {what}")
        time.sleep(WAIT_S)

    def _drop_lock(self) -> None:
        with self._locked():
            with contextlib.suppress(IntegrityError):  # another run mended it meanwhile
                graph.recorded(self._root)
                return
            (self._root / graph.LOCK).unlink()
            print(f"lockstep: {graph.LOCK} was cut off by a kill; it is written anew from DVC's cache", file=sys.stderr)

    def _order(self) -> list[str]:
        from dvc.repo.reproduce import get_active_graph, plan_repro

        with self._locked() as repo:
            steps = plan_repro(get_active_graph(repo.index.graph), list(repo.stage.collect("dvc.yaml")))
            return [step.addressing for step in steps]

    def _claim(self, stage: Stage) -> str:
        """Lock a stage's paths; return who has one of them, empty where nobody does."""
        from dvc.lock import LockError

        with self._locked() as repo:
            forget_the_dead(Path(repo.tmp_dir) / "rwlock")
            try:
                self._lock_paths(repo, stage)
            except LockError as error:
                return " ".join(str(error).split()).partition(" If there are no")[0]
            return ""

    def _lock_paths(self, repo: Any, stage: Stage) -> None:
        from dvc.rwlock import rwlock

        reads, writes = ([str(self._root / path) for path in paths] for paths in (stage.deps, stage.outs))
        hardlink = repo.config["core"].get("hardlink_lock", False)
        command = f"{MARK} {id(self):x}, stage {stage.name}, of a process that began at tick {alive.me().started}"
        lock = rwlock(repo.tmp_dir, repo.fs, command, reads, writes, hardlink)
        lock.__enter__()
        self._claims[stage.name] = lock

    def _release(self, stage: Stage) -> None:
        with self._locked():
            if stage.name in self._claims:  # it is not where a full disk took no new lock
                self._claims.pop(stage.name).__exit__(None, None, None)

    @contextlib.contextmanager
    def _as_dvc(self, stage: Stage) -> Iterator[tuple[Any, Any]]:
        """Give DVC's own object of a claimed stage; meanwhile DVC locks the paths, under the repository's lock."""
        with self._locked() as repo:
            self._claims.pop(stage.name).__exit__(None, None, None)
            try:
                yield repo, repo.stage.load_one(name=stage.name)
            finally:
                self._lock_paths(repo, stage)

    def _restore(self, stage: Stage, say: Callable[[str], None]) -> bool:
        read = graph.inputs(self._root, stage)
        with self._as_dvc(stage) as (repo, found):
            before = self._made_before(repo, found)
            found.remove_outs(ignore_remove=False, force=False)
            if not before or self._lacking(repo, {out["path"]: out["md5"] for out in before["outs"]}, say):
                return False
            repo.stage_cache._create_stage(before).checkout()
            self._take(found, stage, read)
            return True

    def _made_before(self, repo: Any, found: Any) -> Any:
        """Return the entry of ``dvc.lock``, else of the run cache, that was made of what lies here now; or None."""
        from dvc.stage.cache import _can_hash, _get_stage_hash
        from dvc.stage.serialize import to_single_stage_lockfile

        recorded = to_single_stage_lockfile(found)
        found.save_deps()
        known = not found.cmd_changed and all(out.hash_info for out in found.outs)
        if known and to_single_stage_lockfile(found) == recorded:
            return recorded
        if not _can_hash(found):  # reads nothing, so nothing tells one run from another
            return None
        drop_torn_runs(Path(repo.stage_cache._get_cache_dir(_get_stage_hash(found))))
        return repo.stage_cache._load(found)

    def _lacking(self, repo: Any, outs: Mapping[str, str], say: Callable[[str], None]) -> list[str]:
        """Check every object of outs, given by path and digest; fetch what lacks; return the paths that still do."""
        cache = Path(repo.cache.local.path)
        for path, named in outs.items():
            for place, fault in objects.faults(cache, named):
                say(f"{path}: object {place.parent.name}{place.name} of DVC's cache is {fault}")
                if fault == "damaged":
                    objects.remove(place)
        lacking = [path for path, named in outs.items() if any(objects.faults(cache, named))]
        if lacking and repo.config["core"].get("remote"):
            self._fetch(repo, {path: outs[path] for path in lacking}, say)
            lacking = [path for path, named in outs.items() if any(objects.faults(cache, named))]
        return lacking

    def _fetch(self, repo: Any, outs: Mapping[str, str], say: Callable[[str], None]) -> None:
        """Fetch the objects of outs from the default remote."""
        from dvc.exceptions import DvcException

        entry = {"cmd": "fetch", "outs": [{"path": path, "md5": named, "hash": "md5"} for path, named in outs.items()]}
        try:
            for needed in repo.stage_cache._create_stage(entry).get_used_objs().values():
                repo.cloud.pull(needed)
        except DvcException as error:
            say(f"the remote did not give them: {' '.join(str(error).split())}")

    def _copy_out(self, named: str, to: Path) -> tuple[str, list[str]]:
        to.parent.mkdir(parents=True, exist_ok=True)
        faults = list[str]()
        with self._locked() as repo:
            remote = repo.config["core"].get("remote")
            places = {"DVC's cache": lambda: repo.cache.local}
            if remote:
                places[f"remote {remote!r}"] = lambda: repo.cloud.get_remote_odb(command="fetch")
            for place, find in places.items():
                if not (fault := _copy_object(find, named, to)):
                    return place, faults
                faults.append(f"{place} {fault}")
        return "", [*faults, *([] if remote else ["no default remote is set"])]

    def _keep(self, stage: Stage, read: Mapping[str, Any]) -> None:
        with self._as_dvc(stage) as (_, found):
            self._take(found, stage, read)

    def _take(self, found: Any, stage: Stage, read: Mapping[str, Any]) -> None:
        found.save(run_cache=False)  # DVC reads what lies here now; another may have come since the stage read it
        graph.check_unchanged(self._root, stage, read)
        found.repo.stage_cache.save(found)
        found.commit()
        self._kept[found.addressing] = found

    def _record(self, name: str) -> None:
        """Write an entry as DVC does, but the file as a whole: a reader or a kill never meets a part of it."""
        from dvc.stage.serialize import to_lockfile
        from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

        with self._locked():
            path = self._root / graph.LOCK
            entries = parse_yaml_for_update(path.read_text("utf-8") if path.exists() else "", path)
            entries.setdefault("schema", "2.0")
            entries.setdefault("stages", {}).update(to_lockfile(self._kept[name]))
            digest.write_atomic(path, dumps_yaml(entries))
            del self._kept[name]


def _copy_object(find: Callable[[], Any], named: str, to: Path) -> str:
    """Copy a file's object out of one of DVC's stores; return what is wrong with it there, empty if nothing is."""
    from dvc.exceptions import DvcException

    try:
        store = find()
        store.fs.get_file(store.oid_to_path(named), str(to))
    except FileNotFoundError:
        return "lacks it"
    except (DvcException, ImportError, OSError) as error:  # of some remotes the package is an add-on
        return f"did not give it ({' '.join(str(error).split())})"
    return "" if graph.md5(to) == named else "has it damaged"


def drop_torn_runs(folder: Path) -> None:
    """Remove what a kill or a full disk left in a folder of DVC's run cache: entries whose name is not their digest.

    DVC takes such an entry for a run with fewer outs, and fails at a folder that was left empty.
    """
    from dvc.exceptions import DvcException
    from dvc.stage.cache import _get_cache_hash
    from dvc.utils.serialize import load_yaml

    for path in sorted(folder.glob("*")):
        try:
            whole = _get_cache_hash(load_yaml(path)) == path.name
        except (DvcException, TypeError):
            whole = False
        if not whole:
            path.unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def forget_the_dead(path: Path) -> None:
    """Take out of DVC's file of path locks those whose process ended, also where its number is another's now.

    DVC does so where no process has the number. The caller holds the repository's lock.
    """
    held: Any = None
    try:
        held = json.loads(path.read_text("utf-8"))
        write = {place: info for place, info in held.get("write", {}).items() if not _has_ended(info)}
        read = {
            place: [info for info in infos if not _has_ended(info)] for place, infos in held.get("read", {}).items()
        }
    except FileNotFoundError:
        return
    except (ValueError, TypeError, KeyError, AttributeError):  # torn by a kill: whoever wrote it is gone
        write, read = {}, {}
    kept = {"write": write, "read": {place: infos for place, infos in read.items() if infos}}
    if kept != held:
        digest.write_atomic(path, json.dumps(kept))


def _has_ended(info: dict[str, Any]) -> bool:
    """Say whether the process of an entry is gone; one of DVC's is known by its arguments, ours by its start."""
    pid, command = int(info["pid"]), str(info["cmd"])
    if command.startswith(MARK):
        return command.split()[-1] != alive.of(pid).started
    try:
        return command.partition(" ")[2] not in " ".join(psutil.Process(pid).cmdline())  # not by sys.argv[0]
    except psutil.Error:
        return True
