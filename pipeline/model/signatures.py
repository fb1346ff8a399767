"""Which of a module's signatures and outputs is the feature vector, and of what size its images are.

The names are those of TF Hub's common signatures, https://www.tensorflow.org/hub/common_signatures/images: a signature
`image_feature_vector`, in it an output `default`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline.errors import ModelError

FEATURE_VECTOR = ("image_feature_vector", "feature_vector")
DEFAULT_OUTPUT = "default"
SERVING, SERVED = "serving_default", "serve"  # Keras exports one function under both names
# What a module takes when its signature leaves height and width open; TF Hub's MobileNets do.
OPEN_INPUT_SIZE = 224
NEEDED = "needed: a TF2 SavedModel with one input float32 [N, height, width, 3] and one output float32 [N, D]"


class Wanted(NamedTuple):
    """What to take of a module.

    Attributes:
        signature, output_name: as the user named them; None leaves the choice to the names.
        input_size: (height, width) for modules whose signature leaves it open.
    """

    signature: str | None = None
    output_name: str | None = None
    input_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class ImageSignature:
    """A function from images to vectors, found in a module.

    Attributes:
        module: without it, the variables that `call` uses would be gone.
        signature, output_name: their names in the module.
        input_size: (height, width) of the images.
    """

    module: Any
    call: Callable[..., Mapping[str, Any]]
    signature: str
    input_name: str
    output_name: str
    input_size: tuple[int, int]

    def __call__(self, images: Any) -> Any:
        """float32 [N, height, width, 3] in [0, 1] to float32 [N, features]."""
        return self.call(**{self.input_name: images})[self.output_name]


def find_signature(module: Any, handle: str, wanted: Wanted) -> ImageSignature:
    """Finds the one image input and the one vector output.

    Raises:
        ModelError: says what was found instead, and how to choose.
    """
    import tensorflow as tf

    signatures = dict(module.signatures)
    if not signatures:
        raise ModelError(f"{handle}: the module has no signatures; {NEEDED}")
    name = _signature_of(signatures, handle, wanted.signature)
    call = signatures[name]
    inputs, outputs = call.structured_input_signature[1], call.structured_outputs
    found = f"its signature {name} has the inputs {_described(inputs)} and the outputs {_described(outputs)}"
    if len(inputs) != 1:
        raise ModelError(f"{handle}: {len(inputs)} inputs where one is needed: {found}; {NEEDED}")
    ((input_name, spec),) = inputs.items()
    if spec.dtype != tf.float32 or spec.shape.rank != 4 or spec.shape[3] != 3:
        raise ModelError(f"{handle}: no image input: {found}; {NEEDED}")
    if spec.shape[0] is not None:
        raise ModelError(f"{handle}: the batch size is fixed at {spec.shape[0]}: {found}; {NEEDED}")
    output_name = _output_of(outputs, handle, wanted.output_name, found)
    output = outputs[output_name]
    if output.dtype != tf.float32 or output.shape.rank not in (None, 2):
        raise ModelError(f"{handle}: no vector output: {found}; {NEEDED}")
    size = _input_size(handle, (spec.shape[1], spec.shape[2]), wanted.input_size)
    return ImageSignature(module, call, name, input_name, output_name, size)


def _signature_of(signatures: Mapping[str, Any], handle: str, wanted: str | None) -> str:
    listed = "; ".join(
        f"{name} with the outputs {_described(signatures[name].structured_outputs)}" for name in sorted(signatures)
    )
    if wanted is not None:
        if wanted not in signatures:
            raise ModelError(f"{handle}: --signature: it has none of the name {wanted!r}; it has {listed}")
        return wanted
    names = set(signatures)
    if {SERVING, SERVED} <= names and _alike(signatures[SERVING], signatures[SERVED]):
        names.remove(SERVED)
    with_vector = [name for name in names if any(key in FEATURE_VECTOR for key in signatures[name].structured_outputs)]
    for candidates in (names, names.intersection(FEATURE_VECTOR), with_vector):
        if len(candidates) == 1:
            return next(iter(candidates))
    raise ModelError(
        f"{handle}: {len(signatures)} signatures, and none is named as the one that gives feature vectors; choose one "
        f"with --signature: {listed}"
    )


def _alike(one: Any, other: Any) -> bool:
    inputs = [_described(call.structured_input_signature[1]) for call in (one, other)]
    outputs = [_described(call.structured_outputs) for call in (one, other)]
    return inputs[0] == inputs[1] and outputs[0] == outputs[1]


def _output_of(outputs: Iterable[str], handle: str, wanted: str | None, found: str) -> str:
    names = list(outputs)
    if wanted is not None:
        if wanted not in names:
            raise ModelError(f"{handle}: --output_name: there is none of the name {wanted!r}: {found}")
        return wanted
    if len(names) == 1:
        return names[0]
    for name in (*FEATURE_VECTOR, DEFAULT_OUTPUT):
        if name in names:
            return name
    raise ModelError(
        f"{handle}: {len(names)} outputs and none of the name {DEFAULT_OUTPUT!r} or {FEATURE_VECTOR[1]!r}; choose one "
        f"with --output_name: {found}; {NEEDED}"
    )


def _input_size(handle: str, fixed: tuple[int | None, int | None], wanted: tuple[int, int] | None) -> tuple[int, int]:
    """What the signature says; where it leaves a side open, what the user says, else the other side, else 224."""
    height, width = fixed
    if wanted and any(side not in (None, given) for side, given in zip(fixed, wanted, strict=True)):
        has = f"{height or 'any'}x{width or 'any'}"
        raise ModelError(f"{handle}: --input_size is not for this module, whose images are {has} (height x width)")
    if wanted:
        return wanted
    return height or width or OPEN_INPUT_SIZE, width or height or OPEN_INPUT_SIZE


def _described(specs: Mapping[str, Any]) -> str:
    """Such as: inputs float32 [N, 224, 224, 3]; by name, since a SavedModel keeps them in no order."""

    def shape(spec: Any) -> str:
        if spec.shape.rank is None:
            return "of unknown rank"
        return "[" + ", ".join("N" if side is None else str(side) for side in spec.shape) + "]"

    return ", ".join(f"{name} {spec.dtype.name} {shape(spec)}" for name, spec in sorted(specs.items())) or "none"
