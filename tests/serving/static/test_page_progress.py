"""The page while an image is explained: how far the server is, and how to have it stop."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import hostile
import pytest
from asking import command_line
from pictures import chessboard, write

from conftest import Served
from waiting import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Page

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed.")
expect = sync_api.expect
FOREVER = (
    f"import sys; sys.path.insert(0, {str(Path(hostile.__file__).parent)!r}); "
    "import hostile; import pyrite.serving.service as service; service.explain = hostile.explain_forever"
)


def test_the_share_that_is_scored_is_shown_and_cancelling_or_leaving_ends_the_work(
    visit: Callable[..., "Page"], served_bundle: Path, tmp_path: Path
) -> None:
    with command_line(str(served_bundle), first=FOREVER) as (server, process):
        page = visit(Served(f"http://127.0.0.1:{server.port}/", process))
        page.set_input_files("#pick", write(tmp_path, chess=chessboard()))
        asking = page.get_by_role("button", name="Show what moved the score")
        box = page.locator(".of-map")

        def ask() -> None:
            asking.press("Enter")
            expect(box.get_by_role("progressbar")).to_have_attribute("value", "0.5", timeout=60_000)
            expect(box.get_by_role("timer")).to_contain_text("50% scored")
            assert server.metric("pyrite_explanations") == 1

        ask()
        box.get_by_role("button", name="Cancel").press("Enter")
        expect(box).to_be_empty()
        expect(asking).to_be_focused()
        assert eventually(lambda: server.metric("pyrite_explanations") == 0)
        # The one process for this is free again: it tells the history, and begins anew.
        page.get_by_role("button", name="Show the image's own history").press("Enter")
        expect(page.locator(".of-history h4")).to_be_visible(timeout=60_000)
        ask()
        page.close()
        assert eventually(lambda: server.metric("pyrite_explanations") == 0)


def test_an_error_in_the_last_line_is_told(page: "Page", tmp_path: Path) -> None:
    lines = (
        '{"progress":{"done":1,"total":2}}\n'
        '{"error":{"code":"timed_out","message":"This took too long.","request_id":"7"}}\n'
    )
    page.route("**/v1/explain*", lambda route: route.fulfill(content_type="application/x-ndjson", body=lines))
    page.set_input_files("#pick", write(tmp_path, chess=chessboard()))
    page.get_by_role("button", name="Show what moved the score").press("Enter")
    expect(page.locator(".failed")).to_have_text("There is no map: This took too long.", timeout=60_000)


def test_the_map_of_several_crops_lies_on_each_and_nowhere_between(page: "Page") -> None:
    found = {
        "detection": {"width": 100, "height": 50, "probability": None},
        "region": [0, 10, 100, 30],
        "rows": [[10, 20], [20, 30]],
        "columns": [[0, 40], [60, 100]],
        "moved": [[1.0, -1.0], [1.0, 0.0]],
        "leans": "ai",
        "better_than_random": True,
        "faithfulness": {"deletion": 0.2, "insertion": 0.9, "random_deletion": [0.4], "random_insertion": [0.5]},
    }
    places = {"ai": [0.2, 0.5], "real": [0.8, 0.3], "between": [0.5, 0.3], "above": [0.2, 0.1], "nothing": [0.8, 0.5]}
    colours = page.evaluate(
        """async ({ found, places }) => {
            const { drawExplanation } = await import("/static/explanation.js");
            const [map] = await drawExplanation(found, null);
            const canvas = map.querySelector("canvas");
            const at = ([x, y]) => canvas.getContext("2d").getImageData(x * canvas.width, y * canvas.height, 1, 1).data;
            return Object.fromEntries(Object.entries(places).map(([name, place]) => [name, [...at(place)]]));
        }""",
        {"found": found, "places": places},
    )
    assert colours["ai"][0] > colours["ai"][2] + 60
    assert colours["real"][2] > colours["real"][0] + 60
    for name in ("between", "above", "nothing"):
        red, green, blue, _ = colours[name]
        assert red == green == blue


def test_a_score_without_a_probability_can_be_explained(
    visit: Callable[..., "Page"], start: Callable[..., Served], other_bundle: Path, tmp_path: Path
) -> None:
    page = visit(start(bundles=[other_bundle]))
    page.set_input_files("#pick", write(tmp_path, chess=chessboard()))
    page.get_by_role("button", name="Show what moved the score").press("Enter")
    expect(page.locator(".map")).to_be_visible(timeout=60_000)
    # What is no chance is not called one.
    expect(page.locator(".conclusion")).to_have_text(
        re.compile(r"the score for AI falls to -?\d+\.\d\d on average; when random parts are hidden, to -?\d+\.\d\d\.$")
    )
