"""Act inside a stage's process at an exact point, so that tests need no hook in the product.

Python runs this file at its start where its folder is on PYTHONPATH. ``LOCKSTEP_FAULTS`` holds a list of faults, each
with the stage, the point (``at``), what to do (``act``), how often, and a folder in which each time leaves a file.

    at      before          the first time one of the stage's outs is about to be written
            during          the same, but part of that out is written
            after           all is written, and the process is about to end
            EVENT:PATTERN   before a file is opened for writing (open), a folder made (mkdir), something renamed to
                            there (rename), or a connection begun (connect). Matched is the path, relative to the
                            project where it lies in it, or HOST:PORT
    act     hold            wait until a file ``go`` lies in the folder
            kill            die by SIGKILL
            exit:STATUS     say a line and end
            errno:NUMBER    have the system refuse what was about to happen
            cling           leave a child in a session of its own that ignores SIGTERM, then hold
            eat:MEBIBYTES   take that much memory, then hold
"""

import atexit
import errno
import fnmatch
import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
import time

HELD_AT_MOST_S = 300
WRITING = os.O_WRONLY | os.O_RDWR
EVENTS = {"open": "open", "os.mkdir": "mkdir", "os.rename": "rename", "socket.connect": "connect"}
CLINGING = "trap '' TERM INT HUP; while :; do sleep 1; done"


class Faults:
    """The faults of this process."""

    def __init__(self, faults):
        self.faults, self.root, self.inside = faults, os.getcwd(), False
        sys.addaudithook(self.see)
        sys.meta_path.insert(0, self)
        for fault in faults:
            if fault["at"] == "after":
                atexit.register(self.act, fault)

    def see(self, name, arguments):
        """Receive every event of Python's own."""
        event = EVENTS.get(name)
        if event is None or self.inside or (event == "open" and not arguments[2] & WRITING):
            return
        place = arguments[0] if event in ("open", "mkdir") else arguments[1]
        if event == "connect":
            self.reach(event, ":".join(map(str, place[:2])) if isinstance(place, tuple) else str(place))
        elif isinstance(place, (str, bytes)):
            self.reach(event, os.fsdecode(place))

    def find_spec(self, name, path=None, target=None):
        """Watch pyarrow too, which opens files without telling Python."""
        if name != "pyarrow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            opened = module.OSFile

            def watched(path, mode="r", *more):
                if "w" in mode:
                    self.reach("open", os.fsdecode(path))
                return opened(path, mode, *more)

            module.OSFile = watched

        spec.loader.exec_module = exec_module
        return spec

    def reach(self, event, path):
        """Act where a fault is due."""
        inside = event != "connect" and os.path.abspath(path).startswith(self.root + os.sep)
        place = os.path.relpath(path, self.root) if inside else path
        for fault in self.faults:
            if fault["at"] in ("before", "during"):
                due = event == "open" and any(place == out or place.startswith(out + "/") for out in fault["outs"])
            else:
                due = fnmatch.fnmatch(f"{event}:{place}", fault["at"])
            if due:
                self.act(fault, path)

    def act(self, fault, path=None):
        """Do what a fault says, if it was not done often enough."""
        self.inside = True
        try:
            number = len([name for name in os.listdir(fault["folder"]) if name.isdigit()]) + 1
            if number > fault["times"]:
                return
            if fault["at"] == "during":
                with open(path, "wb") as file:
                    file.write(b"PAR1 torn")
            self._do(fault, number, path)
        finally:
            self.inside = False

    def _do(self, fault, number, path):
        act, _, amount = fault["act"].partition(":")
        child = 0
        if act == "cling":
            child = subprocess.Popen(["/bin/sh", "-c", CLINGING], start_new_session=True).pid
        taken = b"\1" * (int(amount) << 20) if act == "eat" else b""
        note = os.path.join(fault["folder"], str(number))
        with open(note + ".new", "w") as file:
            file.write(f"{os.getpid()} {child}")
        os.rename(note + ".new", note)
        if act == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if act == "exit":
            stage = fault["stage"].partition("@")[0]
            print(f"lockstep {stage}: ends with status {amount}, attempt {number}", file=sys.stderr, flush=True)
            os._exit(int(amount))
        if act == "errno":
            raise OSError(int(amount), os.strerror(int(amount)), path)
        self._wait(os.path.join(fault["folder"], "go"))
        del taken

    def _wait(self, go):
        end = time.monotonic() + HELD_AT_MOST_S
        while not os.path.exists(go):
            if time.monotonic() > end:
                print("nobody let go of a held stage", file=sys.stderr)
                os._exit(errno.ETIMEDOUT)
            time.sleep(0.01)


def sleep(seconds):
    """Sleep as ``time.sleep`` does; libfaketime 0.9 makes that fail where it leaves monotonic time alone."""
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        select.select([], [], [], left)


def begin():
    """Take up the faults of this process, if it is a stage's."""
    if "libfaketime" in os.environ.get("LD_PRELOAD", ""):
        time.sleep = sleep
    if sys.orig_argv[1:2] == ["src/lockstep"] and "LOCKSTEP_FAULTS" in os.environ:
        faults = json.loads(os.environ["LOCKSTEP_FAULTS"])
        if mine := [fault for fault in faults if fault["stage"] == os.environ.get("DVC_STAGE")]:
            Faults(mine)


begin()
