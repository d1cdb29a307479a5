"""What must not be served is refused before anybody is answered: altered models, and an open door."""

import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from conftest import TOKEN, check_log
from crowd import asking
from served import Built, Setting, refusal, serving, wait_until
from wires import ask, check_refusal, head, post

from lockstep import digest

REFUSES_WITHIN_S = 40.0
"""The keeper of the worker looks every 10 s; then it has to start, and fail."""


@pytest.fixture
def home(built: Built, tmp_path: Path) -> Path:
    """Give a store of its own, whose files may be written."""
    folder = Path(shutil.copytree(built.home, tmp_path / "home"))
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def model_of(release: Path) -> Path:
    (found,) = (release / "predictor").glob("*.ubj")
    return found


def change_a_byte(release: Path) -> None:
    content = bytearray(model_of(release).read_bytes())
    content[len(content) // 2] ^= 1
    model_of(release).write_bytes(content)


def add_a_file(release: Path) -> None:
    (release / "predictor" / "more.py").write_text("raise SystemExit")


def remove_a_file(release: Path) -> None:
    (release / "golden.json").unlink()


def lend_out_the_model(release: Path) -> None:
    """Put a file elsewhere in its place, of the same bytes for now."""
    elsewhere = release.parents[3] / "elsewhere.ubj"
    model_of(release).rename(elsewhere)
    model_of_elsewhere = release / "predictor" / "xgboost.ubj"
    model_of_elsewhere.symlink_to(elsewhere)
    elsewhere.write_bytes(elsewhere.read_bytes()[:-1] + b"\0")


class Trap:
    """What writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


def sprung(release: Path) -> Path:
    return release.parents[3] / "sprung"


def put_a_pickle_in_its_place(release: Path) -> None:
    """Seal the release again, so that its own manifest is right; the pointer to it names another."""
    model_of(release).write_bytes(pickle.dumps(Trap(sprung(release))))
    digest.seal(release / "predictor")
    digest.seal(release)


HARM = {
    change_a_byte: "release/predictor/xgboost.ubj was changed",
    add_a_file: "predictor/more.py does not belong into release/",
    remove_a_file: "golden.json is missing from release/",
    lend_out_the_model: "release/predictor/xgboost.ubj was changed",
    put_a_pickle_in_its_place: "release/manifest.json must have digest",
}


@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
def test_an_altered_model_is_refused_by_name(
    harm: Callable[[Path], None], built: Built, home: Path, tmp_path: Path
) -> None:
    harm(built.release(home))
    said = refusal(built, Setting(home=home, token=TOKEN), tmp_path)
    assert HARM[harm] in said, said
    assert not sprung(built.release(home)).exists(), "nothing of it was run"


def test_altered_code_is_refused(built: Built, home: Path, tmp_path: Path) -> None:
    file = built.bento(home) / "src" / "lockstep" / "service" / "access.py"
    file.write_text(file.read_text().replace("hmac.compare_digest(brought.strip(), wanted)", "True"))
    assert f"code of bento {built.tag} was changed" in refusal(built, Setting(home=home), tmp_path)


def seal_all(built: Built, home: Path) -> None:
    """Seal an altered release so that every digest is right, the pointer's too."""
    release, pointer = built.release(home), built.bento(home) / "src" / "release.json"
    model = digest.seal(release / "predictor")
    identity = {**json.loads((release / "identity.json").read_text()), "predictor": model}
    (release / "identity.json").write_text(digest.dump_json(identity))
    named = {"release": digest.of_file(release / "identity.json"), "bento": built.tag, "model": model}
    pointer.write_text(digest.dump_json({**named, "manifest": digest.seal(release)}))


def test_a_model_that_crashes_its_library_ends_a_child_and_not_the_service(
    built: Built, home: Path, tmp_path: Path
) -> None:
    model = model_of(built.release(home))
    first = re.search(rb"left_children\[\$l#L.{8}", model.read_bytes(), re.DOTALL)
    assert first
    astray = bytearray(model.read_bytes())
    astray[first.end() : first.end() + 4] = b"\x7f\xff\xff\xf0"  # the first branch leads out of the tree
    model.write_bytes(astray)
    seal_all(built, home)
    said = refusal(built, Setting(home=home), tmp_path)
    assert f"release {built.tag.split(':')[0]}:" in said
    assert said.endswith("cannot be served: loading it ended the process by SIGSEGV.")


def test_a_model_that_answers_otherwise_is_refused(built: Built, home: Path, tmp_path: Path) -> None:
    """Every digest is right; the golden answers are not."""
    card = built.release(home) / "predictor" / "features.py"
    card.write_text(card.read_text().replace("low / high", "high / low"))
    seal_all(built, home)
    assert "the predictor must answer golden row" in refusal(built, Setting(home=home), tmp_path)


def test_a_model_altered_in_service_is_answered_from_memory_and_never_loaded_again(
    built: Built, home: Path, tmp_path: Path
) -> None:
    with serving(built, Setting(home=home, token=TOKEN), tmp_path / "run") as service:
        with asking(service, tmp_path, clients=2, every_s=0.01) as crowd:
            change_a_byte(built.release(home))
            wait_until(lambda: service.figure("lockstep_requests_total") > 200, 20)
        assert len(crowd.seen) > 100
        assert [one for one in crowd.seen if one.status != 200 or one.told] == []
        first = service.worker()
        first.kill()
        wait_until(lambda: "xgboost.ubj was changed" in service.log(), REFUSES_WITHIN_S, service.log)
        assert not first.is_running() or first.status() == psutil.STATUS_ZOMBIE
        assert not service.is_ready()
        check_log(service)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "127.0.0.1.example", "localhost.example"])
