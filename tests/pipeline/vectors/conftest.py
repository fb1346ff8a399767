"""Commands of this chapter, typed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline.cli import main

Typed = Callable[..., tuple[object, str, str]]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Types a command in this process: its exit status, stdout and stderr."""
    monkeypatch.setattr("pipeline.console.logs.set_up", lambda verbose: None)  # which is the whole process's business

    def type_it(*arguments: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as exited:
            main(arguments)
        said = capsys.readouterr()
        return exited.value.code, said.out, said.err

    return type_it
