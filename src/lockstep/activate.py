"""Tie an environment to the project one stands in; runs at every start of Python, so it imports almost nothing.

``python src/lockstep/activate.py`` writes two files into the environment: ``lockstep.pth``, which at each start looks
for a project upwards from the working directory and runs this file's :func:`activate`, and the command ``lockstep``.
So plain ``dvc``, ``bentoml``, ``mlflow`` and ``prefect`` use the project's stores, and report to nobody.
"""

import os
import sys

TELEMETRY_OFF = {
    "DVC_NO_ANALYTICS": "1",
    "DO_NOT_TRACK": "1",
    "BENTOML_DO_NOT_TRACK": "True",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_V2_ENABLED": "false",  # its pages call an analytics service at each start, whatever is set
    "SCARF_NO_ANALYTICS": "true",
}

LOW_DISK_BYTES = 32 << 20
PR_SET_PDEATHSIG, SIGKILL = 1, 9

LOOK_UP = """
try:
    here = os.getcwd()
except OSError:
    here = "/"
while here != os.path.dirname(here):
    file = os.path.join(here, "src", "lockstep", "activate.py")
    if os.path.isfile(file) and os.path.isfile(os.path.join(here, "dvc.yaml")):
        names = {"__name__": "activate"}
        with open(file) as source:
            exec(compile(source.read(), file, "exec"), names)
        names["activate"](here)
        break
    here = os.path.dirname(here)
"""
PTH = f"import os; exec({LOOK_UP!r}, {{'os': os}})\n"
"""One line, as ``site`` wants it."""

COMMAND = """#!/bin/sh
'''exec' "{python}" "$0" "$@"
''' # a path may hold a blank, which a #! line cannot
import os, sys
try:
    from lockstep.cli import main
except ModuleNotFoundError as error:
    if error.name != "lockstep":
        raise
    sys.path.insert(0, os.path.join(os.path.dirname(sys.prefix), "src"))
    from lockstep.cli import main
sys.exit(main())
"""


def activate(root: str) -> None:
    """Put the project's code first on the path, and point every tool at the project's stores unless told otherwise."""
    source = os.path.join(root, "src")
    if source not in sys.path:
        sys.path.insert(0, source)
        sys.path.append(root)  # for flows/, which import each other
    state = state_folder(root)
    stores = {
        "BENTOML_HOME": os.path.join(state, "bento"),
        "PREFECT_HOME": os.path.join(state, "prefect"),
        "MLFLOW_TRACKING_URI": "sqlite:///" + os.path.join(state, "mlflow.db"),
        "MLFLOW_BACKEND_STORE_URI": "sqlite:///" + os.path.join(state, "mlflow.db"),  # plain `mlflow server` reads this
        "MLFLOW_ARTIFACTS_DESTINATION": os.path.join(state, "mlartifacts"),
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",  # else pickle
        "PREFECT_CLIENT_MAX_RETRIES": "2",  # else a run whose server is gone hangs for minutes after its last stage
        "PREFECT_API_REQUEST_TIMEOUT": "10",  # else one whose server hangs waits for minutes, deaf to its time limits
        "LOCKSTEP_PREDICTIONS": os.path.join(state, "predictions"),
        **prefect_server(state),
    }
    # Threads that wait for each other asleep: on a machine shared with others, spinning costs several times the work.
    for name, value in {**TELEMETRY_OFF, **stores, "OMP_WAIT_POLICY": "PASSIVE"}.items():
        os.environ.setdefault(name, value)
    disk = os.statvfs(root) if hasattr(os, "statvfs") else None
    if disk and disk.f_bavail * disk.f_frsize < LOW_DISK_BYTES:
        sys.dont_write_bytecode = True  # a full disk leaves half a file of it, from which no later start recovers
    programs = os.path.join(sys.prefix, "bin")
    if sys.prefix != sys.base_prefix and programs not in os.environ.get("PATH", "").split(os.pathsep)[:1]:
        os.environ["PATH"] = programs + os.pathsep + os.environ.get("PATH", "")
    if "LOCKSTEP_UP" in os.environ and sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)  # what `lockstep up` runs outlives no parent of its
        if os.getppid() == 1:  # not even one that died before this line
            os.kill(os.getpid(), SIGKILL)


def prefect_server(state: str) -> dict[str, str]:
    """Return where the Prefect server of the `lockstep up` that runs is; nothing if none does (Linux).

    What a killed one left is known by its process: boot, number and start, as alive.py names it. The file is read as
    running.py writes it, a line a key: to import ``json`` costs as much as all else here.
    """
    try:
        with open(os.path.join(state, "up.json")) as file:
            lines = (line.strip(" ,\n").partition(": ") for line in file)
            up = {name.strip('"'): value.strip('"') for name, _, value in lines}
        with open("/proc/sys/kernel/random/boot_id") as boot, open(f"/proc/{up['pid']}/stat") as process:
            began = process.read().rpartition(")")[2].split()[19]
            lives = boot.read().strip() == up["boot"] and began == up["started"]
        return {"PREFECT_API_URL": up["prefect"] + "/api"} if lives and up["ready"] == "true" else {}
    except (OSError, ValueError, LookupError):
        return {}


def state_folder(root: str) -> str:
    """Return the main checkout's ``.lockstep``, which every git worktree of it shares."""
    top = root
    while not os.path.exists(os.path.join(top, ".git")):
        if top == os.path.dirname(top):
            return os.path.join(root, ".lockstep")
        top = os.path.dirname(top)
    link = os.path.join(top, ".git")
    if os.path.isfile(link):
        with open(link) as file:
            admin = os.path.join(top, file.read().strip().removeprefix("gitdir:").strip())
        common = os.path.join(admin, "commondir")
        if os.path.isfile(common):
            with open(common) as file:
                shared = os.path.normpath(os.path.join(admin, file.read().strip()))
            return os.path.join(os.path.dirname(shared), os.path.relpath(root, top), ".lockstep").replace("/./", "/")
    return os.path.join(root, ".lockstep")


def install() -> None:
    """Write ``lockstep.pth`` and the command into this environment."""
    import sysconfig

    with open(os.path.join(sysconfig.get_path("purelib"), "lockstep.pth"), "w") as file:
        file.write(PTH)
    command = os.path.join(sysconfig.get_path("scripts"), "lockstep")
    with open(command, "w") as file:
        file.write(COMMAND.format(python=sys.executable))
    os.chmod(command, 0o755)


if __name__ == "__main__":
    install()
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    os.makedirs(os.path.join(state_folder(root), "prefect"), exist_ok=True)  # Prefect makes the last folder alone
