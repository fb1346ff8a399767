"""--dry_run: the stages of a run, told without doing anything."""

from __future__ import annotations

from pipeline.options.config import make_config
from pipeline.planning.stages import stages_of


def lines_of(**options: object) -> list[str]:
    return stages_of(
        make_config({"input": "gs://no/such", "output": "gs://nor/such", "model": "none", **options}, [])
    ).splitlines()


def test_one_shuffle_of_uris_lies_between_listing_and_writing() -> None:
    lines = lines_of()
    (selecting,) = (i for i, line in enumerate(lines) if "shuffle  SelectImages/GroupByUnit" in line)
    (working,) = (i for i, line in enumerate(lines) if "LoadImages" in line)
    assert lines[selecting].endswith("(varint, bytes)")  # a unit of uris and a block of their rows
    assert selecting < working
    # From the shuffle to the shards, all is one stage.
    for step in ("SelectImages", "LoadImages", "EmbedImages", "EncodeExamples", "WriteShards"):
        assert step in lines[working]
    between = [
        line for line in lines[selecting + 1 : working] if "shuffle" in line and "SelectImages/Choose/Count" not in line
    ]
    assert between == []
    # Rows are in blocks before anything is written out: the local runner would keep each as an object.
    (listing,) = (i for i, line in enumerate(lines) if "ListImages/{Spread, List}" in line)
    assert "SelectImages/{SeeListed, PackListed" in lines[listing]


def test_a_history_meets_the_listing_in_the_same_shuffle() -> None:
    shuffles = [line for line in lines_of(incremental=True) if "shuffle" in line]
    assert len([line for line in shuffles if "SelectImages/GroupByUnit" in line]) == 1
    assert len([line for line in shuffles if "SelectImages" in line and "Count" not in line]) == 1


def test_with_an_accelerator_all_from_the_shuffle_to_the_shards_is_one_stage_still() -> None:
    """Else images, or their pixels, would be written out between the workers that have one and those that have none."""
    lines = lines_of(accelerator="type:nvidia-l4;count:1", incremental=True)
    (working,) = (line for line in lines if "LoadImages" in line)
    for step in ("Choose", "EmbedImages", "EncodeExamples", "WriteShards"):
        assert step in working
    assert "PackListed" not in working
