"""Which ops a module may have: ordinary ones pass, what touches the world is named before anything runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ModelError
from pipeline.model.ops import allowed_ops, check_ops, refused_ops
from pipeline.model.prepare import prepare_model
from tests.conftest import Run, save_module

Forward = Callable[[Any, Any], Any]


def features(images: Any) -> Any:
    import tensorflow as tf

    return tf.reduce_mean(images, axis=[1, 2])


def after(*effects: Any) -> Forward:
    """A forward function that gives features once some effects of TensorFlow's have happened."""

    def forward(_: Any, images: Any) -> Any:
        import tensorflow as tf

        with tf.control_dependencies([effect(tf, images) for effect in effects]):
            return {"default": tf.identity(features(images))}

    return forward


def looped(effect: Any) -> Forward:
    """The same, hidden in a branch of a loop."""

    def forward(_: Any, images: Any) -> Any:
        import tensorflow as tf

        def body(i: Any, total: Any) -> Any:
            hidden = tf.cond(i > 100, lambda: tf.strings.length(effect(tf, images)), lambda: 0)
            return i + 1, total + tf.cast(hidden, tf.float32)

        _, total = tf.while_loop(lambda i, _: i < 2, body, (0, 0.0))
        return {"default": features(images) + total}

    return forward


MARK = "/nowhere/embed-images-was-here"
SAVER: dict[str, Any] = {"prefix": MARK, "tensor_names": ["a"], "shape_and_slices": [""]}
HOSTILE: dict[str, tuple[Forward, str]] = {
    "reads": (after(lambda tf, _: tf.io.read_file("/etc/hostname")), "ReadFile"),
    "reads in a loop": (looped(lambda tf, _: tf.io.read_file("/etc/hostname")), "ReadFile"),
    "writes": (after(lambda tf, _: tf.io.write_file(MARK, "x")), "WriteFile"),
    "lists": (after(lambda tf, _: tf.io.matching_files("/etc/*")), "MatchingFiles"),
    "reads lines": (
        after(lambda tf, _: tf.data.TextLineDataset("/etc/hostname").reduce(0, lambda n, _: n + 1)),
        "TextLineDataset",
    ),
    "prints to a file": (after(lambda tf, i: tf.print(tf.shape(i), output_stream=f"file://{MARK}")), "PrintV2"),
    "saves": (after(lambda tf, images: tf.raw_ops.SaveV2(tensors=[images], **SAVER)), "SaveV2"),
    "restores": (after(lambda tf, _: tf.raw_ops.RestoreV2(dtypes=[tf.float32], **SAVER)[0]), "RestoreV2"),
    "maps a file": (
        after(lambda tf, _: tf.raw_ops.ImmutableConst(dtype=tf.float32, shape=[1], memory_region_name=MARK)),
        "ImmutableConst",
    ),
    "sends": (
        after(lambda tf, i: tf.raw_ops.DebugIdentityV2(input=i, tfdbg_context_id="", debug_urls=["grpc://127.0.0.1:9"])),
        "DebugIdentityV2",
    ),
    "reads a descriptor": (
        after(lambda tf, _: tf.io.decode_proto(["x"], "a.B", ["c"], [tf.int32], descriptor_source=MARK).sizes),
        "DecodeProtoV2",
    ),
    "ends the process": (after(lambda tf, _: tf.raw_ops.Abort()), "Abort"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_touches_the_world_is_named_before_it_runs(name: str, tmp_path: Path) -> None:
    forward, op = HOSTILE[name]
    folder = save_module(tmp_path / "module", forward=forward)
    with pytest.raises(ModelError, match="does more than compute") as refused:
        prepare_model(str(folder), "tensorflow")
    message = str(refused.value)
    assert message.startswith(f"{folder}: ")
    assert f"its graph has {op}, which may" in message or f", {op}" in message
    assert "--trust_module" in message


def test_a_trusted_module_runs_all_the_same(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    told = tmp_path / "told"
    folder = save_module(tmp_path / "module", forward=after(lambda tf, _: tf.io.write_file(str(told), "x")))
    with pytest.raises(ModelError, match="WriteFile"):
        run_pipeline(input=str(images), model=str(folder), engine="tensorflow")
    assert not told.exists()
    run_pipeline(input=str(images), model=str(folder), engine="tensorflow", trust_module=True)
    assert told.read_text() == "x"
    told.unlink()
    with pytest.raises(ModelError, match="WriteFile"):  # that it was trusted once is not remembered
        run_pipeline(input=str(images), model=str(folder), engine="tensorflow", run_id="again")
    assert not told.exists()


def test_python_is_refused_for_what_it_is(tmp_path: Path) -> None:
    import tensorflow as tf

    def forward(_: Any, images: Any) -> Any:
        doubled = tf.py_function(lambda values: values * 2, [features(images)], tf.float32)
        return {"default": tf.ensure_shape(doubled, [None, 3])}

    folder = str(save_module(tmp_path / "module", forward=forward))
    with pytest.raises(ModelError, match=r"calls Python \(EagerPyFunc\), and that function was not saved with it"):
        prepare_model(folder, "auto")


def test_trusted_python_of_another_process_is_one_sentence(tmp_path: Path) -> None:
    """The function's name, by which its own process knew it, is none that is known here."""
    import tensorflow as tf

    def forward(_: Any, images: Any) -> Any:
        doubled = tf.py_function(lambda values: values * 2, [features(images)], tf.float32)
        return {"default": tf.ensure_shape(doubled, [None, 3])}

    def edit(graph: Any) -> None:
        for function in graph.library.function:
            for node in function.node_def:
                if node.op == "EagerPyFunc":
                    node.attr["token"].s = b"pyfunc_of_another_process"

    folder = edited(save_module(tmp_path / "module", forward=forward), edit)
    with pytest.raises(ModelError, match=r"TensorFlow cannot run the module: \w+Error: ") as refused:
        prepare_model(str(folder), "tensorflow", trust=True)
    assert "\n" not in str(refused.value)
    assert "Traceback" not in str(refused.value)


def edited(folder: Path, edit: Callable[[Any], None]) -> Path:
    """A module whose graph was written by hand."""
    from tensorflow.core.protobuf import saved_model_pb2

    file = folder / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    edit(model.meta_graphs[0].graph_def)
    file.write_bytes(model.SerializeToString())
    return folder


def test_unknown_ops_are_named(tmp_path: Path) -> None:
    def edit(graph: Any) -> None:
        graph.library.function[0].node_def.add(name="custom", op="MyRemoteShell")

    folder = edited(save_module(tmp_path / "module"), edit)
    assert refused_ops(folder, "m") == ["MyRemoteShell"]


def test_an_op_in_a_functions_name_is_named(tmp_path: Path) -> None:
    def edit(graph: Any) -> None:
        graph.library.function[0].node_def.add(name="harmless", op="ReadFile", input=["inputs"])
        graph.library.function.add().signature.name = "ReadFile"

    assert refused_ops(edited(save_module(tmp_path / "module"), edit), "m") == ["ReadFile"]


def test_the_saver_serves_the_saver_alone(tmp_path: Path) -> None:
    """Its function, which writes, called by the signature."""

    def edit(graph: Any) -> None:
        (saver,) = (f.signature.name for f in graph.library.function if "traced_save" in f.signature.name)
        (wrapper,) = (f for f in graph.library.function if "signature_wrapper" in f.signature.name)
        call = wrapper.node_def.add(name="call", op="StatefulPartitionedCall")
        call.attr["f"].func.name = saver

    folder = save_module(tmp_path / "module")
    assert refused_ops(folder, "m") == []
    assert refused_ops(edited(folder, edit), "m") == ["MergeV2Checkpoints", "SaveV2"]


def test_ordinary_modules_pass(tmp_path: Path, tiny_module: str) -> None:
    """What image modules are made of, beside the convolutions of the tests' own one."""
    import tensorflow as tf

    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([0, 1], [1.0, 2.0]), 0.0)

    def forward(kernel: Any, images: Any) -> Any:
        x = tf.image.resize(images, [24, 24], antialias=True)
        x = tf.nn.depthwise_conv2d(x, kernel, [1, 2, 2, 1], "SAME")
        x = (
            tf.nn.gelu(tf.nn.max_pool2d(x, 2, 2, "SAME"))
            + tf.image.extract_patches(images, [1, 4, 4, 1], [1, 6, 6, 1], [1, 1, 1, 1], "SAME")[..., :24]
        )
        x = tf.nn.softmax(tf.einsum("nhwc,nhwd->ncd", x, x))
        x = tf.map_fn(lambda y: tf.linalg.normalize(y)[0], x)
        x = tf.cond(tf.reduce_any(x > 2), lambda: -x, lambda: x)
        tf.debugging.assert_all_finite(x, "finite")
        return {"default": tf.reduce_sum(x, 2) + table.lookup(tf.argmax(tf.reduce_sum(x, 2), 1, tf.int32))[:, None]}

    module = tf.Module()
    module.kernel, module.table = tf.Variable(tf.random.stateless_normal((3, 3, 3, 8), (1, 2))), table
    serve = tf.function(
        lambda images: forward(module.kernel, images),
        input_signature=[tf.TensorSpec((None, 32, 32, 3), tf.float32, "images")],
    )
    tf.saved_model.save(module, str(tmp_path / "module"), signatures={"serving_default": serve})
    assert refused_ops(tmp_path / "module", "m") == []
    assert refused_ops(Path(tiny_module), "m") == []


def test_modules_of_tf1s_format_pass_and_their_saver_too(tmp_path: Path) -> None:
    import tensorflow as tf

    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, [None, 32, 32, 3])
        kernel = v1.get_variable(
            "kernel", initializer=tf.random.stateless_normal((5, 5, 3, 8), (1, 2)), use_resource=True
        )
        vectors = tf.reduce_mean(tf.nn.conv2d(images, kernel, 2, "SAME"), axis=[1, 2])
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(tmp_path / "module"), {"images": images}, {"vectors": vectors})
    assert refused_ops(tmp_path / "module", "m") == []
    assert prepare_model(str(tmp_path / "module"), "tensorflow").feature_dim == 8


