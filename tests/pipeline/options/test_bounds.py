"""Options that are out of bounds: YAML that grows, and schemes that nobody means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.options.config import make_config

MINIMAL = {"input": ["a"], "output": "/out"}
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (LAUGHS, "line 2: aliases are not read"),
        ("input: " + "[" * 50_000, "line 1: nested deeper than 20"),
        ("limit: " + "9" * 5_000, "Exceeds the limit (4300 digits)"),
        ("since: 2026-99-99", "month must be in 1..12"),
        ("# " + "x" * (1 << 20), "it has 1,048,577 characters, more than 1,048,576"),
        ("\xe9".encode("latin-1"), "codec can't decode"),
        ("a: [", "while parsing"),
    ],
)
def test_run_configs_are_as_large_as_they_are_written(tmp_path: Path, content: str | bytes, reason: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as refused:
        make_config({**MINIMAL, "config": str(path)}, [])
    assert str(refused.value).startswith(
        f"--config: {str(path)!r} is not allowed: a YAML file; this one does not parse: "
    )
    assert reason in str(refused.value)
    assert len(str(refused.value)) < 1000


def test_values_of_stores_are_bounded_as_well() -> None:
    for value in ("[" * 5_000, "[&a [1], *a]"):
        with pytest.raises(ConfigError, match=r"SCHEME\.KEY=VALUE"):
            make_config({**MINIMAL, "storage_options": [f"s3.x={value}"]}, [])


@pytest.mark.parametrize(
    "uri",
    ["a", "/a::b", "gs://b/x", "gcs://b/x", "s3://b/x", "s3a://b/x", "az://b/x", "abfs://b/x", "abfss://b/x",
     "https://h/x.csv?a=b::c", "HTTP://h/x.csv", "file:///a", "file:/a", "file://localhost/a"],
)  # fmt: skip
def test_inputs_have_a_scheme_that_is_read(uri: str) -> None:
    assert make_config({**MINIMAL, "input": [uri]}, []).input == (uri,)


@pytest.mark.parametrize(
    "uri",
    ["ftp://h/x", "simplecache::s3://b/x", "filecache::http://h/x", "zip://a::s3://b/x.zip", "github://a:b@c/x",
     "reference://x", "sftp://h/x", "ssh://h/x", "data://x", "hdfs://h/x", "local:///x", "tar://x::/y", "jdbc://x",
     "memory://x"],
)  # fmt: skip
def test_inputs_and_outputs_of_other_schemes_are_refused(uri: str) -> None:
    for name in ("input", "output"):
        with pytest.raises(ConfigError, match="a path, or a URI of a store"):
            make_config({**MINIMAL, name: uri}, [])


def test_outputs_are_folders_that_can_be_written() -> None:
    for uri, reason in (("http://h/x", "web servers are for reading"), ("file://server/x", "a file of this machine")):
        with pytest.raises(ConfigError, match=reason):
            make_config({**MINIMAL, "output": uri}, [])
    assert make_config({**MINIMAL, "output": "file:///a%20b/"}, []).output == "/a b"


def test_inputs_that_are_no_utf8_are_taken_and_outputs_not() -> None:
    name = os.fsdecode(b"/caf\xe9")
    assert make_config({**MINIMAL, "input": [name]}, []).input == ("file:///caf%E9",)
    with pytest.raises(ConfigError, match="a name that is UTF-8"):
        make_config({**MINIMAL, "output": name}, [])
    with pytest.raises(ConfigError, match="a name that is UTF-8"):
        make_config({**MINIMAL, "input": ["s3://b/\udce9"]}, [])
