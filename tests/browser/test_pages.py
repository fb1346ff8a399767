"""The pages of reports and of searches as Chromium shows them: what they do, and whether everyone can use them."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

from tests.browser.conftest import DESK, PHONE, Opened, needed

pytestmark = pytest.mark.browser
SERIOUS = {"serious", "critical"}


def faults_of(page: Page) -> list[tuple[str, str]]:
    """What axe-core holds against a page: rule, and the first element."""
    page.evaluate(Path(needed("AXE")).read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert found["testEngine"]["name"] == "axe-core"
    return [(each["id"], each["nodes"][0]["html"]) for each in found["violations"] if each["impact"] in SERIOUS]


def drawn(page: Page) -> np.ndarray:
    """The map's pixels: uint8 [H, W, 4]."""
    url = page.evaluate("document.getElementById('canvas').toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGBA"))


def map_data(page: Page) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(page.locator("#map-data").text_content() or "")
    return data


def place_of(page: Page, row: int) -> tuple[float, float]:
    """Where an image lies on the canvas of a map that was not zoomed, by the page's data alone."""
    data, box = map_data(page), page.locator("#canvas").bounding_box()
    assert box is not None
    scale = (min(box["width"], box["height"]) - 32) / 9999
    x, y = (data[axis][row] - 9999 / 2 for axis in ("x", "y"))
    return box["width"] / 2 + x * scale, box["height"] / 2 + y * scale


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("name", ["report_page", "search_page"])
def test_everyone_can_use_it(
    name: str, size: tuple[int, int], scheme: str, opened: Opened, request: pytest.FixtureRequest
) -> None:
    page = opened(request.getfixturevalue(name), scheme, size)
    for summary in page.locator("summary").all():
        summary.click()  # what is folded is looked at, too
    assert faults_of(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, back.removeprefix("rgb(").removesuffix(")").split(",")))
    assert (brightness < 384) == (scheme == "dark")


def test_a_fault_is_found_where_there_is_one(opened: Opened, report_page: Path, tmp_path: Path) -> None:
    text = report_page.read_text()
    (tmp_path / "faulty.html").write_text(
        text.replace("--ink: #1b2128", "--ink: #e8e8e8").replace(' alt="', ' title="')
    )
    assert {rule for rule, _ in faults_of(opened(tmp_path / "faulty.html"))} >= {"color-contrast"}


def test_the_map_tells_of_the_image_under_the_pointer(opened: Opened, report_page: Path) -> None:
    page = opened(report_page)
    page.locator("#plane").scroll_into_view_if_needed()
    data, before = map_data(page), drawn(page)
    assert before[..., 3].any()
    tip = page.locator("#tip")
    assert not tip.is_visible()
    for row in (0, 7):
        x, y = place_of(page, row)
        page.locator("#canvas").hover(position={"x": x, "y": y})
        assert data["uris"][row].lstrip("/") in tip.inner_text()
    assert tip.locator("img").evaluate("image => image.complete && image.naturalWidth") == data["pictures"]["7"][0]
    assert (drawn(page) != before).any()
    page.locator("h1").hover()
    assert not tip.is_visible()


def test_a_click_shows_the_nearest_and_these_lead_on(opened: Opened, report_page: Path) -> None:
    page = opened(report_page, "dark", PHONE)
    page.locator("#plane").scroll_into_view_if_needed()
    data, (x, y) = map_data(page), place_of(page, 5)
    page.locator("#canvas").tap(position={"x": x, "y": y})
    detail = page.locator("#detail")
    assert data["uris"][5].lstrip("/") in detail.inner_text()
    near = detail.locator("button")
    wanted = [
        f"{cosine / 1000:.3f} {data['uris'][row].lstrip('/')}"
        for row, cosine in zip(data["nearest"][5], data["cosines"][5], strict=True)
    ]
    assert near.all_inner_texts() == wanted
    near.nth(1).click()
    assert (detail.locator("h3").first.inner_text()).endswith(data["uris"][data["nearest"][5][1]])
    assert faults_of(page) == []


def test_the_map_is_used_by_keyboard_and_told_aloud(opened: Opened, report_page: Path) -> None:
    page = opened(report_page)
    data = map_data(page)
    page.locator("#all").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "plane"
    said = page.locator("#said")
    page.keyboard.press("ArrowRight")
    assert (said.text_content() or "").startswith(data["uris"][0].lstrip("/"))
    seen = set()
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp") * 4:
        page.keyboard.press(key)
        seen.add(said.text_content())
    assert len(seen) >= 4
    before = drawn(page)
    page.keyboard.press("+")
    assert (drawn(page) != before).any()
    page.keyboard.press("0")
    page.keyboard.press("Enter")
    assert page.locator("#detail button").count() == 5
    assert "nearest are listed below" in (said.text_content() or "")
    page.keyboard.press("Escape")
    assert not page.locator("#detail").is_visible()


def test_colors_are_chosen_and_names_found(opened: Opened, report_page: Path) -> None:
    page = opened(report_page)
    data, before = map_data(page), drawn(page)
    names = [each["name"] for each in data["colorings"]]
    assert page.locator("#coloring option").all_inner_texts() == names
    page.locator("#coloring").select_option("image/width")
    page.wait_for_timeout(100)
    assert (drawn(page) != before).any()
    width = data["colorings"][names.index("image/width")]
    assert page.locator("#legend button").count() == len(set(width["codes"]))
    before = drawn(page)
    page.locator("#legend button").first.click()
    assert page.locator("#legend button").first.get_attribute("aria-pressed") == "true"
    page.wait_for_timeout(100)
    assert (drawn(page) != before).any()
    page.locator("#legend button").first.click()
    page.locator("#find").fill("07.j")
    assert page.locator("#said").text_content() == "1 images found"
    page.keyboard.press("Enter")
    assert "07.jpg" in page.locator("#tip").inner_text()


def test_without_its_script_all_but_the_map_is_there(opened: Opened, report_page: Path) -> None:
    page = opened(report_page, java_script_enabled=False)
    assert page.locator("#map noscript").count() == 1
    assert not page.locator("#plane").is_visible()
    assert page.locator("main img").count() > 10
    assert "embedded" in page.locator("#outcomes").inner_text()


def test_a_script_that_is_not_the_page_s_own_does_not_run(opened: Opened, report_page: Path, tmp_path: Path) -> None:
    text = report_page.read_text().replace("</main>", "</main><script>document.title = 'other'</script>")
    (tmp_path / "changed.html").write_text(text)
    context = opened(report_page).context
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto((tmp_path / "changed.html").as_uri())
    assert page.title() == "Run night-1"
    assert any("Content Security Policy" in each for each in said)
