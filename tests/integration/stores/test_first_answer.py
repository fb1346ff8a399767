"""Every command says in one sentence what is wrong with the place that it is told of, and where that is."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.cli import COMMANDS, main
from tests.conftest import photo
from tests.integration.conftest import Server
from transforms.stores import filesystems, first_answer, storage

pytestmark = pytest.mark.stores

NOWHERE = "http://127.0.0.1:9"
# As typed, with a place for the output; of a run, for the input too.
TYPED = {
    "run": ["run", "--input={local}", "--output={place}", "--model={model}"],
    "run --input": ["run", "--input={place}", "--output={local}/out", "--model={model}"],
    "run --model": ["run", "--input={local}", "--output={local}/out", "--model={place}"],
    "plan": ["plan", "--input={local}", "--output={place}", "--model={model}"],
    "plan --input": ["plan", "--input={place}", "--output={local}/out", "--model={model}"],
    "verify": ["verify", "{place}"],
    "status": ["status", "{place}"],
    "report": ["report", "{place}", "--to={local}/report.html"],
    "runs": ["runs", "{place}"],
    "latest": ["latest", "{place}"],
    "wait": ["wait", "{place}", "--run_id=r"],
    "compact": ["compact", "{place}"],
    "export": ["export", "{place}", "--to={local}/vectors", "--format=npy"],
    "search": ["search", "{place}", "--uri=x"],
    "duplicates": ["duplicates", "{place}"],
    "evaluate": ["evaluate", "{place}"],
}
KEYS = {"key": "nobody-knows-it", "secret": "nobody-knows-it"}


def test_all_commands_are_tried() -> None:
    """The demo's output is local, see below."""
    assert {name.partition(" ")[0] for name in TYPED} | {"demo"} == COMMANDS.keys()


@pytest.fixture
def said(
    tmp_path: Path, tiny_module: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[int, str]]]:
    """Types a command at a place; gives its exit code and what it says on stderr."""
    monkeypatch.setattr("pipeline.console.logs.set_up", lambda verbose: None)  # which is the whole process's business
    monkeypatch.setattr(first_answer, "PERSISTS_SECONDS", 0.0)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    photo(40, 30).save(tmp_path / "a.jpg")

    def type_it(name: str, place: str, options: dict[str, str]) -> tuple[int, str]:
        arguments = [part.format(place=place, local=tmp_path, model=tiny_module) for part in TYPED[name]]
        given = [f"--storage_option=s3.{key}={value}" for key, value in options.items()]
        with pytest.raises(SystemExit) as exited:
            main([*arguments, *given])
        shown = capsys.readouterr()
        assert shown.out == ""
        assert "Traceback" not in shown.err
        return int(str(exited.value.code)), shown.err

    yield type_it
    filesystems.configure({})


@pytest.fixture
def strict(s3_server: Server) -> Iterator[str]:
    """The URL of the server, while it takes no key that it has not given out."""

    def let_in(requests: str) -> None:
        url = f"http://127.0.0.1:{s3_server.port}/moto-api/reset-auth"
        header = {"Content-Type": "application/octet-stream"}
        urllib.request.urlopen(urllib.request.Request(url, requests.encode(), header)).close()

    let_in("0")
    yield f"http://127.0.0.1:{s3_server.port}"
    let_in("inf")


def check(answer: tuple[int, str], status: int, *parts: str) -> None:
    assert answer[0] == status, answer
    (line,) = answer[1].splitlines()
    assert line.startswith("embed-images: ")
    assert all(part in line for part in parts), line


@pytest.mark.parametrize("name", TYPED)
def test_what_is_wrong_with_a_store_is_one_sentence(
    name: str, said: Callable[..., tuple[int, str]], s3_server: Server
) -> None:
    place, url = "s3://bucket/there", f"http://127.0.0.1:{s3_server.port}"
    check(said(name, place, {"endpoint_url": url}), 1, place, "no credentials for s3:// are found")
    given = {"endpoint_url": url, **KEYS}
    check(said(name, "s3://nobody/x", given), 1, "s3://nobody/x: there is no bucket 'nobody'", url)
    check(said(name, place, {"endpoint_url": NOWHERE, **KEYS}), 1, place, f"{NOWHERE} does not answer", "endpoint_url")
    misspelt = "s3.endpoint is no option of s3://; did you mean s3.endpoint_url?"
    check(said(name, place, {"endpoint": "http://misspelt:1", **KEYS}), 2, f"--storage_option: not allowed: {misspelt}")
    absent = {"endpoint_url": url, "key": "x", "secret": "env:NO_SUCH_VARIABLE"}
    check(said(name, place, absent), 2, "--storage_option: not allowed: s3: option secret: the environment has no")
    if name.partition(" ")[0] not in ("run", "plan") or "--input" in name:
        missing = "no such file or folder" if "--input" in name else "there is nothing of that name"
        check(said(name, "s3://bucket/nothing", given), 1, "s3://bucket/nothing", missing)


@pytest.mark.parametrize("name", TYPED)
def test_credentials_that_the_store_does_not_know_are_named_with_the_uri(
    name: str, said: Callable[..., tuple[int, str]], strict: str
) -> None:
    answer = said(name, "s3://bucket/there", {"endpoint_url": strict, **KEYS})
    check(answer, 1, "s3://bucket/there: the store does not take the credentials", "PermissionError")
    assert KEYS["secret"] not in answer[1]


def test_a_store_is_asked_once_and_gets_on_with_it(said: Callable[..., tuple[int, str]], server: Server) -> None:
    storage.write_bytes(server.uri("out/file"), b"x")
    assert first_answer.check_store(server.uri("out")) is True
    assert first_answer.check_store(server.uri("ou")) is False
    assert first_answer.check_store(server.uri("")) is True
    with pytest.raises(first_answer.StoreError, match="there is no bucket 'nobody'"):
        first_answer.check_store(f"{server.scheme}://nobody/x")


def test_options_of_a_store_hold_for_all_its_names(s3_server: Server) -> None:
    filesystems.configure({"s3": s3_server.options["s3"]})
    storage.write_bytes("s3://bucket/named/file", b"x")
    assert first_answer.check_store("s3a://bucket/named") is True
    filesystems.configure({"s3a": s3_server.options["s3"]})
    assert first_answer.check_store("s3://bucket/named") is True
    filesystems.configure({})
