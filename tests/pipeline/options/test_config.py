"""Options: what is taken, what is refused and how, from flags and run configs."""

from __future__ import annotations

import argparse
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli import COMMANDS
from pipeline.errors import ConfigError
from pipeline.options.arguments import add_arguments, with_underscores
from pipeline.options.beam import runner_options
from pipeline.options.config import RunConfig, make_config
from pipeline.options.run_config_file import beam_flags
from pipeline.options.table import OPTIONS

NO_SCHEME = st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters=":")
OF_THE_WORK = {
    "PIL", "aiohttp", "apache_beam", "asyncio", "fsspec", "numpy", "pyarrow", "pydantic", "rich", "tensorflow",
    "tfx_bsl",
}  # fmt: skip
MINIMAL = {"input": ["a"], "output": "/out"}


def parse(*flags: str) -> RunConfig:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--config")
    add_arguments(parser)
    given, rest = parser.parse_known_args(["--input=a", "--output=/out", *flags])
    return make_config(vars(given), rest)


def refusal(**options: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        make_config({**MINIMAL, **options}, [])
    return str(refused.value)


def test_defaults_are_the_documented_ones() -> None:
    config = make_config(MINIMAL, [], now=datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC))
    assert config.model == "https://tfhub.dev/google/imagenet/mobilenet_v2_130_224/feature_vector/4"
    assert (config.engine, config.precision, config.resize) == ("auto", "f32", "squash")
    assert (config.shard_size, config.compression) == (256 * 2**20, "none")
    assert config.run_id == "20260203T040506.000000Z"
    assert config.beam_args == ()


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("engine", "onnx", "one of auto, litert, openvino, tensorflow"),
        ("precision", "f64", "one of f32, bf16, int8"),
        ("resize", "stretch", "one of squash, slim_eval, fit_crop"),
        ("compression", "zip", "one of none, gzip"),
        ("batch_size", "0", "a whole number from 1 to 1_024"),
        ("batch_size", "eight", "a whole number from 1 to 1_024"),
        ("batch_size", True, "a whole number from 1 to 1_024"),
        ("batch_size", 8.5, "a whole number from 1 to 1_024"),
        ("shard_size", "12 parsecs", "a size of at least one byte"),
        ("shard_size", "0", "a size of at least one byte"),
        ("max_failure_rate", "1.5", "a number from 0 to 1"),
        ("max_failure_rate", "nan", "a number from 0 to 1"),
        ("max_failure_rate", [], "a number from 0 to 1"),
        ("max_image_pixels", "-1", "a whole number from 1"),
        ("run_id", "../up", "up to 128 letters"),
        ("run_id", "a b", "up to 128 letters"),
        ("accelerator", "nvidia-l4", "such as type:nvidia-l4;count:1;install-nvidia-driver"),
        ("accelerator", "type:nvidia-l4;count:0", "such as type:nvidia-l4;count:1"),
        ("input_size", "224x", "HEIGHTxWIDTH"),
        ("input_size", "0", "HEIGHTxWIDTH"),
        ("all_files", "yes", "true or false"),
        ("model", "", "a text that is not empty"),
        ("input", 3, "a text that is not empty"),
        ("output", " ", "a text that is not empty"),
    ],
)
def test_a_bad_value_is_refused_by_name_value_and_what_is_allowed(name: str, value: Any, allowed: str) -> None:
    message = refusal(**{name: value})
    assert message.startswith(f"--{name}: {value!r} is not allowed: ")
    assert allowed in message


@pytest.mark.parametrize(
    ("engine", "precision", "computed"),
    [("litert", "bf16", "f32 or int8"), ("openvino", "int8", "f32 or bf16"), ("tensorflow", "int8", "f32 or bf16")],
)
def test_an_engine_without_the_precision_is_refused(engine: str, precision: str, computed: str) -> None:
    expected = f"--precision: {precision!r} is not allowed: engine {engine} computes in {computed}"
    assert refusal(engine=engine, precision=precision) == expected


@pytest.mark.parametrize("missing", ["input", "output"])
def test_what_must_be_given_is_asked_for(missing: str) -> None:
    options = {name: value for name, value in MINIMAL.items() if name != missing}
    with pytest.raises(ConfigError, match=f"^--{missing} must be given: "):
        make_config(options, [])


@given(st.integers(1, 2**40), st.sampled_from(["", "B", "K", "M", "G", "KB", "MiB", "GiB", "mib"]))
def test_sizes_have_binary_units(number: int, unit: str) -> None:
    factor = {"": 1, "B": 1, "K": 2**10, "M": 2**20, "G": 2**30}[unit.upper().removesuffix("IB")[:1]]
    if number * factor <= 2**50:
        assert make_config({**MINIMAL, "shard_size": f"{number}{unit}"}, []).shard_size == number * factor


@given(st.fixed_dictionaries({}, optional={
    "engine": st.sampled_from(["auto", "litert", "openvino", "tensorflow"]),
    "threads": st.integers(0, 1024),
    "min_parity": st.floats(0, 1),
    "resize": st.sampled_from(["squash", "slim_eval", "fit_crop"]),
    "batch_size": st.integers(1, 1024),
    "shard_size": st.integers(1, 2**50),
    "max_failure_rate": st.floats(0, 1),
    "max_image_pixels": st.integers(1, 2**31),
    "run_id": st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z"),
    "input": st.lists(st.text(NO_SCHEME, min_size=1), min_size=1),
}))  # fmt: skip
def test_flags_and_yaml_say_the_same(options: dict[str, Any]) -> None:
    given = {**MINIMAL, "run_id": "r", **options}
    from_yaml = make_config(yaml.safe_load(yaml.safe_dump(given)), [])
    as_flags = {name: value if isinstance(value, list) else str(value) for name, value in given.items()}
    assert make_config(as_flags, []) == from_yaml
    for name, value in options.items():
        assert getattr(from_yaml, name) == (tuple(value) if isinstance(value, list) else value)


