"""No secret is told: a canary in every place where one can go in, and all that comes out is searched for it."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.errors import ConfigError
from pipeline.options.arguments import add_arguments
from pipeline.options.beam import check_secrets, runner_options
from pipeline.options.config import make_config
from transforms.elements import ImageObject
from transforms.stores import filesystems, secrets
from transforms.stores.fetching import FetchError, Policy, fetch_and_wait

PROGRAM = str(Path(sys.executable).with_name("embed-images"))
CANARY = "CANARY0123456789"
UNKNOWN = "FINCH0123456789"  # a secret that this process was not given
DEAD = "http://127.0.0.1:9"


def searched(tmp_path: Path, *arguments: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit status and streams of a command, once they and all files that it left were searched."""
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    process = subprocess.run(
        [PROGRAM, *arguments],
        env=os.environ | {"TMPDIR": str(scratch)} | (environment or {}),
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    said = process.stdout + process.stderr
    assert CANARY not in said
    for folder in (tmp_path / "output", scratch, Path(os.environ["EMBED_IMAGES_CACHE_DIR"])):
        for path in folder.rglob("*"):
            assert CANARY not in str(path)
            assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path
    return process.returncode, said


STORES = [
    f"--storage_option=s3.key={CANARY}1",
    f"--storage_option=s3.secret={CANARY}2",
    f"--storage_option=s3.endpoint_url=http://user:{CANARY}3@127.0.0.1:9",
    f'--storage_option=s3.client_kwargs={{"aws_session_token": "{CANARY}4"}}',
    f"--storage_option=gs.token={CANARY}5",
    f"--storage_option=az.connection_string=AccountKey={CANARY}6",
]


@pytest.mark.parametrize("verbose", [[], ["--verbose"]])
def test_a_run_that_publishes_tells_none(verbose: list[str], images: Path, tiny_module: str, tmp_path: Path) -> None:
    status, said = searched(
        tmp_path, "run", "--input", str(images), "--output", str(tmp_path / "output"), "--model", tiny_module,
        *STORES, f"--s3_secret_access_key={CANARY}7", "--azure_connection_string", f"x={CANARY}8", *verbose,
    )  # fmt: skip
    assert status == 0, said
    (manifest,) = (tmp_path / "output").glob("runs/*/run.json")
    config = json.loads(manifest.read_text())["config"]
    assert config["beam_args"] == ["--s3_secret_access_key=…", "--azure_connection_string=…"]
    assert config["storage_options"]["s3"] == ["client_kwargs", "endpoint_url", "key", "secret"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--input=s3://bucket/x/*.jpg", "--output={output}", *STORES, "--fetch_retries=0"],
        ["run", f"--input=https://user:{CANARY}@127.0.0.1:9/list.csv?sig={CANARY}", "--output={output}"],
        ["run", "--input={images}", f"--output=s3://{CANARY}:{CANARY}@bucket/out", *STORES],
        ["run", "--input={images}", "--output={output}", f"--model={DEAD}/m.tar.gz?sig={CANARY}"],
        ["run", "--input={images}", "--output={output}", f"--model=s3://user:{CANARY}@bucket/m", *STORES],
        ["run", "--input={images}", "--output={output}", f"--storage_options=s3.secret={CANARY}"],
        ["run", "--input={images}", "--output={output}", f"--storage_option=s3/secret={CANARY}"],
        ["run", "--input={images}", "--output={output}", f"--s3_secret_acess_key={CANARY}"],
        ["run", "--input={images}", "--output={output}", "--runner=DataflowRunner", *STORES],
        ["run", "--input={images}", "--output={output}", "--config={config}"],
        ["verify", "s3://bucket/out", *STORES],
        ["runs", "s3://bucket/out", *STORES],
        ["latest", f"s3://user:{CANARY}@bucket/out", *STORES],
        ["compact", "s3://bucket/out", *STORES, f"--s3_session_token={CANARY}", "--verbose"],
        ["verify", "{output}", f"--storage_options=s3.secret={CANARY}", f"s3.secret={CANARY}"],
    ],
)
def test_refusals_tell_none(arguments: list[str], images: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump({"storage_option": {"s3": {"secret": CANARY}}}))
    values = {"output": tmp_path / "output", "images": images, "config": config}
    for name, value in values.items():
        arguments = [argument.replace(f"{{{name}}}", str(value)) for argument in arguments]
    more = ["--verbose"] if arguments[0] == "run" else []
    status, said = searched(tmp_path, *arguments, *more, environment={"AWS_MAX_ATTEMPTS": "1"})
    assert status in (1, 2), said
    assert "embed-images: " in said.splitlines()[-1]


