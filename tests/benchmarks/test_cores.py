"""How near two cores are: known where it can be, never in the way where it cannot."""

import os
import sys
import time
from typing import Any

import pytest

from vae_rosetta.benchmarks import cores, run
from vae_rosetta.benchmarks.cores import Cores
from vae_rosetta.benchmarks.plan import Turn

TWO = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="needs Linux and two usable cores"
)


@TWO
def test_a_round_trip_takes_less_than_a_system_call_and_more_than_nothing() -> None:
    usable = os.sched_getaffinity(0)
    with Cores() as two:
        trips = [two.round_trip() for _ in range(5)]
        together = two.together()
    assert all(trip is not None and 20 < trip < 100_000 for trip in [*trips, together])
    assert two.nearest is not None
    assert two.nearest <= min(trip for trip in trips if trip is not None)
    assert os.sched_getaffinity(0) == usable


@TWO
def test_its_process_ends_with_it_and_may_end_before_it() -> None:
    with Cores() as two:
        assert two._helper is not None
        helper = two._helper
        helper.kill()
        helper.wait()
        assert two.round_trip() is None
        assert two.together() is None
    with Cores() as two:
        assert two._helper is not None
        helper = two._helper
        assert helper.poll() is None
    assert helper.poll() is not None


@TWO
def test_a_message_that_never_comes_back_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_PATIENCE", 1000)
    with Cores() as two:
        monkeypatch.setattr(two, "_send", lambda _: None)  # the other does not know of the round trips
        started = time.perf_counter()
        assert two.round_trip() is None
        assert time.perf_counter() - started < 1.0


@TWO
def test_where_cores_cannot_be_chosen_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, cores: set[int]) -> None:
        raise PermissionError("not here")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    with Cores() as two:
        assert (two.round_trip(), two.together(), two.nearest) == (None, None, None)


def test_with_one_core_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    with Cores() as one:
        assert (one.round_trip(), one.together(), one.nearest) == (None, None, None)


@pytest.mark.parametrize(
    ("round_trip", "nearest", "expected"),
    [(500.0, 200.0, True), (399.0, 200.0, False), (None, 200.0, False), (500.0, None, False)],
)
def test_apart_is_far_more_than_the_nearest(round_trip: float | None, nearest: float | None, expected: bool) -> None:
    assert cores.apart(round_trip, nearest) is expected


class Scripted:
    """Cores whose round trips are given."""

    nearest = 100.0

    def __init__(self, before: list[float], after: list[float]) -> None:
        self._before, self._after = iter(before), iter(after)

    def together(self) -> float:
        return next(self._before)

    def round_trip(self) -> float:
        return next(self._after)


@pytest.mark.parametrize(
    ("before", "after", "asked", "marked"),
    [
        ([100.0], [110.0], 1, 110.0),  # as it should be
        ([100.0, 105.0], [500.0, 101.0], 2, 105.0),  # parted meanwhile: once more
        ([500.0] * 3, [110.0] * 3, 3, 500.0),  # could not be brought together: taken, and marked
    ],
)
def test_a_turn_with_cores_apart_is_taken_again(
    before: list[float], after: list[float], asked: int, marked: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Turn] = []
    turn = Turn(1, "some_vae", "fit", 128)
    some = object.__new__(run._Run)
    monkeypatch.setattr(some, "_cores", Scripted(before, after), raising=False)

    def ask(turn: Turn) -> dict[str, Any]:
        taken.append(turn)
        return {"images": 10, "seconds": float(len(taken))}

    monkeypatch.setattr(some, "_ask", ask)
    answer, round_trip = some._measure(turn)
    assert taken == [turn] * asked
    assert (answer["seconds"], round_trip) == (asked, marked)
    some_import, unmarked = some._measure(Turn(1, "some_vae", "import", None))
    assert (some_import["seconds"], unmarked) == (asked + 1, None)  # nothing is repeated that takes long
