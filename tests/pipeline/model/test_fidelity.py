"""Parity: what it measures, on which images, and what it refuses."""

from __future__ import annotations

import re
import socket
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.graph import listing_of, loading_of
from pipeline.model import conversion, sampling
from pipeline.model.fidelity import measure_parity, nearest_others
from pipeline.model.prepare import prepare_model
from pipeline.model.sampling import CALIBRATION, PROBES, load_pixels, split_pool, take_sample
from pipeline.options.config import make_config
from pipeline.outputs.verify import verify_output
from tests.conftest import TINY_SIZE, Run, photo
from transforms.elements import ImageObject
from transforms.engines.openvino import has_bf16
from transforms.images.decoding import decode_image


def test_parity_is_what_it_says() -> None:
    expected = np.array([[1.0, 0.0], [3.0, 4.0], [0.0, 0.0]], np.float32)
    parity = measure_parity(expected, expected)
    assert parity == {"min_cosine": 1.0, "mean_cosine": 1.0, "max_relative_error": 0.0, "neighbour_agreement": 1.0}
    turned = np.array([[0.0, 1.0], [3.0, 4.0], [0.0, 0.0]], np.float32)
    parity = measure_parity(expected, turned)
    assert parity["min_cosine"] == 0.0
    assert parity["mean_cosine"] == pytest.approx(2 / 3)
    assert parity["max_relative_error"] == 0.25
    assert np.isnan(measure_parity(expected, expected * np.nan)["min_cosine"])


def test_neighbours_are_others_and_nearest_by_angle() -> None:
    vectors = np.array([[1.0, 0.0], [9.0, 1.0], [0.0, 2.0], [1.0, 5.0]])
    assert nearest_others(vectors).tolist() == [1, 0, 3, 2]
    moved = np.array([[1.0, 0.0], [9.0, 1.0], [0.0, 2.0], [5.0, 1.0]])
    assert nearest_others(moved).tolist() == [1, 3, 3, 1]
    assert measure_parity(vectors, moved)["neighbour_agreement"] == 0.5
    assert measure_parity(vectors[:1], vectors[:1])["neighbour_agreement"] == 1.0


@pytest.mark.parametrize("size", [0, 1, 2, 5, 64, 191, 192, 1000])
def test_probes_and_calibration_share_no_image(size: int) -> None:
    pool = [ImageObject(f"/{i}") for i in range(size)]
    probes, calibration = split_pool(pool)
    assert not set(probes) & set(calibration)
    assert len(probes) + len(calibration) == min(size, PROBES + CALIBRATION)
    assert len(probes) >= min(size, 1)
    if size == 1000:
        assert (len(probes), len(calibration)) == (PROBES, CALIBRATION)
        assert int(probes[-1].uri[1:]) > 900


def test_a_sample_is_what_the_run_will_load(images: Path, tmp_path: Path) -> None:
    (images / "03.jpg").write_bytes(b"broken")
    config = make_config({"input": str(images), "output": str(tmp_path / "output")}, [])
    rows = [ImageObject(str(images / name)) for name in ("02.jpg", "03.jpg", "nosuch.jpg", "04.jpg")]
    pixels = load_pixels(rows, loading_of(config, (16, 24)))
    expected = [
        decode_image((images / name).read_bytes(), (16, 24), "squash", 10**6).pixels for name in ("02.jpg", "04.jpg")
    ]
    np.testing.assert_array_equal(pixels, expected)
    assert take_sample(config.input, listing_of(config), partial(loading_of, config), (16, 24)).probes.source == "input"


def test_a_server_that_never_answers_does_not_hold_up_the_launch(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "SECONDS", 2.0)
    config = make_config({"input": str(images), "output": str(tmp_path / "output")}, [])
    with socket.create_server(("127.0.0.1", 0)) as silent:
        never = ImageObject(f"http://127.0.0.1:{silent.getsockname()[1]}/never.jpg", 100, "v")
        pixels = load_pixels([never, ImageObject(str(images / "02.jpg"))], loading_of(config, (16, 24)))
    assert len(pixels) == 1


