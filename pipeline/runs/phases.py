"""Where the seconds of a run go."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.console.logs import logger


class Phases:
    """Attributes:
    seconds: by phase: "start", "model"; and, of a graph that worked in this process, "list", "embed", "publish";
        of one that worked elsewhere, "job", from its submission to its end.
    images: that such a graph has embedded, or failed to, itself; what a killed attempt had finished is not among them.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.images = 0

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - start

    @contextmanager
    def measure_graph(self, here: bool) -> Iterator[None]:
        """Cuts the time of a graph at the first image that was selected and the last that was written, and says it.

        Args:
            here: whether the graph works in this process; elsewhere its counters are not seen.
        """
        from transforms import tally

        tally.reset()
        start = time.monotonic()
        yield
        if not here:
            return
        counts = tally.counts()
        first = tally.first_counted("images_selected") or start
        last = max(tally.last_counted(name) or first for name in ("images_embedded", "images_failed"))
        self.seconds |= {"list": first - start, "embed": last - first, "publish": time.monotonic() - last}
        self.images = counts["images_embedded"] + counts["images_failed"]
        skipped = f", {counts['files_skipped']:,} files of other kinds left out" if counts["files_skipped"] else ""
        logger.info("list: %d images%s, %.1f s", counts["images_selected"], skipped, self.seconds["list"])
        logger.info(
            "embed: %d embedded, %d failed, %.1f MB read, %.1f s",
            counts["images_embedded"], counts["images_failed"], counts["bytes_read"] / 1e6, self.seconds["embed"],
        )  # fmt: skip
        logger.info("publish: %.1f s", self.seconds["publish"])
