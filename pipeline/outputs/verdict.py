"""What a verification found, as text for a person, and as JSON for a program."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from pipeline.console.printable import printable


@dataclass(frozen=True)
class Problem:
    """What does not hold: in which file (a path within the run's folder) and how."""

    file: str
    message: str


@dataclass
class RunResult:
    """Attributes:
    records, dead_letters: that could be read.
    promised: records, as the manifest has them.
    """

    run_id: str
    records: int = 0
    dead_letters: int = 0
    promised: int = 0
    problems: list[Problem] = field(default_factory=list)


@dataclass
class Result:
    """What was found in the runs of an output."""

    runs: list[RunResult]

    @property
    def holds(self) -> bool:
        return not any(run.problems for run in self.runs)

    def as_text(self) -> str:
        lines = []
        for run in self.runs:
            found = len(run.problems)
            verdict = "holds" if not found else f"{found} problem{'s' if found > 1 else ''}"
            read = f"{run.records:,}" if run.records == run.promised else f"{run.records:,} of {run.promised:,}"
            lines.append(f"run {printable(run.run_id)}: {read} records, {run.dead_letters:,} dead letters: {verdict}")
            lines += [printable(f"  {problem.file}: {problem.message}") for problem in run.problems]
        return "\n".join(lines)

    def as_json(self) -> str:
        runs = [
            {
                "run_id": run.run_id,
                "holds": not run.problems,
                "records": run.records,
                "dead_letters": run.dead_letters,
                "problems": [{"file": problem.file, "message": problem.message} for problem in run.problems],
            }
            for run in self.runs
        ]
        return json.dumps({"holds": self.holds, "runs": runs}, indent=2)
