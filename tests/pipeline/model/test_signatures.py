"""Which output of a module is its feature vector: by its name, by the user's word, never by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ModelError, RunError
from pipeline.model.prepare import prepare_model
from tests.conftest import Run
from tests.reading import run_vectors

SIZE = 32
# By name of an output, what it gives: the mean of each channel, times a factor that tells it.
FACTORS = {"logits": 9.0, "default": 2.0, "feature_vector": 3.0, "a": 4.0, "b": 5.0, "image_feature_vector": 6.0}
Shape = tuple[int | None, ...]


def save(folder: Path, signatures: Mapping[str, Sequence[str]], shape: Shape = (None, SIZE, SIZE, 3)) -> str:
    """Saves a module with signatures of so many outputs each."""
    import tensorflow as tf

    module = tf.Module()
    module.one = tf.Variable(1.0)

    def function(outputs: Sequence[str]) -> Any:
        def serve(inputs: Any) -> Any:
            means = tf.reduce_mean(inputs, axis=[1, 2]) * module.one
            return {name: means * FACTORS[name] for name in outputs}

        return tf.function(serve, input_signature=[tf.TensorSpec(shape, tf.float32, "inputs")])

    tf.saved_model.save(module, str(folder), {name: function(outputs) for name, outputs in signatures.items()})
    return str(folder)


@pytest.mark.parametrize(
    ("signatures", "chosen"),
    [
        ({"serving_default": ["a"]}, ("serving_default", "a")),
        ({"anything": ["logits"]}, ("anything", "logits")),
        ({"classify": ["logits"], "image_feature_vector": ["default"]}, ("image_feature_vector", "default")),
        ({"serving_default": ["logits"], "feature_vector": ["a"]}, ("feature_vector", "a")),
        ({"serving_default": ["logits"], "other": ["logits", "feature_vector"]}, ("other", "feature_vector")),
        ({"serving_default": ["a", "default"]}, ("serving_default", "default")),
        ({"serving_default": ["default", "feature_vector", "logits"]}, ("serving_default", "feature_vector")),
        ({"serving_default": ["logits", "image_feature_vector"]}, ("serving_default", "image_feature_vector")),
        ({"serve": ["a"], "serving_default": ["a"]}, ("serving_default", "a")),
    ],
)
def test_what_is_named_as_the_feature_vector_is_taken(
    tmp_path: Path, signatures: Mapping[str, Sequence[str]], chosen: tuple[str, str]
) -> None:
    model = prepare_model(save(tmp_path / "module", signatures), "litert")
    assert (model.signature, model.output_name) == chosen


@pytest.mark.parametrize(
    ("signatures", "told"),
    [
        ({"classify": ["logits"], "embed": ["a"]}, ["2 signatures", "--signature", "classify with", "embed with the"]),
        ({"serving_default": ["logits"], "embed": ["a"]}, ["--signature", "serving_default with", "logits float32"]),
        ({"serve": ["a"], "serving_default": ["logits"]}, ["--signature", "serve with the outputs a float32 [N, 3]"]),
        ({"image_feature_vector": ["a"], "feature_vector": ["b"]}, ["--signature", "image_feature_vector with"]),
        ({"serving_default": ["a", "b"]}, ["2 outputs", "--output_name", "outputs a float32 [N, 3], b float32 [N, 3]"]),
    ],
)
def test_what_is_not_is_asked_for(tmp_path: Path, signatures: Mapping[str, Sequence[str]], told: Sequence[str]) -> None:
    folder = save(tmp_path / "module", signatures)
    for engine in ("auto", "litert", "tensorflow"):
        with pytest.raises(ModelError) as refused:
            prepare_model(folder, engine)
        assert str(refused.value).startswith(f"{folder}: ")
        assert all(part in str(refused.value) for part in told)


def test_names_that_are_not_there_are_told_with_those_that_are(tmp_path: Path) -> None:
    folder = save(tmp_path / "module", {"classify": ["logits"], "embed": ["a", "b"]})
    with pytest.raises(ModelError, match=r"--signature: it has none of the name 'x'; it has classify with .*; embed"):
        prepare_model(folder, "litert", signature="x")
    with pytest.raises(ModelError, match=r"--output_name: there is none of the name 'x': .* outputs a .*, b "):
        prepare_model(folder, "litert", signature="embed", output_name="x")


@pytest.mark.parametrize("engine", ["litert", "openvino", "tensorflow"])
def test_a_chosen_output_is_the_one_whose_vectors_come(
    tmp_path: Path, images: Path, run_pipeline: Run, engine: str
) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino", reason="OpenVINO comes with the extra 'openvino'")
    folder = save(tmp_path / "module", {"classify": ["logits"], "embed": ["a", "b"]})
    given = {"input": str(images), "model": folder, "engine": engine, "signature": "embed"}
    vectors = {}
    for name in ("a", "b"):
        report = run_pipeline(**given, output_name=name, run_id=name, output=str(tmp_path / name))
        assert (report.manifest["model"]["signature"], report.manifest["model"]["output_name"]) == ("embed", name)
        vectors[name] = run_vectors(report.folder)[1]
    np.testing.assert_allclose(vectors["b"], vectors["a"] * (FACTORS["b"] / FACTORS["a"]), rtol=1e-5)


def test_two_outputs_of_a_module_are_two_generations(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    folder = save(tmp_path / "module", {"serving_default": ["a", "b"]})
    given = {"input": str(images), "model": folder}
    first = run_pipeline(**given, output_name="a", run_id="1").manifest
    assert (first["generation"]["signature"], first["generation"]["output_name"]) == ("serving_default", "a")
    with pytest.raises(RunError, match=r"cannot be compared with these .*output_name a, now b"):
        run_pipeline(**given, output_name="b", run_id="2", incremental=True)
    with pytest.raises(RunError, match=r"published in .* already, with another output_name"):
        run_pipeline(**given, output_name="b", run_id="1")
    second = run_pipeline(**given, output_name="b", run_id="2", incremental=True, new_model=True).manifest
    assert second["counts"]["embedded"] == first["counts"]["embedded"]


def test_int8_of_two_outputs_are_two_artifacts(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    folder = save(tmp_path / "module", {"serving_default": ["a", "b"]})
    given = {"input": str(images), "model": folder, "precision": "int8", "min_parity": 0}
    run_pipeline(**given, output_name="a", run_id="1")
    run_pipeline(**given, output_name="b", run_id="2", new_model=True)
    assert len(list((tmp_path / "output/artifacts").iterdir())) == 2


@pytest.mark.parametrize(
    ("sides", "wanted", "size"),
    [
        ((None, None), None, (224, 224)),
        ((None, None), (48, 64), (48, 64)),
        ((None, 48), None, (48, 48)),
        ((64, None), None, (64, 64)),
        ((None, 48), (96, 48), (96, 48)),
        ((64, None), (64, 32), (64, 32)),
        ((32, 48), (32, 48), (32, 48)),
    ],
)
def test_open_sides_take_what_is_given_else_the_other_side(
    tmp_path: Path, sides: tuple[int | None, int | None], wanted: tuple[int, int] | None, size: tuple[int, int]
) -> None:
    folder = save(tmp_path / "module", {"serving_default": ["a"]}, (None, *sides, 3))
    assert prepare_model(folder, "litert", wanted).input_size == size


@pytest.mark.parametrize(
    ("sides", "wanted", "has"),
    [((None, 48), (48, 64), "anyx48"), ((64, None), (32, 64), "64xany"), ((32, 48), (48, 32), "32x48")],
)
def test_a_fixed_side_is_the_modules(
    tmp_path: Path, sides: tuple[int | None, int | None], wanted: tuple[int, int], has: str
) -> None:
    folder = save(tmp_path / "module", {"serving_default": ["a"]}, (None, *sides, 3))
    with pytest.raises(ModelError, match=f"--input_size is not for this module, whose images are {has}"):
        prepare_model(folder, "litert", wanted)