CONFIGS: list[dict[str, Any]] = [
    {"storage_options": CANARY},
    {"storage_options": {"s3": CANARY}},
    {"storage_options": [f"s3:secret={CANARY}"]},
    {"storage_optoins": {"s3": {"secret": CANARY}}},
    {"pipeline_options": CANARY},
    {"pipeline_options": {"storage_options": {"s3": {"secret": CANARY}}}},
    {"pipeline_options": {"storage_option": f"s3.secret={CANARY}"}},
    {"unknown": CANARY},
    {"model": {"s3": {"secret": CANARY}}},
    {"exclude": {"secret": CANARY}},
    {"exclude": [{"s3": {"secret": CANARY}}]},
]
SECRET_TEXTS = {
    f"storage_options:\n  s3:\n    secret: {CANARY}\n    - bad": "line 4, column 5: while parsing a block mapping, "
    "expected <block end>, but found '-'",
    f"secret: '{CANARY}": "line 1, column 26: while scanning a quoted scalar, found unexpected end of stream",
    f"secret: %{CANARY}": "line 1, column 9: while scanning for the next token, found character '%' that cannot start",
    f"secret: {CANARY}\n\tkey: x": r"line 2, column 1: while scanning for the next token, found character '\t'",
    f"a: [{CANARY}\nb: 1": "line 2, column 2: while parsing a flow sequence, expected ',' or ']', but got ':'",
    f"a: {CANARY}: b": "line 1, column 20: mapping values are not allowed here",
    f"a: &{CANARY} 1\nb: &{CANARY} 2": "line 2, column 4: found duplicate anchor …; first occurrence",
    f"a: *{CANARY}": "line 1: aliases are not read",
    f"secret: !{CANARY}": "line 1: tags are not read; a text that begins with ! stands in quotes",
    f"secret: !<{CANARY}> x": "line 1: tags are not read",
    f"secret: !{CANARY}!x y": "line 1, column 9: while parsing a node, found undefined tag handle …",
    f"secret: !!int {CANARY}": "line 1: tags are not read",
    f"secret: !!bool {CANARY}": "line 1: tags are not read",
    f"secret: !!timestamp {CANARY}": "line 1: tags are not read",
    f"a: 1\nb: \0{CANARY}": "line 2: special characters are not allowed",
}


@pytest.mark.parametrize("content", [*map(yaml.safe_dump, CONFIGS), *SECRET_TEXTS])
def test_refusals_of_run_configs_tell_none(content: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError) as refused:
        make_config({"config": str(path), "input": ["a"], "output": "o"}, [])
    assert CANARY not in str(refused.value)
    assert SECRET_TEXTS.get(content, "not allowed") in str(refused.value)


@pytest.mark.parametrize("option", ["--storage_option=s3.secret=", "--s3_secret_access_key=", "--limit=1"])
def test_a_word_that_belongs_to_no_option_is_not_told(option: str) -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_arguments(parser)
    given, rest = parser.parse_known_args(["--input=a", "--output=o", option, CANARY])
    with pytest.raises(ConfigError, match="a word that is no option's value: not allowed") as refused:
        runner_options(make_config(vars(given), rest).beam_args)
    assert CANARY not in str(refused.value)
    assert str(refused.value).endswith("an option takes one value: give --input once for each")


@pytest.mark.parametrize(
    "uri",
    [
        f"s3://user:{UNKNOWN}@bucket/x.jpg",  # botocore quotes it as the name of a bucket
        f"http://a\u2100{UNKNOWN}@host/x.jpg",  # yarl quotes the host
        f"http://user:{UNKNOWN}/x@127.0.0.1:9/x.jpg",
        f"http://user:{UNKNOWN}@127.0.0.1:9/x.jpg?sig={UNKNOWN}",
    ],
)
def test_dead_letters_tell_none_where_a_library_quotes_a_uri(uri: str) -> None:
    filesystems.configure({"s3": {"key": "key", "secret": "none", "endpoint_url": DEAD}})
    try:
        with pytest.raises(FetchError) as failed:
            fetch_and_wait(ImageObject(uri), Policy(retries=0))
    finally:
        filesystems.configure({})
    assert UNKNOWN not in str(failed.value)


