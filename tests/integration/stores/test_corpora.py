"""Whole runs over containers in stores, a fifth of whose reads fail; and stores that fail at the launch."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import RunError
from tests.conftest import Run
from tests.integration.conftest import Server
from tests.integration.stores.corpora import check_corpus
from tests.integration.stores.faults import fault_proxy, first_times
from tests.pipeline.runs import forms
from tests.pipeline.runs.forms import COUNT
from tests.pipeline.runs.forms import corpus as photos_of
from transforms.stores import storage

pytestmark = pytest.mark.corpora


def test_all_forms_give_the_same_through_faults(
    server: Server, tmp_path: Path, tiny_module: str, run_pipeline: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_corpus(server, tmp_path, tiny_module, run_pipeline, monkeypatch)


def test_a_store_that_is_busy_at_the_launch_is_not_refused(server: Server, tmp_path: Path, run_pipeline: Run) -> None:
    (made,) = forms.tar(photos_of(), tmp_path)
    storage.write_bytes(server.uri("images/shard.tar"), Path(made).read_bytes())
    with fault_proxy(server.port, first_times(4, "503")) as proxy:
        options = {"input": server.uri("images/shard.tar"), "storage_options": server.through(proxy.port)}
        assert run_pipeline(**options).manifest["counts"]["embedded"] == COUNT - 1
    with fault_proxy(server.port, lambda path: "403") as proxy:
        options["storage_options"] = server.through(proxy.port)
        with pytest.raises(RunError, match=r"--input: .*shard\.tar"):
            run_pipeline(**options)
