"""Dataflow, as far as it takes jobs, and the store that they are staged in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.conftest import Server, clear
from tests.integration.runners.dataflow_service import DataflowService
from transforms.stores import filesystems


@pytest.fixture
def service() -> Iterator[DataflowService]:
    server = DataflowService()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def store(gs_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """For fsspec, and for the client that Beam stages with."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gs_server.options["gs"]["endpoint_url"])
    filesystems.configure(gs_server.options)
    clear(gs_server.uri(""))
    yield gs_server
    filesystems.configure({})