@pytest.mark.parametrize("quote", [str, repr, lambda text: " ".join(text.split())])
def test_a_secret_of_several_lines_is_taken_out_however_it_is_quoted(quote: Callable[[str], str]) -> None:
    """As of a file of credentials that is no JSON, which is then taken for the secret itself."""
    secret = f'{{"private_key":\n  "{CANARY}12\n'
    secrets.remember(secret)
    assert CANARY not in secrets.redacted(f"invalid token: {quote(secret)}")


def test_identities_of_signed_inputs_differ_and_tell_nothing() -> None:
    def identity(signature: str) -> dict[str, Any]:
        given = {"input": [f"https://user:{CANARY}@host/list.csv?sig={signature}"], "output": "o", "run_id": "r"}
        return make_config(given | {"model": f"https://host/m.tar.gz?sig={signature}"}, []).identity()

    assert CANARY not in json.dumps(identity(CANARY))
    assert identity("one") == identity("one")
    assert identity("one")["input"] != identity("two")["input"]
    assert identity("one")["model"] != identity("two")["model"]
    assert identity("one")["input"][0].startswith("https://…@host/list.csv?…#sha256:")


def test_options_may_name_a_variable_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_SECRET", f"{CANARY}9")
    (tmp_path / "key").write_text(f"{CANARY}10\n")
    (tmp_path / "account.json").write_text(json.dumps({"private_key": f"{CANARY}11"}))
    options = {
        "secret": "env:THE_SECRET",
        "key": f"@{tmp_path}/key",
        "token": f"@{tmp_path}/account.json",
        "anon": True,
    }
    assert secrets.resolved(options) == {
        "secret": f"{CANARY}9", "key": f"{CANARY}10", "token": {"private_key": f"{CANARY}11"}, "anon": True,
    }  # fmt: skip
    assert secrets.secret_values(options) == []
    for number in (9, 10, 11):
        assert secrets.redacted(f"it was {CANARY}{number}.") == "it was …."
    for value, message in (("env:NO_SUCH", "no variable NO_SUCH"), ("@/no/such", "/no/such cannot be read")):
        with pytest.raises(ValueError, match=f"option secret: .*{message}"):
            secrets.resolved({"secret": value})


@pytest.mark.parametrize("values", [{"secret": CANARY}, {"client_kwargs": {"aws_session_token": CANARY}}])
def test_a_job_elsewhere_gets_no_secret_but_what_names_one(values: dict[str, Any]) -> None:
    options = runner_options(["--runner=PortableRunner", "--job_endpoint=127.0.0.1:9"])
    with pytest.raises(ConfigError, match=r"the job's definition would show it; give s3\.\S+=env:NAME") as refused:
        check_secrets({"s3": values}, options)
    assert CANARY not in str(refused.value)
    check_secrets({"s3": {"secret": "env:NAME", "key": "@FILE", "anon": True}, "gs": {"token": "anon"}}, options)
    check_secrets({"s3": values}, runner_options([]))


def test_a_job_elsewhere_gets_no_secret_of_beam() -> None:
    with pytest.raises(ConfigError, match=r"--s3_secret_access_key: .*the job's definition would show it"):
        runner_options(["--runner=PortableRunner", "--s3_secret_access_key", CANARY])


def test_uris_are_shown_without_what_may_be_secret() -> None:
    shown = {
        f"https://user:{CANARY}@host/a b.jpg": "https://…@host/a b.jpg",
        f"see 'https://host/a.jpg?X-Amz-Signature={CANARY}&x=1': 403": "see 'https://host/a.jpg?…': 403",
        "gs://bucket/what?.jpg": "gs://bucket/what?.jpg",
        "/home/a@b/c?.jpg": "/home/a@b/c?.jpg",
        f"s3://key:{CANARY}@bucket/x": "s3://…@bucket/x",
        "https://user:pass/0@host/x is no URL": "https://user:… is no URL",
        "http://host:8080: no, http://[::1]:9/x: no": "http://host:8080: no, http://[::1]:9/x: no",
        "s3://: none, gs://bucket: none, gs://bucket/a:b": "s3://: none, gs://bucket: none, gs://bucket/a:b",
        "no tar://a@2x.jpg::/b.tar, zip://c::gs://b/d.zip": "no tar://a@2x.jpg::/b.tar, zip://c::gs://b/d.zip",
        f"tar://a@2x::https://user:{CANARY}@host/b.tar": "tar://a@2x::https://…@host/b.tar",
        "tar://a::https://user:pass/0@host/b.tar": "tar://a::https://user:…",
    }
    assert {text: secrets.redacted(text) for text in shown} == shown
