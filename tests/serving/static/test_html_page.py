"""The page of `pyrite detect --html`, in a real browser."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pictures import SETTINGS, picture

from pyrite.detector import Detector
from pyrite.rendering.html import html_page

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed.")
expect = sync_api.expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_images_without_a_probability_come_last_and_are_counted(
    chromium: "Browser", served_bundle: Path, tmp_path: Path
) -> None:
    detector = Detector(served_bundle)
    images = {
        "large": picture(127, size=200),
        "words": picture(60, parameters=SETTINGS),
        "dark": picture(100),
        "bright": picture(150),
    }
    with html_page(tmp_path / "page.html") as add:
        for name, content in images.items():
            add(detector.detect(content, path=name))
    context = chromium.new_context()
    page = context.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    note = page.locator("#unsorted")
    names = page.locator("#detections > li:visible .path")
    expect(note).to_be_hidden()
    for order, expected in (("likely", ["bright", "dark"]), ("unlikely", ["dark", "bright"])):
        page.get_by_label("Sort by").select_option(order)
        expect(names).to_have_text([*expected, "large", "words"])
        expect(note).to_have_text("Listed last, without a probability: 2 images.")
    page.get_by_label("uncertain").uncheck()
    expect(note).to_have_text("Listed last, without a probability: 1 image.")
    page.get_by_label("Sort by").select_option("path")
    expect(note).to_be_hidden()
    context.close()
