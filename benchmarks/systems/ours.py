"""This project: `embed-images run` with an engine and a precision, and nothing else set."""

from __future__ import annotations

import argparse
import json
import time

from pipeline.options.config import make_config
from pipeline.runs.run import run


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("images", "model", "output", "engine", "precision"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    given = {"input": options.images, "output": options.output, "model": options.model}
    config = make_config({**given, "engine": options.engine, "precision": options.precision}, [])
    started = time.monotonic()
    report = run(config)
    seconds = time.monotonic() - started
    if report is None:
        raise RuntimeError("the run ended without publishing")
    facts = {"versions": report.manifest["versions"], "parity": report.manifest["model"]["parity"]}
    print(json.dumps({"seconds": round(seconds, 3), "phases": report.seconds, **facts}), flush=True)


if __name__ == "__main__":
    main()
