"""A run that is stopped keeps what it has embedded, and the same command, without a run id, goes on with it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import photo
from tests.pipeline.commands.typed import PROGRAM, command

pytestmark = pytest.mark.whole

IMAGES = 340
SECONDS = 0.005  # an image
STOP_AFTER = 300
WAITING = 150  # images that may be on their way: a batch that is being encoded (128), and a few in flight
SAMPLED = 64 + 3  # that a launch reads besides: the sample that vectors are compared on, and its probes


@contextmanager
def counting_server(folder: Path) -> Iterator[tuple[str, Counter[str]]]:
    """Serves a folder, one image after the other; gives its URL, and how often each image was asked for."""
    asked: Counter[str] = Counter()
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with one_at_a_time:
                asked[self.path] += 1
                time.sleep(SECONDS)
            data = (folder / self.path[1:]).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", '"1"')
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(IMAGES):
        photo(40, 30, i).save(folder / f"{i:03}.jpg", quality=90)
    return folder


def kept(output: Path) -> int:
    """Records of finished shards, by their ledgers."""
    return sum(pq.read_metadata(ledger).num_rows for ledger in output.glob(".staging/*/*/features-*.ledger"))


PROCESSES = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]


@pytest.mark.parametrize(
    ("signal_number", "options"),
    [
        (signal.SIGINT, []),
        (signal.SIGTERM, ["--compression=gzip"]),
        (signal.SIGTERM, PROCESSES),
        (signal.SIGKILL, ["--shard_seconds=1"]),
    ],
    ids=["ctrl-c", "terminated", "processes", "killed"],
)
def test_what_was_embedded_is_not_embedded_again(
    signal_number: int, options: list[str], tmp_path: Path, pictures: Path, tiny_module: str
) -> None:
    output = tmp_path / "output"
    with counting_server(pictures) as (url, asked):
        (tmp_path / "list.txt").write_text("".join(f"{url}/{i:03}.jpg\n" for i in range(IMAGES)))
        own = ["--input", str(tmp_path / "list.txt"), "--output", str(output), "--model", tiny_module]
        arguments = ["run", *own, "--batch_size=4", "--fetch_concurrency=1", *options]
        process = subprocess.Popen(
            [PROGRAM, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        before = 0
        while asked.total() < before + STOP_AFTER:
            assert process.poll() is None, process.communicate()
            if not before and list(output.glob(".staging/*/*/model/*")):
                before = asked.total()  # by the launch
            time.sleep(0.01)
        process.send_signal(signal_number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == (130 if signal_number == signal.SIGINT else -signal_number), errors
        assert "Traceback" not in errors
        assert not (output / "runs").exists()
        # Killed, it loses no more than what was embedded in its last second, besides what is on its way.
        lost = min(1 / SECONDS, 100) if signal_number == signal.SIGKILL else 0
        found = kept(output)
        assert found >= STOP_AFTER - WAITING - lost, (found, errors)
        asked.clear()
        again = command(*arguments)
        assert again.returncode == 0, again.stderr
    assert "is not finished: going on with it" in again.stderr
    (manifest,) = (json.loads(path.read_text()) for path in output.glob("runs/*/run.json"))
    assert re.search(r"run (\S+): ", again.stderr)[1] == manifest["run_id"]
    assert manifest["counts"]["embedded"] == IMAGES
    assert asked.total() <= IMAGES - found + SAMPLED
    assert command("verify", str(output)).returncode == 0
    assert not (output / ".staging").exists()