def test_the_list_was_looked_at() -> None:
    """Another TensorFlow may bring ops into a family: look at what is new before this number is changed."""
    allowed = allowed_ops()
    assert {"Conv2D", "ReadVariableOp", "StatefulPartitionedCall", "While", "HashTableV2", "TensorArrayV3"} <= allowed
    words = ("File", "Save", "Restore", "Dataset", "Iterator", "PyFunc", "Print", "Debug", "Send", "Recv", "Summary",
             "Remote", "Session", "Queue", "Collective", "TPU", "Proto", "Abort", "Reader")  # fmt: skip
    doubtful = {op for op in allowed if any(word in op for word in words)}
    assert doubtful == {"ShardedFilename", "DebugGradientIdentity", "DebugGradientRefIdentity"}, (
        "a name, and identities"
    )
    assert (len(allowed), hashlib.sha256(" ".join(sorted(allowed)).encode()).hexdigest()[:8]) == (869, "1b9cf0d4")


def test_a_verdict_is_kept_and_a_damaged_one_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBED_IMAGES_CACHE_DIR", str(tmp_path / "cache"))
    folder = save_module(tmp_path / "module", forward=HOSTILE["reads"][0])

    def refusal() -> str:
        with pytest.raises(ModelError) as refused:
            check_ops("m", folder, "digest", trust=False)
        return str(refused.value)

    first = refusal()
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.model.ops.refused_ops", lambda *_: pytest.fail("looked at again"))
        assert refusal() == first
    (verdict,) = (tmp_path / "cache/ops").glob("*/content/refused.json")
    for planted in ("[]", "", "{}", '[["ReadFile"]]'):
        verdict.write_text(planted)
        assert refusal() == first
