"""Pages in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from pipeline.report.page import as_page
from pipeline.report.report import make_report
from pipeline.vectors.page import write_page
from pipeline.vectors.search import search_output

DESK, PHONE = (1280, 900), (390, 844)
Opened = Callable[..., Page]


def needed(variable: str) -> str:
    """A path that `make test-browser` names."""
    value = os.environ.get(variable, "")
    if not Path(value).is_file():
        pytest.fail(f"{variable} names no file: `make test-browser` sets it")
    return value


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    # A sandbox needs more than root has in a container; the pages are our own.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=needed("CHROMIUM"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def report_page(two_nights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two nights; an image of the second one is gone by now."""
    file = tmp_path_factory.mktemp("pages") / "report.html"
    file.write_text(as_page(make_report(str(two_nights / "output"), run_id="night-1", projection="pca")))
    return file


@pytest.fixture(scope="session")
def search_page(two_nights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("pages") / "search.html"
    query = str(two_nights / "images/07.jpg")
    write_page(query, search_output(str(two_nights / "output"), uri=query, k=5), str(file))
    return file


@pytest.fixture
def opened(chromium: Browser) -> Iterator[Opened]:
    """Opens a file in a window of its own; no page may have said anything, failed, or asked for anything."""
    said: list[str] = []
    contexts = []

    def open_it(file: Path, scheme: str = "light", size: tuple[int, int] = DESK, **more: object) -> Page:
        viewport = {"width": size[0], "height": size[1]}
        phone = size == PHONE
        context = chromium.new_context(
            color_scheme=scheme,  # type: ignore[arg-type]
            viewport=viewport,  # type: ignore[arg-type]
            is_mobile=phone,
            has_touch=phone,
            **more,  # type: ignore[arg-type]
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "request", lambda request: None if request.url.startswith(("file:", "data:")) else said.append(request.url)
        )
        page.goto(file.as_uri())
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert said == []
