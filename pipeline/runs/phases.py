"""Where the seconds of a run go, and what is seen of it meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from pipeline.console.logs import tell
from pipeline.console.progress import progress
from pipeline.console.sight import Sight, phase_of


class Phases:
    """Attributes:
    seconds: by phase: "start", "model"; and, of a graph that worked on this machine, "list", "embed", "publish";
        of one that worked elsewhere, "job", from its submission to its end.
    images: that such a graph has embedded, or failed to, itself; what a killed attempt had finished is not among them.
    limit: images that are embedded at most; 0: all.
    counted: what a runner has counted at its end; what its workers tell of themselves may lack the last half second.
    """

    def __init__(self, limit: int = 0) -> None:
        self.seconds: dict[str, float] = {}
        self.images = 0
        self.limit = limit
        self.counted: Counter[str] = Counter()

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """The seconds of a phase before there is a graph."""
        start = time.monotonic()
        with progress(lambda: Sight(name, time.monotonic() - start)):
            yield
        self.seconds[name] = time.monotonic() - start

    @contextmanager
    def measure_graph(self, *, processes: bool) -> Iterator[None]:
        """Shows a graph that works on this machine, says when its listing ends, and what each phase took.

        Its time is cut at the first image that was selected and the last that was written.

        Args:
            processes: whether its workers have processes of their own.
        """
        from transforms import tally

        tally.reset()
        self._start = time.monotonic()
        with tally.gathering() if processes else nullcontext():
            with progress(self._look):
                yield
            counts = tally.counts() | self.counted  # whichever are more
            self._say_listed()
            first = self._start + self.seconds["list"]
            last = max(tally.last_counted(name) or first for name in ("images_embedded", "images_failed"))
        self.seconds |= {"embed": last - first, "publish": time.monotonic() - last}
        self.images = counts["images_embedded"] + counts["images_failed"]
        figures = {
            "embedded": counts["images_embedded"],
            "failed": counts["images_failed"],
            "failed_by_error": Sight("embed", counts=counts).failed_by_class,
            "bytes_read": counts["bytes_read"],
            "seconds": round(self.seconds["embed"], 3),
        }
        tell(
            "embed", figures, "embed: %d embedded, %d failed, %.1f MB read, %.1f s",
            counts["images_embedded"], counts["images_failed"], counts["bytes_read"] / 1e6, self.seconds["embed"],
        )  # fmt: skip
        published = {"seconds": round(self.seconds["publish"], 3)}
        tell("publish", published, "publish: %.1f s", self.seconds["publish"])

    @contextmanager
    def show_graph(self, phase: str, *, processes: bool) -> Iterator[None]:
        """Shows a graph that works on this machine and lists no images: a compaction, an export.

        Args:
            phase: as what. processes: as above.
        """
        from transforms import tally

        tally.reset()
        start = time.monotonic()

        def look() -> Sight:
            first = tally.first_counted("records_selected")
            return Sight(phase, time.monotonic() - start, tally.counts(), first)

        with tally.gathering() if processes else nullcontext(), progress(look):
            yield

    def _look(self) -> Sight:
        from transforms import tally

        counts, first = tally.counts(), tally.first_counted("images_selected")
        phase = phase_of(counts, first)
        if phase != "list" and "list" not in self.seconds:
            self._say_listed()
        return Sight(phase, time.monotonic() - self._start, counts, first, self.limit)

    def _say_listed(self) -> None:
        """Once, when there is no more to list, as far as it goes before containers are opened."""
        from transforms import tally

        if "list" in self.seconds:
            return
        counts, now = tally.counts(), time.monotonic()
        known = [tally.first_counted(name) for name in ("images_selected", "objects_settled", "images_rewritten")]
        self.seconds["list"] = min((time for time in known if time is not None), default=now) - self._start
        figures = {"listed": counts["objects_listed"], "left_out": counts["files_skipped"]}
        skipped = f", {counts['files_skipped']:,} files of other kinds left out" if counts["files_skipped"] else ""
        tell(
            "list", {**figures, "seconds": round(self.seconds["list"], 3)},
            "list: %d images%s, %.1f s", counts["objects_listed"], skipped, self.seconds["list"],
        )  # fmt: skip
