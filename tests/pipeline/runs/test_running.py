"""What a pipeline that failed is said to have failed of."""

from __future__ import annotations

from unittest.mock import Mock

import grpc
import pytest

from pipeline.errors import RunError
from pipeline.runs.running import execute


@pytest.mark.parametrize(
    ("error", "said"),
    [(ValueError("one\ntwo\n"), "the pipeline failed: two"), (ValueError(), "the pipeline failed: ValueError")],
)
def test_the_last_line_of_an_error_is_given(error: Exception, said: str) -> None:
    with pytest.raises(RunError) as refused:
        execute(Mock(run=Mock(side_effect=error)), here=False)
    assert str(refused.value) == said


def test_of_a_server_that_is_not_there_its_address_is_given() -> None:
    """A gRPC error's own text ends with a bracket."""

    def call() -> None:
        with grpc.insecure_channel("127.0.0.1:9") as channel:
            channel.unary_unary("/service/call")(b"", timeout=10)

    with pytest.raises(RunError, match=r"the pipeline failed: .*127\.0\.0\.1:9"):
        execute(Mock(run=call), here=False)
