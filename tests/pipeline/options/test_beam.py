"""Beam's options with those of a run among them."""

from __future__ import annotations

import copy

from apache_beam.options.pipeline_options import DebugOptions, StandardOptions, TypeOptions

from pipeline.options.beam import EmbeddingOptions, runner_options


def test_a_view_is_made_once_and_shows_what_others_set() -> None:
    options = runner_options(["--experiments=one"])
    debug = options.view_as(DebugOptions)
    assert options.view_as(DebugOptions) is debug
    debug.view_as(StandardOptions).streaming = True
    assert options.view_as(StandardOptions).streaming
    assert debug.experiments == ["one"]


def test_a_copy_has_values_of_its_own() -> None:
    options = EmbeddingOptions(["--experiments=one"], model="m")
    types = options.view_as(TypeOptions)
    copied = copy.deepcopy(options)
    copied.view_as(DebugOptions).experiments.append("two")
    copied.view_as(TypeOptions).runtime_type_check = True
    assert copied.get_all_options()["experiments"] == ["one", "two"]
    assert copied.view_as(EmbeddingOptions).model == "m"
    assert options.view_as(DebugOptions).experiments == ["one"]
    assert not types.runtime_type_check
