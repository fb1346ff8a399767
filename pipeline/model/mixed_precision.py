"""bf16 of the engine tensorflow, on GPUs and CPUs: what it runs, rewritten by Grappler, TensorFlow's own optimizer.

Its pass for mixed precision (https://www.tensorflow.org/guide/graph_optimization) computes convolutions, products of
matrices and what lies between them in bf16, and the mean over places, softmax and the like in f32. It is meant for
CPUs, and to run where the graph does; but what it gives is a graph like another, which any device runs that has the
kernels. So it is rewritten once, when the artifact is made.
"""

from __future__ import annotations

from pipeline.errors import ModelError
from pipeline.model import rounding
from transforms.engines.tensorflow import OUTPUT_TENSOR

REWRITER = "auto_mixed_precision_onednn_bfloat16"
CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")


def to_bf16(artifact: bytes, handle: str, kept: int | None = None) -> bytes:
    """A frozen graph that computes in bf16 where that is done, from the same uint8 images to float32 vectors.

    Args:
        artifact: a serialized GraphDef, as `transforms.engines.tensorflow` runs it.
        handle: how the user named the module, for messages.
        kept: convolutions, from the input on, that stay in f32; as many as `rounding` says without it.

    Raises:
        ModelError: nothing of it is computed in bf16, or this TensorFlow does not rewrite graphs so.
    """
    import tensorflow as tf
    from tensorflow.core.protobuf.config_pb2 import ConfigProto
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef
    from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig
    from tensorflow.python.grappler import tf_optimizer

    graph = tf.Graph()
    with graph.as_default(), tf.device("/device:CPU:0"):  # where there is a GPU, it would be taken for the graph's
        tf.graph_util.import_graph_def(tf.compat.v1.GraphDef.FromString(artifact), name="")
    convolutions = [operation for operation in graph.get_operations() if operation.type in CONVOLUTIONS]
    kept = rounding.kept_of(len(convolutions), "bf16") if kept is None else kept
    asked_for = [graph.get_tensor_by_name(OUTPUT_TENSOR).op, *convolutions[:kept]]  # which Grappler leaves as they are
    meta_graph = MetaGraphDef(graph_def=graph.as_graph_def())
    meta_graph.collection_def["train_op"].node_list.value.extend(operation.name for operation in asked_for)
    config = ConfigProto()
    rewriting = config.graph_options.rewrite_options
    rewriting.optimizers.append(REWRITER)
    rewriting.auto_mixed_precision_onednn_bfloat16 = RewriterConfig.ON
    rewriting.min_graph_nodes = -1  # of any size: it passes over small ones
    definition = tf_optimizer.OptimizeGraph(config, meta_graph, verbose=False)
    if not any(node.attr["T"].type == tf.bfloat16.as_datatype_enum for node in definition.node if "T" in node.attr):
        raise ModelError(
            f"{handle}: engine tensorflow would compute nothing of it in bf16: it has no convolution or product of "
            "matrices, or this TensorFlow is without oneDNN (TF_ENABLE_ONEDNN_OPTS=0); --precision f32 runs it"
        )
    for node in definition.node:
        node.device = ""
    rewritten: bytes = definition.SerializeToString()
    return rewritten
