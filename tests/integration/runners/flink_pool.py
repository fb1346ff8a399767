"""A worker pool of Beam's that listens at one address: Beam's own program listens at all of a machine."""

from __future__ import annotations

import logging
import signal
import sys
from typing import Any

import grpc
from apache_beam.portability.api import beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer
from apache_beam.utils.thread_pool_executor import shared_unbounded_instance


def serve(address: str) -> None:
    """Starts and ends workers as task managers ask at `address` (HOST:PORT), until SIGTERM; then ends them all."""
    pool = BeamFnExternalWorkerPoolServicer(use_process=True)
    # No port is shared: gRPC would give a pool a part of the requests for another one that was left there.
    server = grpc.server(shared_unbounded_instance(), options=[("grpc.so_reuseport", 0)])
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    server.add_insecure_port(address)
    server.start()
    logging.info("listening at %s", address)

    def end(*_: Any) -> None:
        for worker in [*pool._worker_processes.values()]:
            worker.kill()
            worker.wait()
        server.stop(0)

    signal.signal(signal.SIGTERM, end)
    server.wait_for_termination()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    serve(sys.argv[1])
