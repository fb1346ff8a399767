"""The options of a run: names, checks, defaults and what they mean; of the command line and run configs alike."""

from __future__ import annotations

from pipeline.options.option import Option
from pipeline.options.values import (
    accelerator,
    byte_size,
    column_names,
    exclusion,
    folder_uri,
    fraction,
    image_size,
    non_empty_text,
    one_of,
    options_of_store,
    point_in_time,
    run_name,
    share,
    uri,
    whole_number,
    yes_or_no,
)
from transforms.engines import BATCH_SIZE, PRECISIONS
from transforms.images import RESIZE_MODES
from transforms.records.layout import EXTENSIONS

SEED_HANDLE = "https://tfhub.dev/google/imagenet/mobilenet_v2_130_224/feature_vector/4"
PIPELINE_OPTIONS = "pipeline_options"  # the key of run configs for Beam's own options


WHAT = (
    Option(
        "input",
        uri,
        (),
        "what to embed: a glob (** goes through folders), a folder, a manifest (.txt, .csv, .tsv, .jsonl, .parquet), a "
        "container of images (.tar, .tar.gz, .tfrecord, .parquet, .zip), or a bucket's inventory (the manifest.json of "
        "Amazon S3 Inventory, or of Storage Insights)",
        "URI",
        repeatable=True,
    ),
    Option("all_files", yes_or_no, False, "take files of folders whatever their extension", switch=True),
    Option(
        "skip_unreadable",
        yes_or_no,
        False,
        "leave out subfolders that may not be listed, instead of refusing the input",
        switch=True,
    ),
    Option("uri_column", non_empty_text, "uri", "column of .csv, .tsv, .jsonl and .parquet manifests", "NAME"),
    Option(
        "version_column",
        non_empty_text,
        None,
        "column of manifests with the images' versions: generations of gs://, ETags elsewhere; an incremental run then "
        "knows what is unchanged",
        "NAME",
    ),
    Option("size_column", non_empty_text, None, "with their sizes in bytes, which count where a version is", "NAME"),
    Option("updated_column", non_empty_text, None, "with the times of their last change, for --since", "NAME"),
    Option("md5_column", non_empty_text, None, "with the MD5s of their contents, for --dedup listing", "NAME"),
    Option(
        "columns",
        column_names,
        (),
        "columns of manifests and containers that go into the records, such as label,caption; NAME=FEATURE names the "
        "feature, :int64, :float, :text or :bytes its kind; * takes all of them; the name of the uris' column carries "
        "the manifest's own text of where an image is, as image/source",
        "NAMES",
        repeatable=True,
    ),
    Option(
        "label_from",
        one_of("folder"),
        None,
        "folder: the name of the folder that an image is in goes into its record, as image/class/text",
        "folder",
    ),
    Option(
        "image_column",
        non_empty_text,
        None,
        "column of .parquet containers, or feature of .tfrecord ones, that holds the images, where it is not the usual "
        "one (image/encoded of .tfrecord)",
        "NAME",
    ),
    Option(
        "allow_local",
        yes_or_no,
        False,
        "let manifests of stores and web servers name files of the workers' own disks",
        switch=True,
    ),
    Option(
        "strip_query",
        yes_or_no,
        False,
        "call images behind web servers by their URLs without queries, such as signatures, in all that is written",
        switch=True,
    ),
    Option(
        "exclude",
        exclusion,
        (),
        "leave out images by a pattern: without a slash of any folder's or file's name, with one of the whole uri",
        "GLOB",
        repeatable=True,
    ),
    Option("sample", share, 1.0, "embed this share of the images, the same ones in every run", "FRACTION"),
    Option("since", point_in_time, None, "embed only images updated at or after this time, such as 2026-01-31", "TIME"),
    Option("until", point_in_time, None, "embed only images updated before this time", "TIME"),
    Option("limit", whole_number(0, 1_000_000), 0, "embed at most so many images; 0: all", "N"),
)
WHERE = (
    Option("output", folder_uri, None, "folder of the runs; local or gs://…, s3://…", "URI"),
    Option(
        "run_id",
        run_name,
        None,
        "name of the run; when not given, the time of the start, UTC, or that of an unfinished run of the same options",
        "ID",
    ),
    Option(
        "storage_options",
        options_of_store,
        {},
        "of a store, as its fsspec filesystem takes them: gs.project=p, s3.anon=true, s3.endpoint_url=http://…",
        "SCHEME.KEY=VALUE",
        repeatable=True,
        flag="storage_option",
    ),
)
MODEL = (
    Option(
        "model",
        non_empty_text,
        SEED_HANDLE,
        "feature module: a hub URL, a SavedModel folder or .tar.gz, or builtin:mobilenet_v2_130_224 (untrained)",
        "HANDLE",
    ),
    Option("signature", non_empty_text, None, "of the module, where its names do not tell which one to take", "NAME"),
    Option("output_name", non_empty_text, None, "of the signature, where its names do not tell which one", "NAME"),
    Option(
        "trust_module",
        yes_or_no,
        False,
        "run the module even if its graph can read or write files, use the network or run other code",
        switch=True,
    ),
    Option(
        "engine",
        one_of("auto", *PRECISIONS),
        "auto",
        "what runs the module; auto: on GPUs tensorflow, for bf16 openvino, else litert if it reproduces the module",
        "|".join(("auto", *PRECISIONS)),
    ),
    Option(
        "precision",
        one_of("f32", "bf16", "int8"),
        "f32",
        "of the computation; bf16 (openvino, tensorflow) and int8 (litert) are faster, and give similar vectors",
        "f32|bf16|int8",
    ),
    Option(
        "min_parity",
        fraction,
        0.95,
        "least mean cosine of bf16 or int8 vectors to the module's, on a sample of the images",
        "0..1",
    ),
    Option(
        "batch_size",
        whole_number(1, 1024),
        BATCH_SIZE,
        "images given to the engine at once",
        "N",
    ),
)
IMAGES = (
    Option(
        "resize",
        one_of(*RESIZE_MODES),
        "squash",
        "squash: whole image, aspect ignored; slim_eval: central 0.875 first; fit_crop: central part of equal aspect; "
        "_simd: the same by a faster filter, within 1 of 255 (extra [simd])",
        "|".join(RESIZE_MODES),
    ),
    Option("input_size", image_size, None, "of the module's images, where its signature leaves it open", "HxW"),
)
SHARDS = (
    Option("shard_size", byte_size, 256 << 20, "bytes at which a shard of records is full", "SIZE"),
    Option(
        "shard_seconds",
        whole_number(0, 86_400),
        120,
        "seconds after which a shard is finished, full or not: what a worker loses when it is killed; 0 for never",
        "N",
    ),
    Option("compression", one_of(*EXTENSIONS), "none", "of the shards", "|".join(EXTENSIONS)),
)
INCREMENTAL = (
    Option("incremental", yes_or_no, False, "embed only what no published run of the output holds", switch=True),
    Option(
        "retry_dead_letters",
        yes_or_no,
        False,
        "with --incremental: also images that could not be decoded",
        switch=True,
    ),
    Option(
        "dedup",
        one_of("none", "listing"),
        "none",
        "listing: objects that a store lists with the same MD5 and size are embedded once and recorded each",
        "none|listing",
    ),
    Option(
        "new_model",
        yes_or_no,
        False,
        "start a new generation where the output has vectors that cannot be compared with this model's",
        switch=True,
    ),
)
LIMITS = (
    Option("max_failure_rate", fraction, 0.5, "share of failed images above which nothing is published", "0..1"),
    Option("max_image_pixels", whole_number(1, 1 << 31), 100_000_000, "larger images are refused undecoded", "N"),
    Option("max_object_bytes", byte_size, 128 << 20, "larger objects are refused unread", "SIZE"),
    Option("fetch_concurrency", whole_number(1, 256), 64, "objects fetched at once by one worker", "N"),
    Option("prefetch_bytes", byte_size, 256 << 20, "encoded bytes that a worker holds at once", "SIZE"),
    Option("fetch_retries", whole_number(0, 100), 6, "tries of one object after the first, for transient errors", "N"),
    Option(
        "threads",
        whole_number(0, 1024),
        0,
        "cores that a worker process uses: threads of the engine, and of decoding; 0: all",
        "N",
    ),
)
BEAM = (
    Option(
        "accelerator",
        accelerator,
        "",
        "of the workers that embed, and of them alone, as Beam's resource hint has it: type:NAME;count:N;…",
        "HINT",
    ),
    Option(
        "no_wait",
        yes_or_no,
        False,
        "end when the job is submitted to a cluster, which publishes the run",
        switch=True,
    ),
)
SHOWN = (
    Option(
        "progress",
        one_of("none", "plain", "rich", "json"),
        None,
        "rich: a display on a terminal, the default there; plain: a line every 10 s, the default elsewhere; json: such "
        "lines as JSON",
        "none|plain|rich|json",
    ),
    Option(
        "log_format",
        one_of("text", "json"),
        "text",
        "json: every line one object, for Cloud Logging, Loki and their kin, figures of the run at the end",
        "text|json",
    ),
    Option("verbose", yes_or_no, False, "show what TensorFlow and Beam have to say", switch=True),
)
GROUPS = {
    "what is embedded": WHAT,
    "where it goes": WHERE,
    "the model": MODEL,
    "its images": IMAGES,
    "shards": SHARDS,
    "incremental runs": INCREMENTAL,
    "limits": LIMITS,
    "Beam": BEAM,
    "what is shown": SHOWN,
}
OPTIONS = tuple(option for group in GROUPS.values() for option in group)
BY_NAME = {option.name: option for option in OPTIONS}
# The names of options by what stands for them on a command line, or is taken for that.
OWN_FLAGS = {**{name: name for name in BY_NAME}, **{option.flag: option.name for option in OPTIONS if option.flag}}
REQUIRED = ("input", "output")