def test_unreadable_images_give_a_procedural_sample(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    config = make_config({"input": str(tmp_path), "output": str(tmp_path / "output")}, [])
    sample = take_sample(config.input, listing_of(config), partial(loading_of, config), (16, 16))
    assert (sample.probes.source, sample.probes.pixels.shape) == ("procedural", (8, 16, 16, 3))


def test_parity_stands_in_the_manifest_and_is_measured_once(
    images: Path, run_pipeline: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_pipeline(input=str(images), run_id="a").manifest["model"]["parity"]
    assert (first["images"], first["count"]) == ("input", 4)  # every third of twelve
    assert first["min_cosine"] > 0.999999

    def fail(*_: Any) -> None:
        raise AssertionError("the module was loaded again")

    monkeypatch.setattr(conversion, "_load", fail)
    assert run_pipeline(input=str(images), run_id="b").manifest["model"]["parity"] == first


def test_bf16_is_openvinos_and_near_f32(images: Path, run_pipeline: Run, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO comes with the extra 'openvino'")
    if not has_bf16():
        pytest.skip("this processor has no bf16 instructions")
    model = run_pipeline(input=str(images), precision="bf16").manifest["model"]
    assert (model["engine"], model["precision"]) == ("openvino", "bf16")
    assert 0.99 < model["parity"]["mean_cosine"] < 1
    assert model["parity"]["max_relative_error"] > 1e-4, "which f32 would not show"
    assert verify_output(str(tmp_path / "output")).holds


def test_int8_is_calibrated_once_for_an_output(tmp_path: Path, run_pipeline: Run) -> None:
    """The second run has other images and takes the first one's calibration."""
    for night in ("first", "second"):
        (tmp_path / night).mkdir()
        for i in range(30):
            photo(60, 40, i + 100 * (night == "second")).save(tmp_path / night / f"{i}.png")
    first = run_pipeline(input=str(tmp_path / "first"), precision="int8", run_id="1").manifest["model"]
    assert (first["engine"], first["precision"]) == ("litert", "int8")
    assert 0.95 < first["parity"]["mean_cosine"] < 1
    (kept,) = (path.name for path in (tmp_path / "output/artifacts").iterdir())
    of_output = r"[0-9a-f]{8}"
    assert re.fullmatch(f"{first['digest'][:16]}-{of_output}-litert-int8-squash-{TINY_SIZE}x{TINY_SIZE}", kept)
    second = run_pipeline(input=str(tmp_path / "second"), precision="int8", run_id="2").manifest["model"]
    assert second["artifact_sha256"] == first["artifact_sha256"]
    assert second["parity"] != first["parity"]
    assert verify_output(str(tmp_path / "output")).holds


def test_low_parity_is_refused_before_anything_runs(images: Path, tmp_path: Path, run_pipeline: Run) -> None:
    refusal = r"int8 gives vectors of mean cosine 0\.9\d+ .* on 4 images of the input; --min_parity asks for 1\.0"
    with pytest.raises(ModelError, match=refusal):
        run_pipeline(input=str(images), precision="int8", min_parity="1")
    assert not (tmp_path / "output/runs").exists()


def test_an_engine_that_is_not_installed_is_told(tiny_module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.model.prepare.is_installed", lambda package: False)
    with pytest.raises(ModelError, match=r"engine openvino is not installed: pip install 'embed-images\[openvino\]'"):
        prepare_model(tiny_module, "openvino")


def test_a_processor_without_bf16_is_told(tiny_module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino", reason="OpenVINO comes with the extra 'openvino'")
    monkeypatch.setattr("transforms.engines.openvino.BF16", "NO SUCH CAPABILITY")
    monkeypatch.setenv("EMBED_IMAGES_CACHE_DIR", str(Path(tiny_module).parent / "another-cache"))
    with pytest.raises(ModelError, match=r"cannot run it in bf16 here .*no bf16 instructions"):
        prepare_model(tiny_module, "openvino", precision="bf16")
