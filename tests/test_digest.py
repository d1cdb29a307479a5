import json
import math

import pytest

from lockstep import digest
from lockstep.errors import IntegrityError

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def sealed(tmp_path):
    folder = tmp_path / "predictor"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.bin").write_bytes(bytes(range(256)))
    (folder / "deep" / "b.txt").write_text("b")
    (folder / "deep" / digest.MANIFEST).write_text("of another folder")
    digest.seal(folder)
    return folder


def test_a_digest_is_the_sha_256_in_hex_of_bytes_and_of_a_file_alike(tmp_path):
    assert digest.of_bytes(b"") == EMPTY
    path = tmp_path / "large"
    path.write_bytes(b"x" * 3_000_000)
    assert digest.of_file(path) == digest.of_bytes(b"x" * 3_000_000)


def test_equal_values_give_equal_json_and_no_value_gives_what_is_not_json():
    assert digest.dump_json({"b": 1, "a": "é"}) == digest.dump_json({"a": "é", "b": 1})
    assert digest.dump_json({"b": 1, "a": "é"}) == '{\n  "a": "é",\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest.dump_json({"a": math.nan})


def test_what_was_sealed_is_verified_and_named_by_its_manifest(sealed):
    expected = digest.of_file(sealed / digest.MANIFEST)
    assert digest.verify(sealed) == digest.verify(sealed, expected) == expected == digest.seal(sealed)
    listed = json.loads((sealed / digest.MANIFEST).read_text())["files"]
    assert list(listed) == ["a.bin", "deep/b.txt", "deep/manifest.json"]


def test_two_folders_of_equal_files_have_one_digest(sealed, tmp_path):
    twin = tmp_path / "twin"
    (twin / "deep").mkdir(parents=True)
    for name in ("deep/manifest.json", "deep/b.txt", "a.bin"):
        (twin / name).write_bytes((sealed / name).read_bytes())
    assert digest.seal(twin) == digest.verify(sealed)


@pytest.mark.parametrize("position", [0, 100, 255])
def test_one_changed_byte_is_refused_by_the_name_of_its_file(sealed, position):
    content = bytearray((sealed / "a.bin").read_bytes())
    content[position] ^= 1
    (sealed / "a.bin").write_bytes(content)
    with pytest.raises(IntegrityError, match=r"^predictor/a\.bin was changed: .*dvc checkout"):
        digest.verify(sealed)


def test_a_missing_file_is_named(sealed):
    (sealed / "deep" / "b.txt").unlink()
    with pytest.raises(IntegrityError, match=r"^deep/b\.txt is missing from predictor/"):
        digest.verify(sealed)


@pytest.mark.parametrize("name", ["new.txt", "deep/new.txt", ".hidden"])
def test_an_extra_file_is_named(sealed, name):
    (sealed / name).write_text("new")
    with pytest.raises(IntegrityError, match=rf"^{name.replace('.', '[.]')} does not belong into predictor/"):
        digest.verify(sealed)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"5", b"{}", b'{"files": null}', b'{"files": [1, 2]}', b'{"files": "text"}', b"\xff\xfe"],
)
def test_a_broken_manifest_is_refused(sealed, content):
    (sealed / digest.MANIFEST).write_bytes(content)
    with pytest.raises(IntegrityError, match=r"^predictor/manifest\.json is not a manifest"):
        digest.verify(sealed)


def test_a_missing_manifest_is_refused(sealed):
    (sealed / digest.MANIFEST).unlink()
    with pytest.raises(IntegrityError, match=r"^predictor/manifest\.json is missing"):
        digest.verify(sealed)


def test_a_folder_changed_and_sealed_again_has_another_digest_than_the_one_asked_for(sealed):
    expected = digest.verify(sealed)
    (sealed / "a.bin").write_bytes(b"other")
    found = digest.seal(sealed)
    assert digest.verify(sealed) == found != expected
    with pytest.raises(IntegrityError, match=f"must have digest {expected}; found {found}"):
        digest.verify(sealed, expected)


def test_a_file_is_replaced_as_a_whole_and_folders_are_made(tmp_path):
    path = tmp_path / "new" / "live.json"
    digest.write_atomic(path, "é")
    digest.write_atomic(path, b"second")
    assert path.read_bytes() == b"second"
    assert [entry.name for entry in path.parent.iterdir()] == ["live.json"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call):
    path = tmp_path / "live.json"
    digest.write_atomic(path, "old")

    def fail(*_):
        raise OSError(28, "disk full")

    monkeypatch.setattr(digest.os, call, fail)
    with pytest.raises(OSError, match="disk full"):
        digest.write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["live.json"]
