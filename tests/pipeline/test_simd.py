"""Runs with the faster filter: other vectors, by a little, of a generation of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline import load_features, search_output
from pipeline.errors import ConfigError, RunError
from pipeline.options.config import make_config
from tests.conftest import Run
from transforms import LoadImages, loading
from transforms.images import simd


def test_the_vectors_are_nearly_the_same_and_are_not_mixed(images: Path, tmp_path: Path, run_pipeline: Run) -> None:
    output = tmp_path / "features"
    slow = run_pipeline(input=str(images), output=str(output), engine="litert", run_id="slow")
    with pytest.raises(RunError, match="--new_model"):
        run_pipeline(input=str(images), output=str(output), engine="litert", run_id="fast", resize="squash_simd")
    again = {"output": str(output), "engine": "litert", "resize": "squash_simd", "new_model": True}
    fast = run_pipeline(input=str(images), run_id="fast", **again)
    assert (slow.manifest["preprocessing"]["resize"], fast.manifest["preprocessing"]["resize"]) == (
        "squash",
        "squash_simd",
    )
    before, after = (load_features(str(output), run_id=run_id) for run_id in ("slow", "fast"))
    assert before.uris == after.uris
    assert 0 < np.abs(before.vectors - after.vectors).max() < 0.05
    for one, other in zip(before.vectors, after.vectors, strict=True):
        assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.9999
    found = search_output(str(output), image=str(images / "02.jpg"), k=1)
    assert found[0].cosine > 0.999999, "the query goes the way of its run"


def test_without_the_package_it_is_refused_before_any_image_is(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"input": str(images), "output": "features", "resize": "slim_eval_simd"}
    assert make_config(given, []).resize == "slim_eval_simd"
    monkeypatch.setattr(simd, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"--resize.*slim_eval_simd.*pip install 'embed-images\[simd\]'"):
        make_config(given, [])
    assert make_config({**given, "resize": "slim_eval"}, []).resize == "slim_eval"
    with pytest.raises(RuntimeError, match="needs cykooz-resizer"):
        loading._Load(LoadImages((16, 16), "squash_simd")).setup()
    loading._Load(LoadImages((16, 16), "squash")).setup()
