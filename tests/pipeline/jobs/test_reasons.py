"""One sentence out of what runners say of a job that failed: messages as they were seen."""

from __future__ import annotations

import pytest

from pipeline.jobs.reasons import reason_of, was_cancelled

WORKER_ENDED = "a worker process has ended: killed, perhaps for its memory"
SEEN = [
    # Flink 1.20.3
    (
        "org.apache.beam.vendor.grpc.v1p60p1.io.grpc.StatusRuntimeException: "
        "org.apache.beam.vendor.grpc.v1p60p1.io.grpc.StatusRuntimeException: CANCELLED: client cancelled",
        WORKER_ENDED,
    ),
    (
        "org.apache.flink.runtime.jobmaster.JobMasterException: TaskManager with id tm-2 is no longer reachable.",
        "a TaskManager was lost",
    ),
    ("java.net.ConnectException: Connection refused", "the job server does not reach Flink"),
    (
        "java.util.concurrent.CompletionException: x\n\tat java.base/A.b(A.java:1)\nCaused by: "
        "org.apache.flink.runtime.jobmanager.scheduler.NoResourceAvailableException: Could not acquire the minimum "
        "required resources.\n\tat org.apache.flink.C.d(C.java:2)",
        "the cluster had too few free slots",
    ),
    (
        "java.lang.RuntimeException: Error received from SDK harness for instruction 4: "
        "Traceback (most recent call last):\n"
        '  File "common.py", line 1512, in process\nOSError: [Errno 28] No space left on device\n\n'
        "During handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n"
        '  File "sdk_worker.py", line 311, in _execute\nRuntimeError: OSError: [Errno 28] No space left on device '
        "[while running 'WriteShards/Write']\n\n\tat org.apache.beam.E.f(E.java:3)\n",
        "RuntimeError: OSError: [Errno 28] No space left on device [while running 'WriteShards/Write']",
    ),
    (
        "java.lang.IllegalStateException: one\n\tat A.b(A.java)\nCaused by: java.io.IOException: two\n\tat C.d(C.java)",
        "two",
    ),
    # Prism 2.77
    (
        "bundle inst007 stage-013 failed:SDK worker disconnected: worker[job-001[job]_ref_Environment_1], 2 active",
        WORKER_ENDED,
    ),
    # Beam's job server of Python 2.77
    (
        'Traceback (most recent call last):\n  File "r.py", line 1\nRuntimeError: Channel closed prematurely.\n',
        WORKER_ENDED,
    ),
    # A store's words are not the runner's.
    (
        'Traceback (most recent call last):\n  File "x.py", line 1, in y\nConnectionResetError: client cancelled\n\n'
        'During handling\n\nTraceback (most recent call last):\n  File "x.py", line 1, in y\nRuntimeError: another\n',
        "RuntimeError: another",
    ),
    ("one\ntwo", "two"),
    ("", "its runner says failed, and not why"),
]


@pytest.mark.parametrize(("said", "reason"), SEEN)
def test_the_reason_is_one_sentence(said: str, reason: str) -> None:
    found = reason_of(said, "FAILED")
    assert found.startswith(reason)
    assert "\n" not in found


def test_of_a_job_that_failed_it_is_known_whether_it_was_cancelled() -> None:
    assert was_cancelled("org.apache.flink.runtime.client.JobCancellationException: Job was cancelled.")
    assert not any(was_cancelled(said) for said, _ in SEEN)
