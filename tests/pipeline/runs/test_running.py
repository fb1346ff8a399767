"""What a pipeline that failed is said to have failed of."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import grpc
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.errors import RunError
from pipeline.outputs.lease import Hold
from pipeline.runs.elsewhere import execute_elsewhere
from pipeline.runs.phases import Phases
from pipeline.runs.running import execute


@pytest.mark.parametrize(
    ("error", "said"),
    [(ValueError("one\ntwo\n"), "the pipeline failed: two"), (ValueError(), "the pipeline failed: ValueError")],
)
def test_the_last_line_of_an_error_is_given(error: Exception, said: str) -> None:
    with pytest.raises(RunError) as refused:
        execute(Mock(run=Mock(side_effect=error)))
    assert str(refused.value) == said


def test_of_a_server_that_is_not_there_its_address_is_given(tmp_path: Path) -> None:
    """A gRPC error's own text ends with a bracket."""

    def call() -> None:
        with grpc.insecure_channel("127.0.0.1:9") as channel:
            channel.unary_unary("/service/call")(b"", timeout=10)

    options = PipelineOptions(["--runner=PortableRunner"])
    hold = Hold(str(tmp_path), "r", 1, {"attempt": "a" * 32})
    with pytest.raises(RunError, match=r"the job could not be submitted: .*127\.0\.0\.1:9"):
        execute_elsewhere(Mock(run=call), options, hold, Phases(), wait=True)
    assert hold.handed_over  # whether the job was started is not known
