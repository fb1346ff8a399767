"""What a job elsewhere is, whatever its runner: it has a name, a state, counters, and may be cancelled."""

from __future__ import annotations

from collections import Counter
from typing import Any

from apache_beam.metrics.metric import MetricResults, MetricsFilter
from apache_beam.runners.runner import PipelineState

from transforms.tally import NAMESPACE


class NoAnswerError(Exception):
    """Who works at a job did not answer; it may do so later."""


class ForgottenError(Exception):
    """Who answers for a job does not know it: it was started anew since, and its jobs may go on without it."""


class Job:
    """A job over what Beam gives for it. Runners that can tell more have classes of their own beside this.

    Attributes:
        runner, name: as asked for.
        id: by which its runner knows it; "" when that is not told.
        at: where a person looks at it; "" when that is not known.
        server: who is asked for it by other launchers; "" when nobody can be.
        ends_with_launcher: whether it cannot go on without this process.
    """

    def __init__(self, result: Any, runner: str, name: str, *, ends_with_launcher: bool = False):
        self.result = result
        self.runner = runner
        self.name = name
        self.id = ""
        self.at = ""
        self.server = ""
        self.ends_with_launcher = ends_with_launcher

    def describe(self) -> dict[str, str]:
        """See `shapes.Job`."""
        return {"runner": self.runner, "name": self.name, "id": self.id, "at": self.at, "server": self.server}

    def state(self) -> str:
        """One of Beam's `PipelineState`.

        Raises:
            NoAnswerError, ForgottenError: as they say.
        """
        return str(self.result.state)

    def counters(self) -> Counter[str]:
        """Of `transforms.tally`, as far as the runner tells them by now. Raises as `state`."""
        return sums_of(self.result.metrics())

    def details(self) -> str:
        """How far it is, in its runner's own terms; "" when that is not told."""
        return ""

    def cancel(self) -> None:
        """Asks for the job's end, which comes later. Raises as `state`, and what a runner raises that cannot."""
        self.result.cancel()

    def reason(self) -> str:
        """Why it failed, in the runner's words."""
        return ""

    def close(self) -> None:
        """Lets go of what was started for it in this process."""


def has_ended(state: str) -> bool:
    """Whether a state is final."""
    return bool(PipelineState.is_terminal(state))


def sums_of(metrics: MetricResults) -> Counter[str]:
    """Counters of this program over all steps: what was attempted, and of what was tried twice, both."""
    sums: Counter[str] = Counter()
    for result in metrics.query(MetricsFilter().with_namespace(NAMESPACE))[MetricResults.COUNTERS]:
        sums[result.key.metric.name] += max(result.attempted or 0, result.committed or 0)
    return sums
