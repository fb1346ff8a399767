"""A stand-in of Dataflow's REST API: it takes jobs, tells what it is told of them, and works at none."""

from __future__ import annotations

import http.server
import json
import threading
from typing import Any

IMAGE = "europe-docker.pkg.dev/my-project/images/embed-images:0.1.0"  # of the workers of its jobs
CANCELLED = 5  # JOB_STATE_CANCELLED, as Beam's client sends it


class DataflowService(http.server.ThreadingHTTPServer):
    """Attributes:
    jobs: that were submitted, by their number from 1 on, as `job-1`.
    state: of all of them.
    messages: errors that it tells of them.
    counters: of our namespace, that it tells of them.
    is_up: whether it answers.
    asked: methods and the ends of paths of what it was asked.
    """

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.state = "JOB_STATE_QUEUED"
        self.messages: list[str] = []
        self.counters: dict[str, int] = {}
        self.is_up = True
        self.asked: list[str] = []
        super().__init__(("localhost", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: DataflowService

    def do_POST(self) -> None:
        job = self._note()
        self.server.jobs.append(job)
        self._answer({**job, "id": f"job-{len(self.server.jobs)}", "currentState": self.server.state})

    def do_PUT(self) -> None:
        if self._note()["requestedState"] == CANCELLED:
            self.server.state = "JOB_STATE_CANCELLED"
        self._answer({"id": "job-1", "currentState": "JOB_STATE_CANCELLING"})

    def do_GET(self) -> None:
        self._note()
        last = self.path.partition("?")[0].rpartition("/")[2]
        if last == "messages":
            texts = [
                {"id": str(number), "messageText": text, "messageImportance": "JOB_MESSAGE_ERROR"}
                for number, text in enumerate(self.server.messages)
            ]
            self._answer({"jobMessages": texts})
        elif last == "metrics":
            context = {"namespace": "embed_images", "step": "s1"}
            self._answer(
                {
                    "metrics": [
                        {"name": {"origin": "user", "name": name, "context": {**context, **when}}, "scalar": value}
                        for name, value in self.server.counters.items()
                        for when in ({}, {"tentative": "true"})
                    ]
                }
            )
        else:
            self._answer({"id": last, "currentState": self.server.state})

    def _note(self) -> Any:
        self.server.asked.append(f"{self.command} {self.path.partition('?')[0].rpartition('/')[2]}")
        length = int(self.headers.get("Content-Length") or 0)
        return json.loads(self.rfile.read(length)) if length else None

    def _answer(self, content: dict[str, Any]) -> None:
        data = json.dumps(content if self.server.is_up else {}).encode()
        self.send_response(200 if self.server.is_up else 503)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass
