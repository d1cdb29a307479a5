import pytest

from lockstep.service import room
from lockstep.service.body import RefusedError
from lockstep.service.room import Room


def test_requests_beyond_the_most_are_refused_and_places_come_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_REQUESTS", 2)
    one = Room()
    with one.place(), one.place():
        with pytest.raises(RefusedError, match="429") as caught, one.place():
            pass
        assert caught.value.headers == ((b"retry-after", b"1"),)
    with one.place():
        assert one.n_requests == 1
    assert one.n_requests == 0


def test_bytes_are_counted_over_all_requests_and_given_back() -> None:
    one, half = Room(), room.MAX_BYTES // 2
    with one.place() as first:
        first.hold(half)
        with one.place() as second:
            second.hold(half + 2 * room.FREE_BYTES)
            with pytest.raises(RefusedError, match="429"):
                first.hold(1)
        first.hold(half)
    assert one.n_bytes == 0


def test_large_bodies_that_stall_stop_no_small_one() -> None:
    one = Room()
    with one.place() as stalls, one.place() as small:
        stalls.hold(room.MAX_BYTES + room.FREE_BYTES)
        small.hold(room.FREE_BYTES)
        with pytest.raises(RefusedError, match="429"):
            small.hold(1)
    assert one.n_bytes == 0


def fail_holding(room: Room) -> None:
    with room.place() as place:
        place.hold(5)
        raise ZeroDivisionError


def test_a_request_that_fails_gives_its_place_back() -> None:
    one = Room()
    with pytest.raises(ZeroDivisionError):
        fail_holding(one)
    assert (one.n_requests, one.n_bytes) == (0, 0)
