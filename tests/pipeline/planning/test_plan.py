"""A plan beside the run that it is of: what it counts is what the run's manifest says, and it writes nothing."""

from __future__ import annotations

import json
import random
import tarfile
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ConfigError
from pipeline.options.config import make_config
from pipeline.planning.plan import Plan, make_plan
from pipeline.planning.prices import OWN, read_prices
from pipeline.planning.showing import plan_json, plan_text
from tests.conftest import Run, photo


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def plan_of(folder: Path, model: str, *beam_args: str, cores: int = 0, **options: Any) -> Plan:
    given = {"output": str(folder / "output"), "model": model, **options}
    return make_plan(make_config(given, beam_args), 64, read_prices(), cores)


@pytest.mark.whole
def test_it_counts_what_the_run_then_says(tmp_path: Path, tiny_module: str, run_pipeline: Run) -> None:
    """Nights of a corpus that changes: new, changed, broken, gone and doubled images, and files of other kinds."""
    chance = random.Random(8)
    folder = tmp_path / "in"
    for i in range(40):
        path = folder / f"{'ab'[i % 2]}/{i:02}.{'jpg' if i % 3 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(40, 30, i).save(path)
    (folder / "a/broken.jpg").write_text("no image")
    (folder / "a/notes.txt").write_text("of another kind")
    (tmp_path / "more.txt").write_text(f"{folder}/a/02.jpg\n{folder}/b/01.jpg\n")
    options: dict[str, Any] = {"input": [str(folder), str(tmp_path / "more.txt")], "incremental": True}
    for night in range(3):
        before = files(tmp_path / "output") if night else {}
        plan = plan_of(tmp_path, tiny_module, **options)
        assert files(tmp_path / "output") == before
        counts = run_pipeline(**options, run_id=f"night-{night}").manifest["counts"]
        listed = sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))
        assert plan.found.rows == len(listed) + 2
        assert plan.estimate.images == counts["embedded"] + counts["failed"]
        for name in ("unchanged", "failed_before", "outside"):
            assert plan.found.decisions.get(name, 0) == counts[name]
        assert plan.found.decisions.get("deleted", 0) == counts["deleted"]
        assert plan.found.left_out == counts["left_out"]
        jpegs = [path for path in listed if path.suffix == ".jpg"]
        by_format = plan.found.by_format
        assert sum(amount.number for amount in by_format.values()) == plan.found.rows
        assert by_format[".jpg"].number == len(jpegs) + 2
        assert by_format[".jpg"].of_unknown_size == 2  # the manifest tells none
        assert by_format[".jpg"].bytes == sum(path.stat().st_size for path in jpegs)
        assert plan.found.by_prefix[f"{folder}/a"].bytes == sum(
            path.stat().st_size for path in listed if path.parent.name == "a"
        )
        some = chance.sample([path for path in listed if path.name != "broken.jpg"], 9)
        for path in some[:3]:
            path.unlink()
        for i, path in enumerate(some[3:6]):
            photo(41, 30, 100 * night + i).save(path)
        photo(50, 30, night).save(folder / f"new-{night}.jpg")


@pytest.mark.whole
def test_what_is_not_listed_is_not_told_as_nothing(tmp_path: Path, tiny_module: str) -> None:
    photo(40, 30, 0).save(tmp_path / "a.jpg")
    (tmp_path / "names.txt").write_text("a.jpg\n")
    text = plan_text(plan_of(tmp_path, tiny_module, input=str(tmp_path / "names.txt")))
    said = dict(line.split("  ", 1) for line in text.splitlines() if "  " in line.strip())
    assert said["to be embedded"].strip() == "1, size not listed"
    assert said["output"].endswith(" in 1 shard")


@pytest.mark.whole
def test_images_in_containers_are_reckoned_from_their_size(tmp_path: Path, tiny_module: str, run_pipeline: Run) -> None:
    for number in range(3):
        with tarfile.open(tmp_path / f"{number}.tar", "w") as archive:
            for i in range(30):
                picture = tmp_path / "picture.jpg"
                photo(200, 150, i).save(picture)
                archive.add(picture, f"{i}.jpg")
    options: dict[str, Any] = {"input": f"{tmp_path}/*.tar", "incremental": True}
    plan = plan_of(tmp_path, tiny_module, **options)
    assert plan.found.containers.number == 3
    assert plan.measured is not None
    assert plan.measured.images == 90
    assert plan.estimate.images == 90
    assert "they are not opened for a plan" in plan_text(plan)
    run_pipeline(**options)
    again = plan_of(tmp_path, tiny_module, **options)
    assert (again.found.containers.number, again.found.unchanged_containers) == (0, 3)
    assert again.estimate.images == 0
    assert again.measured is None


@pytest.mark.whole
def test_of_dataflow_it_knows_machines_and_money(tmp_path: Path, images: Path, tiny_module: str) -> None:
    dataflow = ("--runner=DataflowRunner", "--max_num_workers=10", "--machine_type=n2-standard-4", "--disk_size_gb=50")
    plan = plan_of(tmp_path, tiny_module, *dataflow, input=str(images))
    expected, prices = plan.estimate, plan.prices.dataflow
    assert expected.workers is not None
    assert (expected.workers.number, expected.workers.cores) == (10, 40)
    assert plan.measured is not None
    embed = plan.measured.first_seconds + 12 * plan.measured.image_seconds * plan.cores / (40 * prices.core_speed)
    assert expected.seconds["embed"] == pytest.approx(embed)
    hours = 10 * (expected.seconds["list"] + embed + expected.seconds["publish"]) / 3600
    assert expected.cost["workers"] == pytest.approx(hours * (4 * prices.vcpu_hour + 16 * prices.memory_gb_hour))
    assert expected.cost["disks"] == pytest.approx(hours * 50 * prices.disk_gb_hour)
    told = json.loads(plan_json(plan))
    assert told["estimate"]["images"] == 12
    assert told["found"]["by_format"][".jpg"]["number"] == 12
    assert "10 n2-standard-4, 40 cores" in plan_text(plan)
    assert not (tmp_path / "output").exists()

    flink = plan_of(tmp_path, tiny_module, "--runner=FlinkRunner", input=str(images))
    assert flink.estimate.workers is None
    assert "give --cores" in plan_text(flink)
    more = plan_of(tmp_path, tiny_module, "--runner=FlinkRunner", input=str(images), cores=64)
    assert more.estimate.workers is not None
    assert more.estimate.workers.cores == 64


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("vcpu_hour: 0.056", "vcpu_hour: -1"), "dataflow.vcpu_hour"),
        (lambda text: text.replace("currency: USD", "money: USD"), "currency"),
        (lambda text: "[1, 2", "does not parse"),
        (lambda text: "5", "a file of the form of"),
    ],
)
def test_prices_are_checked(change: Any, said: str, tmp_path: Path) -> None:
    own = tmp_path / "prices.yaml"
    own.write_text(change(OWN.read_text()))
    with pytest.raises(ConfigError, match=said):
        read_prices(str(own))
    with pytest.raises(ConfigError, match="a YAML file that can be read"):
        read_prices(str(tmp_path / "none.yaml"))
    with pytest.raises(ConfigError, match=r"one of .*n2-standard-4"):
        read_prices().machine("z9-mega-1024")
