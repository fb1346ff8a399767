"""A worker process that is told to end, as clusters end theirs: by SIGTERM, while a thread of it writes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import SetupOptions

from pipeline.options.beam import beam_options
from pipeline.options.config import make_config
from transforms.adopting import describe_shard

WRITTEN = 50
WORKER = """
import sys, threading, time
from apache_beam.runners.worker.sdk_worker_main import _import_beam_plugins
_import_beam_plugins(sys.argv[2:])
from transforms.elements import ImageObject
from transforms.records.examples import bytes_feature, example
from transforms.records.spool import Spool
from transforms.records.tfrecord import frame

def write():
    spool = Spool("features", sys.argv[1], COMPRESSION)
    dead = Spool("dead_letters", sys.argv[1])
    for number in range(1_000_000):
        uri = f"{number}.jpg"
        spool.add([frame(example(bytes_feature("image/uri", uri.encode())))], [ImageObject(uri, 1, "1", None)])
        dead.add([b"line"], [ImageObject(uri, 1, "1", None)])
        time.sleep(0.001)
        if number + 1 == WRITTEN:
            print(WRITTEN, flush=True)

threading.Thread(target=write, daemon=True).start()
while True:
    time.sleep(0.1)
"""


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_worker_that_is_told_to_end_keeps_what_it_has_written(compression: str, tmp_path: Path) -> None:
    config = make_config({"input": "in", "output": str(tmp_path), "model": "m"}, ["--runner=PrismRunner"])
    plugins = beam_options(config).view_as(SetupOptions).beam_plugins
    program = WORKER.replace("COMPRESSION", repr(compression)).replace("WRITTEN", str(WRITTEN))
    arguments = [sys.executable, "-c", program, str(tmp_path), *plugins]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{WRITTEN}\n"
        process.send_signal(signal.SIGTERM)
    assert process.returncode == -signal.SIGTERM
    (ledger,) = tmp_path.glob("*.ledger")  # of dead letters nothing is taken over
    staged = describe_shard(str(ledger), compression)
    assert staged.records == pq.read_metadata(ledger).num_rows >= WRITTEN
