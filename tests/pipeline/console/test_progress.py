"""What is said of a run while it works: figures, pace, time left, phase."""

from __future__ import annotations

import pytest

from pipeline.console.pace import Pace
from pipeline.console.sight import FAILED_BY, Sight, clock, fields_of, line_of, phase_of
from transforms import tally


def paced(*noted: tuple[float, int, int], first: float = 100.0, window: float = 15.0) -> Pace:
    """Of (time, images, bytes), `first` being when the first image was selected."""
    pace = Pace(window)
    for now, images, read in noted:
        pace.note(now, first, images, read)
    return pace


def test_a_line_tells_figures_failures_pace_and_time_left() -> None:
    counts = {
        "objects_listed": 5000, "images_selected": 1328, "images_embedded": 1190, "bytes_read": 60_000_000,
        "failed_NotAnImage": 7, "failed_TooLarge": 3,
    }  # fmt: skip
    pace = paced((100, 0, 0), (105, 200, 10_000_000), (110, 600, 30_000_000), (120, 1200, 60_000_000))
    # Now: from second 105 on, the last look that is 15 s old; 1,000 images and 50 MB in 15 s; 3,800 are left.
    assert line_of(Sight("embed", 25, counts, 100.0), pace) == (
        "1,200 of 5,000 images, 10 failed (NotAnImage 7, TooLarge 3), 66.7 images/s now, 60.0 on the whole, 3.3 MB/s, "
        "0:57 left"
    )
    assert fields_of(Sight("embed", 25, counts, 100.0), pace) == {
        "phase": "embed", "listed": 5000, "done": 1200, "total": 5000, "failed": 10,
        "failed_by_error": {"NotAnImage": 7, "TooLarge": 3}, "images_per_second": 66.67,
        "images_per_second_on_the_whole": 60.0, "megabytes_per_second": 3.333, "seconds_left": 57,
    }  # fmt: skip


def test_classes_beyond_the_most_frequent_are_counted() -> None:
    counts = {f"failed_{name}": 9 - number for number, name in enumerate("abcdef")} | {"images_failed": 4}
    line = line_of(Sight("embed", 1, counts, 1.0), Pace())
    assert "39 failed (a 9, b 8, c 7, d 6, 2 more)" in line


@pytest.mark.parametrize(
    ("noted", "why"),
    [
        (((100, 0, 0),), "nothing is done"),
        (((100, 0, 0), (102.9, 50, 0)), "too short"),
        (((100, 0, 0), (110, 15, 0)), "too few"),
        (((100, 0, 0), (110, 50, 0), (126, 50, 0), (142, 50, 0)), "it stands still"),
        (((100, 0, 0), (110, 100, 0)), "nothing is left"),
    ],
)
def test_no_time_left_is_said_that_means_nothing(noted: tuple[tuple[float, int, int], ...], why: str) -> None:
    assert paced(*noted).seconds_left(0 if why == "nothing is left" else 100) is None, why


def test_a_pace_before_the_first_image_is_none() -> None:
    pace = Pace()
    pace.note(5, None, 0, 0)
    assert (pace.images_now, pace.images_on_the_whole, pace.bytes_now) == (0, 0, 0)
    assert pace.seconds_left(5) is None


@pytest.mark.parametrize(
    ("counts", "phase", "total"),
    [
        ({"objects_listed": 7}, "list", 0),
        ({"objects_listed": 100, "images_selected": 10}, "embed", 100),
        # Of 100 listed 40 are decided on, a quarter of them selected: so are 15 of the other 60.
        ({"objects_listed": 100, "images_selected": 10, "objects_settled": 30}, "embed", 25),
        ({"objects_listed": 100, "objects_settled": 30}, "embed", 0),
        ({"objects_listed": 9, "images_selected": 4, "images_rewritten": 2, "objects_settled": 3}, "embed", 6),
        ({"objects_listed": 9, "images_selected": 9, "images_embedded": 8, "failed_X": 1}, "publish", 9),
        ({"objects_listed": 9, "images_selected": 9, "images_embedded": 8, "images_failed": 1}, "publish", 9),
        ({"objects_listed": 9, "objects_settled": 9}, "publish", 0),
        # Tried twice by a runner, and counted twice.
        ({"objects_listed": 9, "images_selected": 9, "images_embedded": 12}, "publish", 12),
    ],
)
def test_the_phase_and_the_total_follow_from_what_is_counted(counts: dict[str, int], phase: str, total: int) -> None:
    first = 1.0 if counts.get("images_selected") else None
    assert phase_of(counts, first) == phase
    assert Sight(phase, counts=counts).total == total


def test_a_limit_is_all_there_is_to_do() -> None:
    counts = {"objects_listed": 100, "images_selected": 100, "images_embedded": 3}
    assert Sight("embed", counts=counts, limit=10).remaining == 7


@pytest.mark.parametrize(
    ("sight", "line"),
    [
        (Sight("model", 75), "1:15 of preparing the model"),
        (Sight("list", 3, {"objects_listed": 1234}), "1,234 images listed"),
        (Sight("list", 3), "0 images listed"),
        (Sight("publish", 3, {"images_embedded": 9}), "9 of 9 images, publishing"),
        (Sight("job", 3, state="queued"), "queued"),
        (Sight("job", 3, state="running", said="3 of 9 tasks finished"), "running, 3 of 9 tasks finished"),
        (Sight("wait", 3, said="run r: job j"), "run r: job j"),
        (Sight("compact", 3, {"records_selected": 9, "images_embedded": 3}), "3 of 9 records, 0.0 records/s now, "
         "0.0 on the whole"),
        (Sight("export", 4, {"records_selected": 9}), "0 of 9 records"),
    ],
)  # fmt: skip
def test_other_phases_say_what_there_is_to_say(sight: Sight, line: str) -> None:
    assert line_of(sight, Pace()) == line


def test_times_are_read_as_on_a_clock() -> None:
    assert [clock(seconds) for seconds in (0, 59.6, 61, 3600, 36_061)] == [
        "0:00",
        "1:00",
        "1:01",
        "1:00:00",
        "10:01:01",
    ]


def test_failures_are_counted_under_the_names_that_are_looked_for() -> None:
    assert FAILED_BY == tally.FAILED_BY
