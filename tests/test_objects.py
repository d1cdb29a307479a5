import hashlib
import json

import pytest

from lockstep import objects


@pytest.fixture
def cache(tmp_path):
    """Return a cache, and what puts bytes into it and returns their name."""

    def put(content, ending=""):
        named = hashlib.md5(content).hexdigest() + ending
        place = objects.place(tmp_path, named)
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content)
        place.chmod(0o444)
        return named

    put.folder = tmp_path
    return put


def faults(cache, named):
    return [(path.parent.name + path.name, fault) for path, fault in objects.faults(cache.folder, named)]


def alter(cache, named):
    path = objects.place(cache.folder, named)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    path.chmod(0o444)


def test_an_intact_object_has_no_fault(cache):
    assert faults(cache, cache(b"rows")) == []


def test_an_altered_object_is_damaged_whatever_its_mode(cache):
    named = cache(b"rows")
    alter(cache, named)

    assert faults(cache, named) == [(named, "damaged")]


def test_an_absent_object_is_missing(cache):
    assert faults(cache, "0" * 32) == [("0" * 32, "missing")]


def test_of_a_folder_each_file_is_checked(cache):
    good, bad = cache(b"good"), cache(b"bad")
    listed = json.dumps(
        [{"md5": good, "relpath": "a"}, {"md5": bad, "relpath": "b"}, {"md5": "1" * 32, "relpath": "c"}]
    )
    named = cache(listed.encode(), ".dir")
    alter(cache, bad)

    assert faults(cache, named) == [(bad, "damaged"), ("1" * 32, "missing")]


def test_a_damaged_list_is_not_read(cache):
    named = cache(b"[]", ".dir")
    alter(cache, named)

    assert faults(cache, named) == [(named, "damaged")]


def test_a_damaged_object_can_be_removed_though_it_is_read_only(cache):
    named = cache(b"rows")
    objects.remove(objects.place(cache.folder, named))

    assert faults(cache, named) == [(named, "missing")]