def test_another_address_is_refused_without_a_token(host: str, built: Built, tmp_path: Path) -> None:
    said = refusal(built, Setting(host=host), tmp_path)
    assert f"the service may listen on {host} only with a token; set LOCKSTEP_TOKEN" in said


def test_another_address_named_by_the_environment_is_refused_too(built: Built, tmp_path: Path) -> None:
    said = refusal(built, Setting(environment={"BENTOML_HOST": "0.0.0.0"}), tmp_path)
    assert "the service may listen on 0.0.0.0 only with a token" in said


def test_a_token_that_others_may_read_or_guess_is_refused(built: Built, tmp_path: Path) -> None:
    file, other = tmp_path / "token", {"LOCKSTEP_TOKEN": "a-token-of-the-environment"}
    file.write_text(TOKEN + "\n")
    file.chmod(0o644)
    open_to_all = refusal(built, Setting(environment={"LOCKSTEP_TOKEN_FILE": str(file)}), tmp_path)
    assert f"{file} must be readable for its owner alone, mode 0600; found 0644." in open_to_all
    file.chmod(0o600)
    both = refusal(built, Setting(environment={"LOCKSTEP_TOKEN_FILE": str(file), **other}), tmp_path)
    assert "one of LOCKSTEP_TOKEN and LOCKSTEP_TOKEN_FILE may be set; found both." in both
    short = refusal(built, Setting(environment={"LOCKSTEP_TOKEN": "short-secret"}), tmp_path)
    assert "must be at least 16 printable ASCII characters" in short
    for said in (open_to_all, both, short):
        assert TOKEN not in said
        assert "short-secret" not in said


def test_another_address_with_a_token_serves_those_who_bring_it(built: Built, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    setting = Setting(host="0.0.0.0", token=TOKEN, environment={"LOCKSTEP_TOKEN_FILE": str(file)})
    with serving(built, setting, tmp_path / "run") as service:
        status, answer = service.predict(built.rows[:1])
        assert (status, answer["model"]) == (200, built.model)
        body = json.dumps({"rows": built.rows[:1]}).encode()
        check_refusal(ask(service.port, post(body, {"content-type": "application/json"})), 401)
        assert TOKEN not in service.log()
        assert TOKEN not in " ".join(word for process in service.processes() for word in process.cmdline())


def test_on_the_loopback_no_page_of_another_name_is_answered(built: Built, tmp_path: Path) -> None:
    """A name elsewhere can be made to lead to 127.0.0.1, in the browser of somebody who may ask."""
    with serving(built, Setting(), tmp_path / "run") as service:
        body = json.dumps({"rows": built.rows[:1]}).encode()
        sent = post(body, service.headers)
        assert ask(service.port, sent).status == 200
        for name in (
            b"elsewhere.example",
            b"127.0.0.1.elsewhere.example",
            b"localhost.elsewhere.example:80",
            b"[::2]",
            b"0",
        ):
            check_refusal(ask(service.port, sent.replace(b"host: 127.0.0.1", b"host: " + name)), 403)
            check_refusal(ask(service.port, head("GET", "/card").replace(b"host: 127.0.0.1", b"host: " + name)), 403)
