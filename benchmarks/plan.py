"""What `embed-images plan` says that a run takes, beside what it takes: on a corpus of small images and a large one.

Each is a command of its own, the plan first, with an output of its own. `make bench-plan` runs it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import corpora
from pipeline.demo.corpus import make_corpus
from pipeline.model.cache import cached
from pipeline.model.handles import STANDIN_HANDLE

COPIES = 10  # of the demo's images


def demo_copies() -> Path:
    """The demo's corpus, ten times over."""

    def build(root: Path) -> None:
        root.mkdir(parents=True)
        make_corpus(root / "0")
        for copy in range(1, COPIES):
            shutil.copytree(root / "0", root / str(copy))

    return cached(f"benchmarks/demo-{COPIES}", build)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    corpora_by_name = {"demo, ten times": demo_copies(), "12 megapixels": corpora.corpus("large")}
    print(f"{'':16} {'images':>7} {'planned s':>10} {'run s':>8} {'planned / run':>14}")
    for name, folder in corpora_by_name.items():
        for _ in range(options.rounds):
            output = tempfile.mkdtemp(dir=corpora.folder())
            own = ["--input", str(folder), "--output", output, "--model", STANDIN_HANDLE]
            plan = json.loads(command("plan", *own, "--json"))
            started = time.monotonic()
            command("run", *own)
            seconds = time.monotonic() - started
            shutil.rmtree(output)
            planned = sum(plan["estimate"]["seconds"].values())
            print(f"{name:16} {plan['estimate']['images']:7,} {planned:10.1f} {seconds:8.1f} {planned / seconds:14.2f}")


def command(*arguments: str) -> str:
    """Runs a command of this environment; gives what it said."""
    program = str(Path(sys.executable).with_name("embed-images"))
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
