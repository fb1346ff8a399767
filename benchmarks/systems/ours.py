"""This project: `embed-images run` as it is typed, with an engine and a precision, and little else."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from pipeline.cli import main as embed_images


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("images", "model", "output"):
        parser.add_argument(f"--{name}", required=True)
    options, others = parser.parse_known_args()
    started = time.monotonic()
    run_id = f"{time.time_ns()}"
    tars = any(Path(options.images).glob("*.tar"))  # which are named, as other containers of images are
    images = f"{options.images}/*.tar" if tars else options.images
    typed = ["run", "--input", images, "--model", options.model, "--output", options.output, "--run_id", run_id]
    sys.argv[1:] = [*typed, *others]
    try:
        embed_images()
    except SystemExit as e:
        if e.code:
            raise
    manifest = json.loads(Path(options.output, "runs", run_id, "run.json").read_text())
    facts = {"versions": manifest["versions"], "parity": manifest["model"]["parity"]}
    print(json.dumps({"seconds": round(time.monotonic() - started, 3), **facts}), flush=True)


if __name__ == "__main__":
    main()
