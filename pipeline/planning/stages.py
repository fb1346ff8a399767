"""The stages that Beam makes of a run, and what is shuffled between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.portability import common_urns
from apache_beam.runners.portability.fn_api_runner import translations
from apache_beam.runners.worker.bundle_processor import DATA_INPUT_URN, DATA_OUTPUT_URN

from pipeline.graph import build
from pipeline.model.feature_model import FeatureModel
from pipeline.model.prepare import AUTO_ENGINE
from pipeline.model.signatures import OPEN_INPUT_SIZE
from pipeline.options.config import RunConfig
from transforms.history import LedgerFile

GROUP_BY_KEY = common_urns.primitives.GROUP_BY_KEY.urn
OF_FUSION = (DATA_INPUT_URN, DATA_OUTPUT_URN, common_urns.primitives.IMPULSE.urn)  # sources and sinks of stages
PHASES = (
    translations.annotate_downstream_side_inputs,
    translations.lift_combiners,
    translations.expand_sdf,
    translations.sink_flattens,
    translations.greedily_fuse,
    translations.sort_stages,
)


def stages_of(config: RunConfig) -> str:
    """Describes a run's stages in order, by the fusion of Beam's portable runners; others may fuse a little less.

    Nothing is listed, converted, read or written: the model is a stand-in of the same place in the graph, and of an
    incremental run's ledgers one unnamed one stands for all.
    """
    pipeline = beam.Pipeline(runner="FnApiRunner")
    history = [LedgerFile("", 0)] if config.incremental else []
    build(pipeline, config, _placeholder(config), "", "", {}, history)
    context, stages = translations.create_and_optimize_stages(
        pipeline.to_runner_api(), PHASES, frozenset([GROUP_BY_KEY, common_urns.primitives.FLATTEN.urn]), False
    )
    return "\n".join(_lines(context.components, stages))


def _placeholder(config: RunConfig) -> FeatureModel:
    engine = AUTO_ENGINE[config.precision] if config.engine == "auto" else config.engine
    size = config.input_size or (OPEN_INPUT_SIZE, OPEN_INPUT_SIZE)
    return FeatureModel(config.model, "", engine, config.precision, size, 0, "", {}, "", "")


def _lines(components: Any, stages: Sequence[Any]) -> Iterator[str]:
    number = 0
    for stage in stages:
        own = [transform for transform in stage.transforms if transform.spec.urn not in OF_FUSION]
        shuffles = [transform for transform in own if transform.spec.urn == GROUP_BY_KEY]
        for shuffle in shuffles:
            (source,) = shuffle.inputs.values()
            elements = _coder(components, components.pcollections[source].coder_id)
            yield f"    shuffle  {shuffle.unique_name}: {elements}"
        if own and not shuffles:
            number += 1
            yield f"{number:2}  {' ─ '.join(_steps(own))}"


def _steps(transforms: Sequence[Any]) -> list[str]:
    """What a stage does, by the two upper levels of its names: A/{B, C}."""
    steps: dict[str, list[str]] = {}
    for transform in transforms:
        composite, step = [*transform.unique_name.split("/"), ""][:2]
        of_composite = steps.setdefault(composite, [])
        if step and step not in of_composite and not step.startswith(("FlatMap(<", "Map(")):
            of_composite.append(step)
    return [
        f"{composite}/{{{', '.join(of)}}}" if len(of) > 1 else "/".join([composite, *of])
        for composite, of in steps.items()
    ]


def _coder(components: Any, coder_id: str) -> str:
    """What is encoded, such as (bytes, ImageObject)."""
    coder = components.coders[coder_id]
    urn = coder.spec.urn
    parts = [_coder(components, part) for part in coder.component_coder_ids]
    if urn == common_urns.coders.KV.urn:
        return f"({', '.join(parts)})"
    if urn == common_urns.coders.ROW.urn:
        return _row(coder.spec.payload)
    if urn == common_urns.coders.LENGTH_PREFIX.urn:
        return parts[0]
    name = urn.removeprefix("beam:coder:").removesuffix(":v1")
    return f"{name}<{', '.join(parts)}>" if parts else name


def _row(payload: bytes) -> str:
    """The fields of a row."""
    from apache_beam.portability.api import schema_pb2

    schema = schema_pb2.Schema.FromString(payload)
    return f"row({', '.join(field.name for field in schema.fields)})"
