"""The page of a report: its figures, parsed back, held against NumPy; what others have named; what it does not load."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.outputs.history import published_runs
from pipeline.report import report as story
from pipeline.report.pace import read_pace
from pipeline.report.page import as_page
from pipeline.report.report import make_report
from pipeline.report.sections import pace_section
from tests.conftest import Run
from tests.pipeline.report.made import publish
from tests.pipeline.report.reading import Page
from tests.reading import newest_records, records
from transforms.elements import DeadLetter, ImageObject
from transforms.stores import secrets


def page_of(output: Path, **options: Any) -> Page:
    return Page(as_page(make_report(str(output), **{"projection": "pca", **options})))


@pytest.fixture(scope="module")
def page(two_nights: Path) -> Page:
    return page_of(two_nights / "output")


@pytest.fixture(scope="module")
def newest(two_nights: Path) -> dict[str, dict[str, list[Any]]]:
    """By name, as TensorFlow reads them."""
    return newest_records(two_nights / "output")


def vectors_of(found: dict[str, dict[str, list[Any]]], names: list[str]) -> np.ndarray:
    return np.array([found[name]["image/embedding"] for name in names], np.float64)


def names_of(page: Page) -> list[str]:
    return [uri.lstrip("/") for uri in page.data["map-data"]["uris"]]


def test_counts_are_those_of_the_run(page: Page, two_nights: Path) -> None:
    manifest = json.loads((two_nights / "output/runs/night-2/run.json").read_text())
    found = page.data["figures"]["outcomes"]
    assert page.data["figures"]["run_id"] == "night-2"
    assert found["listed"] == manifest["counts"]["listed"] == 12
    assert found["parts"] == {"embedded": 3, "failed": 0, "unchanged": 9}
    assert found["besides"] == {"columns_changed": 1, "deleted": 1}
    sizes = [(two_nights / f"images/{name}.jpg").stat().st_size for name in ("12", "03", "05")]
    assert sum(found["bytes"]["counts"]) == len(sizes)
    assert found["bytes"]["counts"][0] == sum(size < 10_000 for size in sizes)
    assert "12 images listed: 3 embedded, 0 failed" in page.text


def test_the_geometry_is_that_of_the_newest_vectors(page: Page, newest: dict[str, Any]) -> None:
    found, names = page.data["figures"]["vectors"], names_of(page)
    assert sorted(names) == sorted(newest)
    vectors = vectors_of(newest, names)
    norms = np.linalg.norm(vectors, axis=1)
    geometry = found["geometry"]
    assert geometry["mean_norm"] == pytest.approx(norms.mean(), rel=1e-6)
    assert [geometry[f"norm_{q}"] for q in (5, 50, 95)] == pytest.approx(np.percentile(norms, (5, 50, 95)), rel=1e-6)
    assert geometry["dead_dimensions"] == (vectors.std(axis=0) == 0).sum()
    singular = np.linalg.svd(vectors - vectors.mean(axis=0), compute_uv=False)
    shares = singular / singular.sum()
    assert geometry["effective_rank"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-5)
    assert found["shares"] == pytest.approx(singular**2 / (singular**2).sum(), rel=1e-5)
    assert sum(found["looked"]["norms"]["counts"]) == len(names)
    assert (found["looked"]["there"], found["looked"]["images"]) == (12, 12)


def test_formats_and_sizes_are_those_of_the_images(page: Page, two_nights: Path) -> None:
    looked = page.data["figures"]["vectors"]["looked"]
    sizes = [Image.open(io.BytesIO(path.read_bytes())).size for path in (two_nights / "images").glob("*.jpg")]
    assert (looked["formats"]["labels"], looked["formats"]["counts"]) == (["JPEG"], [len(sizes)])
    ratios = np.array([width / height for width, height in sizes])
    counts = dict(zip(looked["aspects"]["labels"], looked["aspects"]["counts"], strict=True))
    assert counts["square, 0.9 to 1.1"] == ((ratios >= 0.9) & (ratios < 10 / 9)).sum()
    assert counts["1.4 to 1.65"] == ((ratios >= 1.4) & (ratios < 1.65)).sum()
    assert sum(counts.values()) == len(sizes)
    assert looked["megapixels"]["counts"][0] == len(sizes)


def test_the_map_has_the_principal_components_and_the_nearest(page: Page, newest: dict[str, Any]) -> None:
    found, vectors = page.data["map-data"], vectors_of(newest, names_of(page))
    centered = vectors - vectors.mean(axis=0)
    left, singular, _ = np.linalg.svd(centered, full_matrices=False)
    wanted = (left * singular)[:, :2]
    drawn = np.stack([found["x"], found["y"]], axis=1)
    span = (wanted.max(axis=0) - wanted.min(axis=0)).max()
    distances = np.linalg.norm(wanted[:, None] - wanted, axis=2) / span * 9999
    np.testing.assert_allclose(np.linalg.norm((drawn[:, None] - drawn).astype(float), axis=2), distances, atol=2)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T - 2 * np.eye(len(unit))
    for row, (nearest, told) in enumerate(zip(found["nearest"], found["cosines"], strict=True)):
        assert len(nearest) == 5
        assert row not in nearest
        largest = np.sort(cosines[row])[::-1][:5]
        np.testing.assert_allclose(cosines[row][nearest], largest, atol=1e-6)
        np.testing.assert_allclose(np.array(told) / 1000, largest, atol=6e-4)


def test_colors_are_the_columns(page: Page, newest: dict[str, Any]) -> None:
    by_name = {each["name"]: each for each in page.data["map-data"]["colorings"]}
    label = by_name["image/class/label"]
    shown = [label["names"][code] for code in label["codes"]]
    assert shown == [str(newest[name]["image/class/label"][0]) for name in names_of(page)]
    width = by_name["image/width"]
    assert width["ordered"]
    for name, code in zip(names_of(page), width["codes"], strict=True):
        low, high = map(float, width["names"][code].split(" to "))
        assert low <= newest[name]["image/width"][0] <= high


def test_neighbours_and_groups_are_those_of_the_cosines(page: Page, newest: dict[str, Any], two_nights: Path) -> None:
    names = names_of(page)
    vectors = vectors_of(newest, names)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    found = page.data["figures"]["vectors"]
    near = (cosines >= 0.97) & ~np.eye(len(names), dtype=bool)
    assert found["groups"]["images"] == near.any(axis=1).sum()
    assert found["geometry"]["near_duplicates"] == pytest.approx(near.any(axis=1).mean())
    assert len(found["neighbours"]) == 6
    assert len({each["uri"] for each in found["neighbours"]}) == 6
    for each in found["neighbours"]:
        row = names.index(Path(each["uri"]).name)
        order = [names[other] for other in np.argsort(-cosines[row]) if other != row][:6]
        assert [Path(other["uri"]).name for other in each["nearest"]] == order
    asked = str(two_nights / "images/07.jpg")
    (only,) = page_of(two_nights / "output", uris=[asked]).data["figures"]["vectors"]["neighbours"]
    assert only["uri"] == asked


def test_pictures_are_the_images(page: Page, two_nights: Path) -> None:
    pictures, about = page.data["picture-data"], page.data["map-data"]["pictures"]
    assert len(pictures) == 12
    for row, name in enumerate(names_of(page)):
        small = Image.open(io.BytesIO(base64.b64decode(pictures[str(row)])))
        assert (small.width, small.height, "") == tuple(about[str(row)])
        whole = Image.open(io.BytesIO((two_nights / "images" / name).read_bytes())).convert("RGB")
        assert max(small.size) == 96
        difference = np.asarray(whole.resize(small.size), np.int16) - np.asarray(small.convert("RGB"), np.int16)
        assert np.abs(difference).mean() < 12
    shown = [each["alt"] for each in page.all("img")]
    assert {each["uri"] for each in page.data["figures"]["vectors"]["neighbours"]} <= set(shown)


def test_one_run_is_looked_at_by_itself(two_nights: Path) -> None:
    page = page_of(two_nights / "output", run_id="night-1")
    found = page.data["figures"]
    assert (found["run_id"], found["outcomes"]["listed"]) == ("night-1", 12)
    assert found["drift"]["sentences"] == ["Not compared: there is no run before this one that has vectors."]
    assert sorted(names_of(page)) == sorted(records(two_nights / "output", "night-1"))
    about = dict(zip(names_of(page), [page.data["map-data"]["pictures"][str(i)] for i in range(12)], strict=True))
    assert about["03.jpg"][2] == "it has changed since it was embedded"
    assert about["04.jpg"][2] == "the object is gone, or was never there"


def test_a_sample_is_one_and_says_so(two_nights: Path) -> None:
    page = page_of(two_nights / "output", sample=7, pictures=3)
    looked = page.data["figures"]["vectors"]["looked"]
    assert (looked["images"], looked["there"], len(page.data["map-data"]["uris"])) == (7, 12, 7)
    assert page.text.count("7 of 12, a random sample: all that is told of vectors is of these") == 2
    assert len(page.data["picture-data"]) == 3
    assert "3 have pictures here." in page.text
    assert "no picture: no picture of it on this page" in page.text
    assert story.SAMPLE == 20_000


def test_the_page_loads_nothing_and_runs_one_script(two_nights: Path) -> None:
    text = as_page(make_report(str(two_nights / "output"), projection="pca"))
    page = Page(text)
    (policy,) = [each["content"] for each in page.all("meta") if each.get("http-equiv")]
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert f"script-src 'sha256-{digest}';" in policy
    links = {value for _, each in page.elements for name, value in each.items() if name in ("src", "href", "srcset")}
    assert all(link and link.startswith(("data:image/jpeg;base64,", "#")) for link in links)
    assert not any(name.startswith("on") for _, each in page.elements for name in each)
    assert "@import" not in text
    assert re.findall(r"url\((?!#)", text) == []
    assert "eval(" not in text
    assert "innerHTML" not in text
    ids = [each["id"] for _, each in page.elements if each.get("id") and each["id"][0] != "p"]
    named = {each.get("id") for _, each in page.elements}
    assert {link[1:] for link in links if link and link[0] == "#"} <= named
    assert len(ids) == len(set(ids))


HOSTILE = "</script><script>alert(1)</script>&\"'<b>\u202egpj\x1b[31m"


def test_what_others_have_named_is_text(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    (images / "<").mkdir()  # so that the paths of what is in it hold ends of elements
    shutil.copy(images / "00.jpg", images / "</script><img src=x onerror=alert(1)>\u202e\x1b.jpg")
    (images / "</style>.jpg").write_text("<!-- no image")
    names = sorted(str(path.relative_to(tmp_path)) for path in images.rglob("*.jpg"))
    rows = [{"uri": name, "what": HOSTILE if i else None} for i, name in enumerate(names)]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run_pipeline(input=str(tmp_path / "m.jsonl"), columns="what")
    text = as_page(make_report(str(tmp_path / "output"), projection="pca"))
    page = Page(text)
    tags = {tag for tag, _ in page.elements}
    assert len(page.all("script")) == 4
    assert "b" not in tags
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert any(HOSTILE[:9] in name for each in page.data["map-data"]["colorings"] for name in each["names"])
    assert "</style>.jpg" in page.text
    assert any(
        uri.endswith("</script><img src=x onerror=alert(1)>\\u202e\\x1b.jpg") for uri in page.data["map-data"]["uris"]
    )
    assert not any("onerror" in each for _, each in page.elements)


def test_secrets_stay_out_and_what_an_older_run_does_not_tell_is_said(two_nights: Path, tmp_path: Path) -> None:
    shutil.copytree(two_nights / "output", tmp_path / "output")
    path = tmp_path / "output/runs/night-2/run.json"
    manifest = json.loads(path.read_text())
    assert manifest["phases"].keys() == {"launch", "images", "publish"}
    for name in ("phases", "launched", "versions"):
        del manifest[name]
    manifest["beam"] = ["of another shape"]
    manifest["counts"]["left_out"] = {".txt": "many"}
    secrets.remember("hunter2hunter2")
    manifest["model"]["handle"] = "https://user:pw-of-mine@hub.example/m?token=abcdef123456"
    manifest["preprocessing"]["note"] = "hunter2hunter2"
    path.write_text(json.dumps(manifest))
    text = as_page(make_report(str(tmp_path / "output"), projection="pca", pictures=0))
    for secret in ("hunter2", "pw-of-mine", "abcdef123456"):
        assert secret not in text
    told = Page(text).text
    assert "Files that were left out were not counted by the version that made this run." in told
    assert "Where the time went is not in its manifest" in told
    assert told.count("not told") == 2


def test_a_run_without_vectors_has_a_page(tmp_path: Path) -> None:
    letters = [DeadLetter(ImageObject(f"/{i}.jpg", 5, "1"), "decode", "NotAnImage", "no image") for i in range(5)]
    publish(tmp_path, 1, [], np.zeros((0, 4), np.float32), dead=letters)
    page = page_of(tmp_path)
    assert page.data["figures"]["vectors"] is None
    (failure,) = page.data["figures"]["outcomes"]["failures"]
    assert (failure["error"], failure["images"], len(failure["examples"])) == ("NotAnImage", 5, 3)
    assert failure["examples"][0] == {"uri": "/0.jpg", "stage": "decode", "message": "no image"}
    assert "NotAnImage: 5 images" in page.text
    assert "There is none without vectors." in page.text


def test_time_is_drawn_where_a_run_tells_it(tmp_path: Path) -> None:
    publish(tmp_path, 1, [f"/{i}.jpg" for i in range(9)], np.eye(9, dtype=np.float32))
    path = tmp_path / "runs/night-1/run.json"
    manifest = json.loads(path.read_text())
    (shard,) = manifest["shards"]
    manifest["shards"] = [{**shard, "records": n, "finished": f"2026-01-01T00:{n}:00Z"} for n in range(10, 14)]
    manifest["phases"] = {"launch": 9.5, "images": 800.25, "publish": 2.0}
    manifest["finished"] = "2026-01-01T00:13:32Z"
    path.write_text(json.dumps(manifest))
    (run,) = published_runs(str(tmp_path), all_of_them=True)
    page = Page(pace_section(read_pace(run.manifest)))
    assert "Images in finished files over time" in page.text
    assert "\n60010\n66021\n72033\n78046\n" in page.text  # after 600 s 10 images, after 660 s 21
    assert "800.2" in page.text  # of 800.25, four digits
    assert "images/s0.01, while images were embedded" in page.text


def test_one_vector_has_a_page(tmp_path: Path) -> None:
    publish(tmp_path, 1, ["/gone/1.jpg"], np.ones((1, 4), np.float32))
    page = page_of(tmp_path)
    assert page.data["map-data"]["nearest"] == [[]]
    assert page.data["figures"]["vectors"]["neighbours"] == [{"uri": "/gone/1.jpg", "nearest": []}]
    assert page.data["picture-data"] == {"0": ""}
    assert "no picture: the object is gone, or was never there" in page.text