def write(path: Path, content: Any) -> str:
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return str(path)


def test_a_run_config_gives_options_and_flags_win(tmp_path: Path) -> None:
    content = {
        "input": ["x/*.jpg", "y"],
        "shard_size": "1MiB",
        "resize": "fit_crop",
        "all_files": True,
        "pipeline_options": {"runner": "FlinkRunner", "parallelism": 4, "streaming": False, "experiments": ["a", "b"]},
    }
    path = write(tmp_path / "run.yaml", content)
    given = {"config": path, "output": "/out", "resize": "slim_eval"}
    config = make_config(given, ["--parallelism=8"])
    assert config.input == ("x/*.jpg", "y")
    assert (config.shard_size, config.resize, config.all_files) == (2**20, "slim_eval", True)
    expected = ("--runner=FlinkRunner", "--parallelism=4", "--experiments=a", "--experiments=b", "--parallelism=8")
    assert config.beam_args == expected


def test_hyphens_in_names_are_underscores(tmp_path: Path) -> None:
    content = {"input": "x", "output": "/out", "all-files": True, "pipeline-options": {"max-num-workers": 2}}
    config = make_config({"config": write(tmp_path / "run.yaml", content)}, [])
    assert config.all_files
    assert config.beam_args == ("--max_num_workers=2",)
    typed = ["--run-id=a-b", "--no-wait", "-k", "--to", "a--b", "--a.b-c=1", "--x=--y-z"]
    assert with_underscores(typed) == ["--run_id=a-b", "--no_wait", "-k", "--to", "a--b", "--a.b-c=1", "--x=--y-z"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"run-id": "a", "run_id": "b"}, "run_id: not allowed: it is there twice, as - and _ are the same"),
        ({"storage_options": {"s4": {"key": "x"}}}, "options of a store, by its scheme: one of "),
        ({"bath_size": 8}, "bath_size: not allowed: no such option; did you mean batch_size?"),
        ({"colour": "red"}, "colour: not allowed: no such option"),
        ({"pipeline_options": ["--x"]}, "a mapping of Beam's option names"),
        ({"pipeline_options": {"engine": "litert"}}, "it belongs to the top level"),
        ({"engine": "onnx"}, "--engine: 'onnx' is not allowed: one of"),
        ("- a\n- b\n", "a YAML mapping"),
        ("a: [", "does not parse"),
        ("", "a YAML mapping"),
    ],
)
def test_a_bad_run_config_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    assert message in refusal(config=write(tmp_path / "run.yaml", content))


def test_a_missing_run_config_is_refused() -> None:
    assert "No such file" in refusal(config="/nowhere.yaml")


def test_misspelt_flags_are_refused_and_beams_pass() -> None:
    with pytest.raises(ConfigError, match="did you mean batch_size"):
        parse("--bath_size=8")
    flags = ("--runner=DirectRunner", "--direct_num_workers=2", "--temp_location=gs://b/t", "--labels", "a=b")
    assert parse(*flags).beam_args == flags


def test_beam_flags_of_yaml_values() -> None:
    flags = beam_flags({"a": True, "b": False, "c": None, "d": 1, "e": ["x", "y"], "f": {"k": 1}})
    assert flags == ["--a", "--d=1", "--e=x", "--e=y", '--f={"k": 1}']


def test_local_outputs_are_absolute_and_stores_are_kept() -> None:
    assert make_config({**MINIMAL, "output": "gs://bucket/out/"}, []).output == "gs://bucket/out"
    assert make_config({**MINIMAL, "output": "file:///a/b"}, []).output == "/a/b"
    assert Path(make_config({**MINIMAL, "output": "out"}, []).output) == Path.cwd() / "out"


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["run", "--engine=x", "--input=a"], *([name, "--help"] for name in COMMANDS)],
)
def test_help_and_refusals_import_nothing_that_only_the_work_needs(arguments: list[str]) -> None:
    code = (
        "import sys, pipeline.cli\n"
        "try: pipeline.cli.main(sys.argv[1:])\n"
        f"finally: sys.exit(', '.join(sorted({OF_THE_WORK} & sys.modules.keys())))"
    )
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1] == ""


def test_every_option_is_explained() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    text = parser.format_help()
    for option in OPTIONS:
        assert f"--{option.flag or option.name} " in text
        assert option.help


@pytest.mark.parametrize(
    ("given", "meant"), [("--paralelism=4", "--parallelism"), ("--flink-master=a:1", "--flink_master")]
)
def test_a_misspelt_option_of_beam_is_refused_on_other_runners_too(given: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f"^{given.partition('=')[0]}: .*did you mean {meant}?"):
        runner_options(["--runner=PortableRunner", given])
    runner_options(["--runner=PortableRunner", "--known_to_the_job_server=1"])


def test_a_version_that_yaml_takes_for_a_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("pipeline_options: {flink_version: 1.20}")
    assert 'pipeline_options.flink_version: 1.2 is not allowed: a text in quotes, such as "1.20"' in refusal(
        config=str(path)
    )
    path.write_text('pipeline_options: {flink_version: "1.20"}')
    assert make_config({**MINIMAL, "config": str(path)}, []).beam_args == ("--flink_version=1.20",)


def test_of_several_inputs_the_one_that_is_refused_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^--input: 's3:/shop' is not allowed: a URI has two slashes: s3://shop;"):
        make_config({"input": ["photos", "s3:/shop"], "output": "/out"}, [])
