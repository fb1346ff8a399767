"""What lies in an output is input, not truth: crafted and broken files move, publish and block nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import OutputError, RunError
from pipeline.options.config import make_config
from pipeline.outputs.latest import latest
from pipeline.outputs.verify import verify_output
from pipeline.runs.run import run
from pipeline.runs.running import RunReport
from tests.conftest import Run, photo
from tests.full_disk import full_after
from tests.reading import run_vectors
from transforms.records.spool import STAGED_FILE
from transforms.records.tfrecord import frame

HEX = "0123456789abcdef" * 2
SHARD = 512  # bytes: a few records


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / f"features-{HEX}"
    path.parent.mkdir()
    path.write_bytes(b"a file of somebody else")
    return path


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, tiny_module: str) -> tuple[Path, Run]:
    """A folder with sixty images and an output where a run "r" has failed after four shards; and what runs it again."""
    root = tmp_path_factory.mktemp("killed")
    (root / "many").mkdir()
    for i in range(60):
        photo(40, 30, i).save(root / "many" / f"{i:02}.jpg")
    given = {"input": str(root / "many"), "output": str(root / "output"), "model": tiny_module, "run_id": "r"}

    def again() -> RunReport:
        report = run(make_config(given | {"shard_size": SHARD}, []))
        assert report is not None
        return report

    with full_after(8), pytest.raises(RunError, match="No space left on device"):
        again()
    shutil.copytree(root / "output", root / "as it was")
    return root, again


@pytest.fixture
def staged(killed: tuple[Path, Run]) -> Path:
    """The staging folder of the attempt that failed, as it was left."""
    root, _ = killed
    shutil.rmtree(root / "output")
    shutil.copytree(root / "as it was", root / "output")
    (folder,) = (path for path in (root / "output/.staging/r").iterdir() if path.is_dir())
    return folder


def rewrite(ledger: Path, change: Callable[[dict[str, Any]], None], rows: Callable[[pa.Table], pa.Table]) -> None:
    """Writes a staged ledger anew, with other rows and another note of its shard."""
    table = pq.read_table(ledger)
    note = json.loads(pq.read_metadata(ledger).metadata[STAGED_FILE.encode()])
    change(note)
    table = rows(table).replace_schema_metadata({STAGED_FILE: json.dumps(note)})
    pq.write_table(table, ledger)


def same(table: pa.Table) -> pa.Table:
    return table


@pytest.mark.parametrize(
    ("moves", "message"),
    [
        ({"features-00000-of-00001.tfrecord": "{victim}"}, "came from '.*elsewhere/features-.*', where no run stages"),
        ({"features-00000-of-00001.tfrecord": "{output}/.staging/r/../../../elsewhere/features-" + HEX}, "came from"),
        ({"features-00000-of-00001.tfrecord": "{output}/.staging/r/" + HEX + "/dead_letters-" + HEX}, "came from"),
        ({"../../../elsewhere/x": "{output}/.staging/r/" + HEX + "/features-" + HEX}, "not what runs write there"),
        (["features-00000-of-00001.tfrecord"], "not what runs write there: moves"),
    ],
)
def test_a_crafted_claim_moves_nothing(
    moves: Any, message: str, images: Path, run_pipeline: Run, tmp_path: Path, victim: Path
) -> None:
    folder = tmp_path / "output/runs/r"
    folder.mkdir(parents=True)
    if isinstance(moves, dict):
        moves = {name: staged.format(victim=victim, output=tmp_path / "output") for name, staged in moves.items()}
    (folder / "run.json").write_text(json.dumps({"attempt": HEX, "moves": moves}))
    (folder / "features-00000-of-00001.tfrecord").write_bytes(b"crafted")
    with pytest.raises(RunError, match=f"{message}|which no run has written"):
        run_pipeline(input=str(images), run_id="r")
    assert victim.read_bytes() == b"a file of somebody else"
    assert sorted(path.name for path in victim.parent.iterdir()) == [victim.name]
    assert (folder / "features-00000-of-00001.tfrecord").read_bytes() == b"crafted"


def test_a_crafted_staged_ledger_moves_no_foreign_file(staged: Path, killed: tuple[Path, Run], victim: Path) -> None:
    """Its note once named the file that was moved; it is the one beside the ledger now, whatever the note says."""
    ledger = sorted(staged.glob("features-*.ledger"))[0]
    rewrite(ledger, lambda note: note.update(uri=str(victim), ledger_uri=str(victim) + ".ledger"), same)
    root, again = killed
    again()
    assert victim.read_bytes() == b"a file of somebody else"
    assert verify_output(str(root / "output")).holds


def add_foreign_row(table: pa.Table) -> pa.Table:
    row = table.slice(0, 1).to_pylist()[0] | {"uri": "/never/listed.jpg", "row": table.num_rows}
    return pa.concat_tables([table, pa.Table.from_pylist([row], table.schema)])


def rename_first_row(table: pa.Table) -> pa.Table:
    rows = table.to_pylist()
    rows[0]["uri"] = "/never/listed.jpg"
    return pa.Table.from_pylist(rows, table.schema)


def damage(shard: Path) -> None:
    data = bytearray(shard.read_bytes())
    data[-20] ^= 1
    shard.write_bytes(data)


def forge(shard: Path) -> None:
    """Another record, with a checksum that holds, and a ledger that has its row and tells its size and checksum."""
    shard.write_bytes(shard.read_bytes() + frame(b""))
    seal = {"bytes": shard.stat().st_size, "crc32c": google_crc32c.Checksum(shard.read_bytes()).digest().hex()}
    rewrite(shard.with_suffix(".ledger"), lambda note: note.update(seal, records=note["records"] + 1), add_foreign_row)


@pytest.mark.parametrize(
    "attack",
    [
        damage,
        forge,
        lambda shard: shard.unlink(),
        lambda shard: shard.write_bytes(b""),
        lambda shard: rewrite(shard.with_suffix(".ledger"), lambda note: note.clear(), same),
        lambda shard: rewrite(shard.with_suffix(".ledger"), lambda note: note.update(records="many"), same),
        lambda shard: rewrite(shard.with_suffix(".ledger"), lambda note: note.update(records=10**6), same),
        lambda shard: rewrite(shard.with_suffix(".ledger"), lambda note: None, add_foreign_row),
        lambda shard: rewrite(shard.with_suffix(".ledger"), lambda note: None, rename_first_row),
        lambda shard: rewrite(shard.with_suffix(".ledger"), lambda note: None, lambda table: table.drop(["size"])),
        lambda shard: shard.with_suffix(".ledger").write_bytes(b"junk"),
    ],
)  # fmt: skip
def test_a_staged_shard_that_is_not_what_its_ledger_says_is_embedded_anew(
    attack: Callable[[Path], object], staged: Path, killed: tuple[Path, Run]
) -> None:
    root, again = killed
    shards = sorted(path for path in staged.glob("features-*") if not path.suffix)
    attack(shards[1])
    report = again()
    assert report.manifest["counts"]["embedded"] == report.manifest["counts"]["listed"] == 60
    assert verify_output(str(root / "output")).holds
    assert sorted(Path(uri).name for uri in run_vectors(report.folder)[0]) == [f"{i:02}.jpg" for i in range(60)]


def test_a_shard_with_an_image_that_is_listed_no_more_is_embedded_anew(staged: Path, killed: tuple[Path, Run]) -> None:
    root, again = killed
    gone = Path(pq.read_table(sorted(staged.glob("features-*.ledger"))[0])["uri"].to_pylist()[0])
    image = gone.read_bytes()
    gone.unlink()
    report = again()
    gone.write_bytes(image)
    assert report.manifest["counts"]["embedded"] == report.manifest["counts"]["listed"] == 59
    assert str(gone) not in run_vectors(report.folder)[0]
    assert verify_output(str(root / "output")).holds


def test_a_ledger_that_names_shards_elsewhere_is_refused(
    images: Path, run_pipeline: Run, tmp_path: Path, victim: Path
) -> None:
    report = run_pipeline(input=str(images), run_id="r")
    ledger = Path(report.folder, "ledger-00000-of-00001.parquet")
    table = pq.read_table(ledger)
    shards = pa.array([f"../../../elsewhere/{victim.name}"] * len(table))
    pq.write_table(table.set_column(table.schema.get_field_index("shard"), table.schema.field("shard"), shards), ledger)
    with pytest.raises(OutputError, match=r"ledger-00000-of-00001.parquet: it names a shard '\.\./"):
        latest(str(tmp_path / "output"))
