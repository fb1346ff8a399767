"""What a module may do when it runs: mathematics, variables, control flow and tables, and nothing else.

A SavedModel is a program that TensorFlow runs with all rights of its user: it can read, write and send. So its graph is
read, not run, and every op that is on no list here is named. `--trust_module` runs it all the same.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError
from pipeline.model.cache import version_of
from pipeline.model.sealing import sealed

# Raise it when an op comes to be refused, or taken, that was not before.
LIST_VERSION = 1
# TensorFlow declares its ops by families, one file each. Of these all ops are taken that keep no state…
FAMILIES = (
    "array_ops", "audio_ops", "bitwise_ops", "control_flow_ops", "count_ops", "ctc_ops", "functional_ops", "image_ops",
    "linalg_ops", "list_ops", "lookup_ops", "manip_ops", "map_ops", "math_ops", "nn_ops", "optional_ops", "parsing_ops",
    "ragged_array_ops", "ragged_conversion_ops", "ragged_math_ops", "random_ops", "resource_variable_ops", "rnn_ops",
    "set_ops", "sparse_ops", "special_math_ops", "spectral_ops", "state_ops", "stateful_random_ops",
    "stateless_random_ops", "stateless_random_ops_v2", "string_ops", "training_ops", "uniform_quant_ops",
)  # fmt: skip
# … but for those that map a file into memory, read one, run elsewhere, or end the process.
NOT_TAKEN = ("ImmutableConst", "InitializeTableFromTextFile", "InitializeTableFromTextFileV2", "RemoteCall", "Abort")
# The families whose ops keep state in memory, and in memory alone: those are taken too.
STATE_IN_MEMORY = (
    "array_ops", "functional_ops", "image_ops", "lookup_ops", "random_ops", "resource_variable_ops", "state_ops",
    "stateful_random_ops", "stateless_random_ops_v2", "training_ops",
)  # fmt: skip
# And single ones: parts of loops and of gathering, a check, and the name of a file without the file.
SINGLE = (
    "Assert", "DynamicPartition", "DynamicStitch", "ParallelDynamicStitch", "ShardedFilename", "TensorArrayCloseV3",
    "TensorArrayConcatV3", "TensorArrayGatherV3", "TensorArrayReadV3", "TensorArrayScatterV3",
    "TensorArraySizeV3", "TensorArraySplitV3", "TensorArrayV3", "TensorArrayWriteV3",
)  # fmt: skip
# Every SavedModel has them, for TensorFlow's own saving and loading; nothing else may come to them.
OF_THE_SAVER = ("MergeV2Checkpoints", "RestoreV2", "SaveV2")
PYTHON = ("EagerPyFunc", "PyFunc", "PyFuncStateless")


def check_ops(handle: str, saved_model: Path, digest: str, *, trust: bool) -> None:
    """Refuses a module whose graph does more than compute; the verdict is kept by the module's digest.

    Raises:
        ModelError: names the ops.
    """
    made_of = {"module": digest, "list": LIST_VERSION, "tensorflow": version_of("tensorflow")}

    def build(folder: Path) -> None:
        refused = refused_ops(saved_model, handle)
        folder.mkdir()
        (folder / "refused.json").write_text(json.dumps(refused))

    refused = [] if trust else sealed("ops", made_of, build, _read_verdict)
    if python := [op for op in refused if op in PYTHON]:
        raise ModelError(
            f"{handle}: the module calls Python ({', '.join(python)}), and that function was not saved with it, so it "
            f"cannot be run; save it with TensorFlow's own ops in the place of tf.py_function, or give --trust_module "
            f"if no more than a part calls it that is not used here"
        )
    if refused:
        shown = ", ".join(refused[:8]) + (", …" if len(refused) > 8 else "")
        raise ModelError(
            f"{handle}: the module does more than compute: its graph has {shown}, which may read or write files, use "
            f"the network or run other code; give --trust_module if you trust who made it, see docs/security.md"
        )


def _read_verdict(folder: Path) -> list[str]:
    refused = json.loads((folder / "refused.json").read_text())
    if not isinstance(refused, list) or not all(isinstance(op, str) for op in refused):
        raise ValueError("no list of ops")
    return refused


def refused_ops(saved_model: Path, handle: str) -> list[str]:
    """The ops of a module that are not taken, in the order of the alphabet; its file is read and nothing is run.

    Raises:
        ModelError: it is no SavedModel.
    """
    from tensorflow.python.saved_model.loader_impl import parse_saved_model

    try:
        model = parse_saved_model(str(saved_model))  # as it is parsed when it is loaded
    except (OSError, ValueError) as e:
        raise ModelError(f"{handle}: TensorFlow cannot load {saved_model}: {e}") from None
    allowed = allowed_ops()
    return sorted({op for graph in model.meta_graphs for op in _refused(graph, allowed)})


def allowed_ops() -> frozenset[str]:
    """The names of the ops that are taken, of the TensorFlow that is installed."""
    from tensorflow.python.framework import op_def_registry

    allowed = set(SINGLE)
    for family in FAMILIES:
        module = importlib.import_module(f"tensorflow.python.ops.gen_{family}")
        for name in dir(module):
            op = op_def_registry.get(name)
            if op is not None and (not op.is_stateful or family in STATE_IN_MEMORY):
                allowed.add(name)
    return frozenset(allowed.difference(NOT_TAKEN))


def _refused(graph: Any, allowed: frozenset[str]) -> Iterator[str]:
    from tensorflow.python.framework import op_def_registry

    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    yield from (name for name in functions if op_def_registry.get(name))  # a function in an op's clothes
    everywhere = [*graph.graph_def.node, *(node for function in functions.values() for node in function.node_def)]
    taken = allowed.union(functions, OF_THE_SAVER)
    yield from (node.op for node in everywhere if node.op not in taken)
    yield from (node.op for node in _run_by_loading_or_calling(graph, functions) if node.op in OF_THE_SAVER)


def _run_by_loading_or_calling(graph: Any, functions: Mapping[str, Any]) -> Iterator[Any]:
    """The nodes that run when a module is loaded or one of its signatures is called, but for TensorFlow's restoring.

    What is left are the functions that save and restore, which only their own nodes in the main graph call.
    """
    nodes = {node.name: node for node in graph.graph_def.node}
    outputs = [info for signature in graph.signature_def.values() for info in signature.outputs.values()]
    tensors = [name for info in outputs for name in _names(info)]
    for collection in ("saved_model_main_op", "legacy_init_op"):
        tensors += graph.collection_def[collection].node_list.value if collection in graph.collection_def else []
    main = list(_upstream(tensors, nodes))
    yield from main
    called = [*graph.object_graph_def.concrete_functions, *(name for node in main for name in _calls(node, functions))]
    seen: set[str] = set()
    while called:
        name = called.pop()
        if name in seen or name not in functions:
            continue
        seen.add(name)
        yield from functions[name].node_def
        called += [callee for node in functions[name].node_def for callee in _calls(node, functions)]


def _upstream(tensors: Iterable[str], nodes: Mapping[str, Any]) -> Iterator[Any]:
    """The nodes of a graph that some tensors, or nodes, need."""
    waiting, seen = list(tensors), set()
    while waiting:
        name = waiting.pop().lstrip("^").partition(":")[0]
        if name not in seen and name in nodes:
            seen.add(name)
            yield nodes[name]
            waiting += nodes[name].input


def _calls(node: Any, functions: Mapping[str, Any]) -> Iterator[str]:
    """The functions of the graph that a node names."""
    if node.op in functions:
        yield node.op
    values = list(node.attr.values())
    while values:
        value = values.pop()
        for function in (value.func, *value.list.func):
            values += function.attr.values()
            if function.name in functions:
                yield function.name


def _names(info: Any) -> Iterator[str]:
    """The tensors of an output, of which a sparse or a ragged one has several."""
    yield info.name
    sparse = info.coo_sparse
    yield from (sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name)
    for component in info.composite_tensor.components:
        yield from _names(component)
