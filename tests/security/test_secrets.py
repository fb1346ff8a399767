"""No secret is told: a canary in every place where one can go in, and all that comes out is searched for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.errors import ConfigError
from pipeline.options.beam import check_secrets, runner_options
from pipeline.options.config import make_config
from transforms.stores import secrets

PROGRAM = str(Path(sys.executable).with_name("embed-images"))
CANARY = "CANARY0123456789"
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
]


@pytest.mark.parametrize("content", CONFIGS)
def test_refusals_of_run_configs_tell_none(content: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError) as refused:
        make_config({"config": str(path), "input": ["a"], "output": "o"}, [])
    assert CANARY not in str(refused.value)


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
    }
    assert {text: secrets.redacted(text) for text in shown} == shown
