"""The page in a real browser: what a person does with it, and what could go wrong."""

import csv
import io
import json
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from pictures import SETTINGS, camera, chessboard, picture, plain, write
from PIL import Image

import pyrite
from pyrite.bundle import load_bundle
from pyrite.decision import Policy
from pyrite.detector import Detector
from pyrite.rendering.verdict_report import VerdictReport
from pyrite.serving.keys import hash_key
from waiting import eventually

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed.")
expect = sync_api.expect
expect.set_options(timeout=60_000)

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page
    from starlette.testclient import TestClient

    from conftest import Served

STATIC = Path(pyrite.__file__).parent / "serving" / "static"
AXE = Path(__file__).with_name("axe") / "axe.min.js"
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
HOSTILE = "<img src=x onerror=alert(1)>'\"&\u202egpj.png"
SCRIPT = "</script><script>alert(2)</script><b onclick=alert(3)>"


@pytest.fixture
def batch(tmp_path: Path) -> list[Path]:
    """Two AI, one by its own word; two real, one with a camera; one uncertain; one that is no image."""
    return write(
        tmp_path,
        bright=picture(220),
        words=picture(60, parameters=SETTINGS),
        dark=picture(40),
        camera__jpg=camera(),
        large=picture(127, size=200),
        broken=b"no image",
    )


def cards(page: "Page") -> "Locator":
    return page.locator("#cards > li")


def card(page: "Page", name: str) -> "Locator":
    return cards(page).filter(has=page.get_by_role("heading", name=name, exact=True))


def shown(page: "Page") -> list[str]:
    return cards(page).locator("visible=true").locator(".what .name").all_text_contents()


# Evidence is opened by the keyboard: a click is lost where the page is laid out anew between press and release, as a
# busy machine lets it be.
def judge(page: "Page", paths: list[Path]) -> None:
    before = cards(page).count()
    page.set_input_files("#pick", paths)
    expect(cards(page)).to_have_count(before + len(paths))
    pending = page.locator(".card.pending")
    assert eventually(lambda: pending.count() == 0, pending.count)


def slide(page: "Page", rate: str) -> None:
    """Move the slider by its keys until it says this rate."""
    slider = page.get_by_role("slider")
    slider.focus()
    slider.press("Home")
    for _ in range(100):
        page.evaluate(NEXT_FRAME)
        if page.locator("#rate").inner_text() == rate:
            return
        slider.press("ArrowRight")
    raise AssertionError(f"The slider has no {rate}.")


def verdicts(page: "Page") -> dict[str, str]:
    names = cards(page).locator(".what .name").all_text_contents()
    return dict(zip(names, cards(page).locator(".stamp").all_text_contents(), strict=True))


def exported(page: "Page", name: str) -> str:
    with page.expect_download() as download:
        page.get_by_role("button", name=name, exact=True).click()
    return download.value.path().read_text("utf-8")


# What moves with the slider is drawn in the frame after it.
NEXT_FRAME = "() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))"
COUNT_PICTURES = """() => {
    const [create, revoke] = [URL.createObjectURL, URL.revokeObjectURL];
    window.pictures = new Set();
    window.made = 0;
    URL.createObjectURL = (blob) => {
        const url = create(blob);
        if (blob.type === "image/png") pictures.add(url), made++;
        return url;
    };
    URL.revokeObjectURL = (url) => (pictures.delete(url), revoke(url));
    // Which waits for idle time, of which there may be none.
    OffscreenCanvas.prototype.convertToBlob = HTMLCanvasElement.prototype.toBlob = () => {
        throw new Error("A picture was encoded in the page.");
    };
}"""


def slow_down(page: "Page", *, latency: float = 0, upload: float = -1) -> Callable[..., None]:
    """Make the network slow: milliseconds for an answer, and bytes a second. Return what changes that."""
    session = page.context.new_cdp_session(page)

    def change(*, latency: float = 0, upload: float = -1) -> None:
        conditions = {"offline": False, "latency": latency, "downloadThroughput": -1, "uploadThroughput": upload}
        session.send("Network.emulateNetworkConditions", conditions)

    change(latency=latency, upload=upload)
    return change


def check_accessible(page: "Page") -> None:
    page.evaluate(AXE.read_text("utf-8"))
    # Cards that are far down are not drawn until they are looked at, and then not looked at by axe.
    page.evaluate("for (const card of document.querySelectorAll('.card')) card.style.contentVisibility = 'visible'")
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")
    told = [
        f"{problem['id']}: {node['html'][:200]} {node['failureSummary']}"
        for problem in found["violations"]
        for node in problem["nodes"]
    ]
    assert told == []


def test_each_image_is_a_card_with_verdict_probability_and_reason(
    page: "Page", batch: list[Path], served_bundle: Path
) -> None:
    judge(page, batch)
    assert verdicts(page) == {
        "bright.png": "AI",
        "words.png": "AI",
        "dark.png": "Real",
        "camera.jpg": "Real",
        "large.png": "Uncertain",
        "broken.png": "Unreadable",
    }
    detector = Detector(load_bundle(served_bundle))
    for path in batch:
        found = detector.detect(path.read_bytes())
        there = card(page, path.name)
        expect(there.locator(".why")).to_have_text(found.explanation)
        if found.probability is not None:
            score = f"{found.probability:.1%}" if 0.001 <= found.probability <= 0.999 else "%"
            expect(there.locator(".odds")).to_contain_text(score)
    expect(card(page, "broken.png").locator(".odds")).to_have_count(0)
    # The shapes tell verdicts apart where the colours do not.
    shapes = {there.locator(".stamp path, .stamp circle").first.get_attribute("d") for there in cards(page).all()}
    assert len(shapes) == 4
    expect(page.locator("#tally")).to_have_text("6 images")
    expect(page.locator("#live")).to_have_text("2 AI, 1 Uncertain, 2 Real, 1 Unreadable.")


def test_thumbnails_are_made_in_the_browser(page: "Page", batch: list[Path]) -> None:
    judge(page, batch)
    image = card(page, "bright.png").locator("img")
    expect(image).to_have_attribute("src", re.compile("^blob:"))
    assert image.evaluate("async (image) => (await image.decode(), [image.naturalWidth, image.naturalHeight])") == [
        32,
        32,
    ]
    expect(card(page, "broken.png").locator("img")).to_have_count(0)


def test_a_picture_that_the_browser_cannot_show_comes_from_the_server(page: "Page", tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (400, 200), "red").save(stream, "TIFF")  # As HEIC, no Chromium shows it.
    judge(page, write(tmp_path, scan__tif=stream.getvalue()))
    image = card(page, "scan.tif").locator(".thumb img")
    expect(image).to_have_attribute("src", re.compile("^blob:"))
    size = image.evaluate("async (image) => (await image.decode(), [image.naturalWidth, image.naturalHeight])")
    assert size == [320, 160]
    assert exported(page, "Report").count("data:image/jpeg") == 1


def test_without_a_bundle_for_photographs_there_is_a_banner_with_samples(page: "Page") -> None:
    banner = page.get_by_role("region", name="No model for photographs here")
    expect(banner).to_contain_text("the pixels of images of 16 to 64 pixels a side")
    banner.get_by_text("Get a model for photographs").click()
    expect(banner.get_by_text("pyrite bundle import photos")).to_be_visible()
    check_accessible(page)
    banner.get_by_role("button", name="Try sample images").click()
    expect(cards(page)).to_have_count(8)
    expect(page.locator(".card.pending")).to_have_count(0)
    assert all(verdict.lower() in name for name, verdict in verdicts(page).items())


def test_on_a_phone_the_first_verdict_is_on_the_first_screen(
    visit: Callable[..., "Page"], server: "Served", batch: list[Path]
) -> None:
    page = visit(server, **PHONE)
    judge(page, batch[:1])
    why = cards(page).locator(".why").bounding_box()
    assert why
    assert why["y"] + why["height"] < PHONE["viewport"]["height"] / 2
    for part in ("#slider", "#outcomes", "#tools"):
        expect(page.locator(part)).to_be_hidden()
    # Nothing lies over what is read.
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 3)")
    on_top = "() => document.querySelector('.cards').contains(document.elementFromPoint(innerWidth / 2, 2))"
    assert page.evaluate(on_top)
    page.get_by_role("heading", name="Error budget").click()
    expect(page.locator("#slider")).to_be_visible()


def test_no_sentence_is_cut(visit: Callable[..., "Page"], server: "Served", batch: list[Path]) -> None:
    page = visit(server, **PHONE)
    judge(page, batch)
    cut = "(parts) => parts.filter((part) => part.scrollHeight > part.clientHeight + 1).map((part) => part.textContent)"
    assert page.locator(".why").evaluate_all(cut) == []


def test_without_pictures_all_else_is_there(page: "Page", server: "Served", batch: list[Path]) -> None:
    page.route("**/thumbnail-worker.js", lambda route: route.abort())
    page.goto(server.url)
    judge(page, batch)
    assert list(verdicts(page).values()) == ["AI", "AI", "Real", "Real", "Uncertain", "Unreadable"]
    expect(card(page, "bright.png").locator(".thumb")).to_have_text("PNG")
    report = exported(page, "Report")
    assert "bright.png" in report
    assert "<img" not in report


def test_the_ledger_is_grouped_by_how_far_evidence_can_be_trusted(page: "Page", batch: list[Path]) -> None:
    judge(page, batch)
    there = card(page, "words.png")
    there.get_by_role("button", name=re.compile("Evidence")).press("Enter")
    expect(there.locator(".group h4")).to_have_text(["Asserted", "Inferred"])
    asserted, inferred = there.locator(".group").all()
    missing = there.locator(".missing")
    expect(missing).to_contain_text(
        "Not found: a signature that this server's trust list vouches for. That proves nothing"
    )
    expect(asserted.locator("blockquote")).to_have_text(["a duck, by a lake", "blurry"])
    expect(asserted).to_contain_text("AUTOMATIC1111")
    expect(asserted).to_contain_text("4183556137")
    expect(asserted).to_contain_text("Can show what was written into the file")
    expect(asserted).to_contain_text("Cannot prove it")
    expect(inferred).to_contain_text("No trace of the AI images that calibrated this model")
    expect(inferred).to_contain_text("for real")
    expect(there.locator(".chip.made")).to_have_text("AUTOMATIC1111, duck_v2")
    there = card(page, "camera.jpg")
    there.get_by_role("button", name=re.compile("Evidence")).press("Enter")
    expect(there.locator(".group.asserted")).to_contain_text("1/125 s")
    expect(there.locator(".group.asserted")).to_contain_text("takes no side")
    # What was not found is told once.
    there = card(page, "bright.png")
    there.get_by_role("button", name=re.compile("Evidence")).press("Enter")
    expect(there.locator(".group h4")).to_have_text(["Inferred"])
    expect(there.locator(".missing")).to_contain_text(
        "vouches for, and a note in the file of what made it. That proves"
    )


def test_an_image_that_nothing_judges_says_what_was_looked_at_and_what_one_can_do(
    page: "Page", batch: list[Path]
) -> None:
    judge(page, batch)
    there = card(page, "large.png")
    there.get_by_role("button", name=re.compile("Evidence")).press("Enter")
    expect(there.locator(".looks h4")).to_have_text(["What was looked at", "What you can do next"])
    expect(there.locator(".looks dd")).to_have_text(
        [
            "Not judged: no bundle here is made for images of this size.",
            "No evidence found. That proves nothing, since it is easily removed.",
        ]
    )
    expect(there.locator(".steps li")).to_have_count(3)
    expect(there.locator(".steps")).to_contain_text("reverse image search")
    expect(there.locator(".steps code")).to_have_text("pyrite bundle catalogue")
    expect(there.locator(".ledger")).not_to_contain_text("Can show")
    # Neither is there a number that decides nothing, nor a map of what moved it.
    assert "%" not in there.inner_text()
    expect(there.locator(".chart")).to_have_count(0)
    expect(there.get_by_role("button", name="Show what moved the score")).to_be_hidden()
    # An image that its own file decides has no number either.
    there = card(page, "words.png")
    there.get_by_role("button", name=re.compile("Evidence")).press("Enter")
    expect(there.locator(".odds, .chart")).to_have_count(0)
    expect(there.get_by_role("button", name="Show what moved the score")).to_be_hidden()
    there = card(page, "bright.png")
    there.get_by_role("button", name=re.compile("Evidence")).press("Enter")
    expect(there.get_by_role("button", name="Show what moved the score")).to_be_visible()
    # Three have none: the one out of scope, the one that its file decides, and the one that cannot be read.
    note = page.locator("#unsorted")
    expect(note).to_be_hidden()
    for order in ("likely", "unlikely"):
        page.get_by_label("Sort by").select_option(order)
        expect(note).to_have_text("Listed last, without a probability: 3 images.")
        assert set(shown(page)[-3:]) == {"large.png", "words.png", "broken.png"}
    page.get_by_role("button", name="Uncertain 1").click()
    expect(note).to_have_text("Listed last, without a probability: 2 images.")


def test_no_verdict_stands_beside_a_percentage_that_contradicts_it(
    page: "Page", tmp_path: Path, served_bundle: Path
) -> None:
    [path] = write(tmp_path, a=picture(150))
    bundle = load_bundle(served_bundle)
    # A score of 2.25, that half of the AI images have and no real one, and which is AI at a probability of 32%.
    calibration = msgspec.structs.replace(bundle.info.calibration, intercept=-3.0)
    info = msgspec.structs.replace(bundle.info, name="other", calibration=calibration)
    found = Detector(replace(bundle, info=info)).detect(path.read_bytes(), path=path.name)
    assert (found.verdict, found.probability) == ("ai", pytest.approx(0.32, abs=0.05))
    builtins = json.loads(msgspec.json.encode(info))
    model = {**builtins, "card": "", "bundles": [{**builtins, "card": ""}]}
    answer = {"detections": [json.loads(msgspec.json.encode(found))]}
    page.route("**/v1/detect", lambda route: route.fulfill(json=answer))
    page.route("**/v1/model", lambda route: route.fulfill(json=model))
    judge(page, [path])
    expect(page.locator(".card .verdict")).to_have_text("AIabove the threshold of your budget")


def test_several_bundles_keep_one_budget_and_have_no_chart(
    visit: Callable[..., "Page"],
    start: Callable[..., "Served"],
    served_bundle: Path,
    other_bundle: Path,
    tmp_path: Path,
) -> None:
    page = visit(start(bundles=[served_bundle, other_bundle]))
    expect(page.locator("#scope")).to_contain_text("Made for images of 16 to 64, or of 16 or more pixels a side.")
    sizes = {"a80": 32, "b118": 32, "c122": 32, "d150": 32, "e220": 32, "f220": 200, "g60": 200}
    paths = write(tmp_path, **{name: picture(int(name[1:]), size) for name, size in sizes.items()})
    judge(page, paths)
    for rate in ("2%", "5%", "20%", "30%"):
        slide(page, rate)
        detector = Detector(bundles=[served_bundle, other_bundle], max_fpr=float(rate[:-1]) / 100)
        expected = {path.name: str(detector.detect(path.read_bytes()).verdict) for path in paths}
        assert {name: verdict.lower() for name, verdict in verdicts(page).items()} == expected
    expect(page.locator("#more")).to_be_hidden()
    there = card(page, "e220.png")
    there.get_by_role("button", name="Evidence 2 of e220.png").press("Enter")
    expect(there.locator(".place")).to_contain_text("merged so that the budget holds")
    expect(there.locator(".group.inferred dd")).to_have_text(["brightness 1", "other 1"])
    expect(page.locator(".chart")).to_have_count(0)
    page.get_by_role("button", name="Model: brightness+other 1+1").click()
    expect(page.get_by_role("dialog").locator("h3")).to_have_text(["brightness 1", "other 1"])
    check_accessible(page)


def test_a_model_that_knows_real_images_alone_has_no_probability(
    visit: Callable[..., "Page"], start: Callable[..., "Served"], other_bundle: Path, tmp_path: Path
) -> None:
    page = visit(start(bundles=[other_bundle]))
    judge(page, write(tmp_path, bright=picture(220, 200), dark=picture(40, 200)))
    assert verdicts(page) == {"bright.png": "AI", "dark.png": "Uncertain"}
    expect(page.locator(".odds")).to_have_count(0)
    expect(page.locator("#chart")).to_contain_text("score, higher for AI")
    expect(page.locator("#shares tr:visible")).to_have_count(2)  # The head, and the real images.
    expect(page.locator("#tradeoff")).to_have_text("")
    there = card(page, "bright.png")
    there.get_by_role("button", name=re.compile("Evidence")).press("Enter")
    expect(there.locator(".place")).to_contain_text("of the real images of a group.")
    expect(there.locator(".place")).not_to_contain_text("of the AI images")
    expect(there.get_by_role("button", name="Show what moved the score")).to_be_visible()


def test_one_image_alone_is_opened_at_once(page: "Page", batch: list[Path]) -> None:
    judge(page, batch[:1])
    expect(page.locator(".ledger")).to_be_visible()


def test_the_slider_decides_all_cards_again_without_another_upload(
    visit: "Callable[..., Page]", start: Callable[..., "Served"], tmp_path: Path, mixed_bundle: Path
) -> None:
    page = visit(start(bundles=[mixed_bundle]))
    levels = (80, 105, 118, 122, 126, 135, 180)
    paths = write(tmp_path, **{f"a{level}": picture(level) for level in levels})
    judge(page, paths)
    posts: list[str] = []
    page.on("request", lambda request: request.method == "POST" and posts.append(request.url))
    told = []
    for rate in ("1%", "5%", "20%", "30%"):  # The first and the last are the slider's ends.
        slide(page, rate)
        detector = Detector(load_bundle(mixed_bundle), max_fpr=float(rate[:-1]) / 100)
        expected = {path.name: str(detector.detect(path.read_bytes()).verdict) for path in paths}
        assert {name: verdict.lower() for name, verdict in verdicts(page).items()} == expected
        told.append(expected)
        meaning = f"Of 1,000 real photos at most about {rate[:-1]}0 would be called AI"
        expect(page.locator("#meaning")).to_have_text(f"{meaning},")
        expect(page.get_by_role("slider", name="Error budget")).to_have_attribute(
            "aria-valuetext", f"{rate}. {meaning}."
        )
    assert told[0] != told[1] != told[2] != told[3]
    assert posts == []


def test_the_summary_counts_filters_sorts_and_finds(page: "Page", batch: list[Path]) -> None:
    judge(page, batch)
    outcomes = page.locator(".outcome")
    expect(outcomes).to_have_text(["AI2", "Uncertain1", "Real2", "Unreadable1"])
    page.get_by_role("button", name="Real 2").click()
    expect(card(page, "dark.png")).to_be_hidden()
    assert shown(page) == ["bright.png", "words.png", "large.png", "broken.png"]
    expect(page.locator("#export-note")).to_have_text("Export 4 images, as shown:")
    assert [found["path"] for found in json.loads(exported(page, "JSON"))] == shown(page)
    page.get_by_role("button", name="Real 2").click()
    page.get_by_label("Sort by").select_option("likely")
    expect(cards(page).first.locator(".what .name")).to_have_text("bright.png")
    assert shown(page)[-1] == "broken.png"
    page.get_by_label("Sort by").select_option("name")
    expect(cards(page).last.locator(".what .name")).to_have_text("words.png")
    page.get_by_label("Find in names and evidence").fill("a duck")
    expect(cards(page).locator("visible=true")).to_have_count(1)
    assert shown(page) == ["words.png"]
    page.get_by_label("Find in names and evidence").fill("nowhere")
    expect(page.locator("#none")).to_be_visible()


def test_exports_are_what_the_command_line_gives(page: "Page", batch: list[Path], served_bundle: Path) -> None:
    judge(page, batch)
    slide(page, "1%")
    detector = Detector(load_bundle(served_bundle), max_fpr=0.01)
    expected = [detector.detect(path.read_bytes(), path=path.name) for path in batch]
    found = json.loads(exported(page, "JSON"))
    assert found == json.loads(msgspec.json.encode(expected))
    rows = list(csv.DictReader(io.StringIO(exported(page, "CSV").removeprefix("\ufeff"))))
    assert [(row["path"], row["verdict"], row["error_code"]) for row in rows] == [
        (str(item.path), str(item.verdict), item.error.code if item.error else "") for item in expected
    ]


def test_a_wrong_verdict_is_saved_as_the_command_line_does(
    page: "Page", tmp_path: Path, served_bundle: Path, run_pyrite: Callable[..., tuple[int, str, str]]
) -> None:
    [path] = write(tmp_path, words=picture(60, parameters=SETTINGS))
    judge(page, [path])
    slide(page, "1%")
    with page.expect_download() as download:
        page.get_by_role("button", name="Report a wrong verdict").click()
    assert download.value.suggested_filename == "words-verdict.json"
    report = tmp_path / "report.json"
    code, _, _ = run_pyrite("detect", path, "--bundle", served_bundle, "--max-fpr", "0.01", "--report", report)
    assert code == 0
    assert json.loads(download.value.path().read_text("utf-8")) == json.loads(report.read_text("utf-8"))
    msgspec.json.decode(download.value.path().read_bytes(), type=VerdictReport)


def test_the_report_is_a_page_of_its_own(page: "Page", batch: list[Path], chromium: Any, tmp_path: Path) -> None:
    judge(page, batch)
    text = exported(page, "Report")
    assert "<script" not in text
    assert "default-src 'none'" in text
    report = tmp_path / "report.html"
    report.write_text(text, "utf-8")
    context = chromium.new_context()
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    alone = context.new_page()
    problems: list[str] = []
    alone.on("console", lambda said: problems.append(said.text))
    alone.goto(report.as_uri())
    assert verdicts(alone) == verdicts(page)
    expect(alone.locator("h1")).to_have_text("6 images")
    expect(alone.locator("blockquote").first).to_have_text("a duck, by a lake")
    assert alone.locator(".thumb img").first.evaluate("(image) => image.naturalWidth") == 32
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert problems == []
    check_accessible(alone)
    context.close()


def test_a_map_is_drawn_on_demand_with_its_faithfulness(page: "Page", tmp_path: Path) -> None:
    judge(page, write(tmp_path, chess=chessboard()))
    page.get_by_role("button", name="Show what moved the score").click()
    there = card(page, "chess.png")
    canvas = there.get_by_role("img", name=re.compile("Most for AI: top left"))
    expect(canvas).to_be_visible()
    chances = re.compile(
        r"^When the marked parts are hidden step by step, the score for AI falls from (\S+)% to (\S+)% on average; "
        r"when random parts are hidden, to (\S+)%\.$"
    )
    expect(there.locator(".conclusion")).to_have_text(chances)
    told = chances.match(there.locator(".conclusion").inner_text())
    assert told
    whole, marked, random = map(float, told.groups())
    assert marked < random < whole
    # What researchers ask for is one click further.
    figures = there.get_by_text(re.compile(r"Deletion \(parts hidden\): -?\d+\.\d\d log-odds of AI, .* ± "))
    expect(figures).to_be_hidden()
    there.get_by_text("How this was tested").click()
    expect(figures).to_be_visible()
    expect(there.get_by_text("The map does better than each of 19 random orders.")).to_be_visible()
    # Orange where the corner is, grey where nothing moves the score.
    corner, middle = (
        canvas.evaluate("(c, [x, y]) => [...c.getContext('2d').getImageData(x * c.width, y * c.height, 1, 1).data]", at)
        for at in ([0.1, 0.1], [0.8, 0.8])
    )
    assert corner[0] > corner[2] + 60
    assert abs(middle[0] - middle[2]) < 6
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as a picture").click()
    assert download.value.suggested_filename == "chess-explained.png"
    assert download.value.path().read_bytes().startswith(b"\x89PNG")
    slide(page, "1%")
    expect(canvas).to_be_visible()


def test_a_map_lies_over_the_part_of_the_image_that_it_is_of(page: "Page") -> None:
    found = {
        "detection": {"width": 100, "height": 50},
        "region": [50, 0, 100, 50],
        "rows": [[0, 50]],
        "columns": [[50, 75], [75, 100]],
        "moved": [[1.0, -1.0]],
        "leans": "ai",
        "better_than_random": True,
        "faithfulness": {"deletion": 0.2, "insertion": 0.9, "random_deletion": [0.4], "random_insertion": [0.5]},
    }
    places = {"outside": 0.2, "ai": 0.55, "real": 0.95}
    colours = page.evaluate(
        """async ({ found, places }) => {
            const { drawExplanation } = await import("/static/explanation.js");
            const [map] = await drawExplanation(found, null);
            const canvas = map.querySelector("canvas");
            const at = (x) => canvas.getContext("2d").getImageData(x * canvas.width, canvas.height / 2, 1, 1).data;
            return Object.fromEntries(Object.entries(places).map(([name, x]) => [name, [...at(x)]]));
        }""",
        {"found": found, "places": places},
    )
    red, green, blue, _ = colours["outside"]
    assert red == green == blue
    assert colours["ai"][0] > colours["ai"][2] + 60
    assert colours["real"][2] > colours["real"][0] + 60


def test_a_map_that_is_no_better_than_random_is_not_drawn(page: "Page", tmp_path: Path) -> None:
    judge(page, write(tmp_path, plain=plain(200)))
    page.get_by_role("button", name="Show what moved the score").click()
    expect(page.locator(".nomap")).to_have_text("No map is shown: it is no better than random.")
    expect(page.locator(".map")).to_have_count(0)
    check_accessible(page)


def test_the_history_of_an_image_that_nothing_judges_is_shown_on_demand(page: "Page", tmp_path: Path) -> None:
    judge(page, write(tmp_path, photo__jpg=with_another_thumbnail()))
    there = card(page, "photo.jpg")
    expect(there.get_by_role("button", name="Show what moved the score")).to_be_hidden()
    there.get_by_role("button", name="Show the image's own history").press("Enter")
    box = there.locator(".of-history")
    expect(box).to_be_focused()
    expect(box).to_contain_text("The thumbnail shows something other than the image")
    expect(box.locator("h5")).to_have_text(["Error levels", "Noise", "JPEG ghosts"])
    for name in ("The thumbnail in the file", "The image", "Noise, as a map over the image"):
        picture = box.get_by_role("img", name=name, exact=True)
        assert eventually(lambda picture=picture: picture.evaluate("(image) => image.naturalWidth") > 0)
    expect(box).to_contain_text("Fine texture counts as noise.")
    check_accessible(page)
    report = exported(page, "Report")
    assert "The thumbnail shows something other than the image" in report
    assert report.count("data:image/png;base64,") >= 3


def with_another_thumbnail() -> bytes:
    """A photograph-like JPEG, whose EXIF data has the thumbnail of something else."""
    rng = np.random.default_rng(0)

    def jpeg(height: int, width: int, waves: int, **more: bytes) -> bytes:
        x = np.linspace(0, 2 * np.pi * waves, width)
        light = 120 + 70 * np.sin(x) + rng.normal(0, 6, (height, width))
        stream = io.BytesIO()
        Image.fromarray(np.repeat(light.clip(0, 255).astype(np.uint8)[..., None], 3, 2)).save(stream, "JPEG", **more)
        return stream.getvalue()

    small = jpeg(120, 160, 3)
    # TIFF (Exif 2.32): an empty first directory, and a second one that says where the thumbnail is, and how long.
    ifd = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, 44, 0x0202, 4, 1, len(small), 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<IHI", 8, 0, 14) + ifd
    return jpeg(240, 320, 1, exif=exif + small)


def test_an_explanation_that_fails_is_told_and_can_be_had_again(page: "Page", tmp_path: Path) -> None:
    judge(page, write(tmp_path, chess=chessboard()))
    error = {"code": "explanations_full", "message": "Too many wait.", "request_id": "7"}
    page.route("**/v1/explain*", lambda route: route.fulfill(status=503, json={"error": error}))
    page.get_by_role("button", name="Show what moved the score").press("Enter")
    expect(page.locator(".failed")).to_have_text("There is no map: Too many wait.")
    check_accessible(page)
    page.unroute("**/v1/explain*")
    again = page.get_by_role("button", name="Try again to show what moved the score")
    expect(again).to_be_focused()
    again.press("Enter")
    expect(page.locator(".map")).to_be_visible()
    expect(page.locator(".of-map")).to_be_focused()
    check_accessible(page)


def test_files_and_folders_can_be_dropped(page: "Page", tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    (folder / "beach").mkdir(parents=True)
    write(folder, b=picture(200))
    write(folder / "beach", c=picture(50))
    (folder / ".hidden").write_bytes(b"")
    [single] = write(tmp_path, a=picture(100))
    box = page.locator("#zone").bounding_box()
    assert box
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(single), str(folder)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": box["x"] + 50, "y": box["y"] + 50, "data": data})
        if kind == "dragOver":
            expect(page.locator("body")).to_have_class("over")
    expect(cards(page)).to_have_count(3)
    expect(page.locator(".card.pending")).to_have_count(0)
    assert sorted(verdicts(page)) == ["a.png", "holiday/b.png", "holiday/beach/c.png"]
    expect(page.locator("body")).to_have_class("filled")


def test_a_folder_can_be_picked(page: "Page", tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    (folder / "beach").mkdir(parents=True)
    write(folder, b=picture(200))
    write(folder / "beach", c=picture(50))
    (folder / ".hidden").write_bytes(b"")
    page.set_input_files("#pick-folder", folder)
    expect(cards(page)).to_have_count(2)
    expect(page.locator(".card.pending")).to_have_count(0)
    assert sorted(verdicts(page)) == ["holiday/b.png", "holiday/beach/c.png"]


def test_an_image_can_be_pasted(page: "Page") -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("""async () => {
        const canvas = Object.assign(document.createElement("canvas"), { width: 32, height: 32 });
        canvas.getContext("2d").fillRect(0, 0, 32, 32);
        const blob = await new Promise((resolve) => canvas.toBlob(resolve));
        await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
    }""")
    page.keyboard.press("Control+V")
    expect(cards(page).locator(".stamp")).to_have_text("Real")


def test_a_photo_can_be_taken_where_there_is_a_camera_and_a_bundle_for_photographs(
    visit: Callable[..., "Page"], start: Callable[..., "Served"], server: "Served", other_bundle: Path
) -> None:
    expect(visit(server, **PHONE).get_by_role("button", name="Take a photo")).to_be_hidden()
    page = visit(start(bundles=[other_bundle]), **PHONE)
    expect(page.locator("#banner")).to_be_hidden()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Take a photo").click()
    assert chooser.value.element.get_attribute("capture") == "environment"
    chooser.value.set_files({"name": "photo.png", "mimeType": "image/png", "buffer": picture(200)})
    expect(cards(page).locator(".stamp")).to_have_text("AI")


def drop_link(page: "Page") -> None:
    page.evaluate("""() => {
        const dataTransfer = new DataTransfer();
        dataTransfer.setData("text/uri-list", "https://example.org/a.png");
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    }""")


def test_a_drop_without_files_is_told(page: "Page") -> None:
    drop_link(page)
    expect(page.locator("#notice")).to_contain_text("That is a link. The server fetches nothing from other sites")
    page.evaluate("""() => {
        const event = new DragEvent("drop", { dataTransfer: new DataTransfer(), bubbles: true, cancelable: true });
        document.body.dispatchEvent(event);
    }""")
    expect(page.locator("#notice")).to_contain_text("There was no file in that.")


def test_a_pasted_link_is_told_that_nothing_is_fetched(page: "Page", batch: list[Path]) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('a duck')")
    page.keyboard.press("Control+V")
    expect(page.locator("#notice")).to_have_text("")
    page.evaluate("navigator.clipboard.writeText('https://example.org/a.png')")
    page.keyboard.press("Control+V")
    expect(page.locator("#notice")).to_contain_text("That is a link. The server fetches nothing from other sites")
    expect(cards(page)).to_have_count(0)


def test_a_few_files_are_sent_at_a_time_with_their_progress(page: "Page", tmp_path: Path) -> None:
    # Files of so many bytes that the browser cannot hand them over at once, whatever the network takes.
    change = slow_down(page, latency=300, upload=30_000)
    page.set_input_files("#pick", write(tmp_path, **{f"a{i}": picture(10 * i) + bytes(500_000) for i in range(9)}))
    expect(cards(page)).to_have_count(9)
    expect(cards(page).locator(".stamp").get_by_text("Sending").first).to_be_visible()
    expect(cards(page).locator(".stamp").get_by_text("Waiting").first).to_be_visible()
    expect(page.locator("#tally")).to_have_text(re.compile(r"^\d of 9 images judged$"))
    change(latency=300, upload=5_000_000)
    expect(page.locator(".card.pending")).to_have_count(0)
    expect(page.locator("#tally")).to_have_text("9 images")
    expect(page.locator("#progress")).to_be_hidden()
    times = page.evaluate("""performance.getEntriesByType("resource")
        .filter((entry) => entry.name.endsWith("/v1/detect")).map((entry) => [entry.startTime, entry.responseEnd])""")
    assert len(times) == 9
    assert max(sum(begin <= at < end for begin, end in times) for at, _ in times) == 3


def test_hundreds_of_images_are_judged_and_decided_again(
    visit: "Callable[..., Page]", start: Callable[..., "Served"], tmp_path: Path, mixed_bundle: Path
) -> None:
    page = visit(start(bundles=[mixed_bundle]))
    page.evaluate(COUNT_PICTURES)
    paths = write(tmp_path, **{f"a{i}": picture(105 + i / 10) for i in range(300)})
    judge(page, paths)
    expect(page.locator("#tally")).to_have_text("300 images")
    before = verdicts(page)
    slide(page, "20%")
    detector = Detector(load_bundle(mixed_bundle), max_fpr=0.2)
    expected = {path.name: found.verdict for path, found in zip(paths, detector.detect_many(paths), strict=True)}
    assert {name: verdict.lower() for name, verdict in verdicts(page).items()} == expected
    assert before != verdicts(page)
    assert len(json.loads(exported(page, "JSON"))) == 300
    # Pictures are for cards near the window, wherever that is; and a report needs all.
    assert 0 < page.evaluate("pictures.size") < 100
    cards(page).last.scroll_into_view_if_needed()
    expect(cards(page).last.locator(".thumb img")).to_have_count(1)
    made, there = page.evaluate("[made, pictures.size]")
    assert exported(page, "Report").count('src="data:image/png') == 300
    assert page.evaluate("[made, pictures.size]") == [made + 300 - there, 300]  # None is made again.
    page.get_by_label("Find in names and evidence").fill("a1")
    page.get_by_role("button", name="Remove a1.png").click()
    expect(cards(page)).to_have_count(299)
    assert page.evaluate("pictures.size") == 299
    page.get_by_role("button", name="Remove all").click()
    expect(cards(page)).to_have_count(0)
    expect(page.locator("#summary")).to_be_hidden()
    assert page.evaluate("pictures.size") == 0
    judge(page, paths[:2])
    expect(cards(page).locator("visible=true")).to_have_count(2)  # What was looked for is forgotten.


def test_hostile_names_and_metadata_are_inert(page: "Page", tmp_path: Path) -> None:
    page.on("dialog", lambda dialog: pytest.fail(f"A script ran: {dialog.message}"))
    settings = SETTINGS.replace("a duck, by a lake", SCRIPT).replace("duck_v2", "<b>x</b>")
    content = picture(60, parameters=settings)
    page.set_input_files("#pick", [{"name": HOSTILE, "mimeType": "image/png", "buffer": content}])
    expect(page.locator(".card.pending")).to_have_count(0)
    # The sign that turns the direction of text is written out.
    expect(cards(page).locator(".what .name")).to_have_text(HOSTILE.replace("\u202e", "\\u202e"))
    expect(page.locator("blockquote").first).to_have_text(SCRIPT)
    expect(page.locator(".chip.made")).to_have_text("AUTOMATIC1111, <b>x</b>")
    assert page.locator("#cards script, #cards b[onclick], #cards img[src=x]").count() == 0
    assert json.loads(exported(page, "JSON"))[0]["path"] == HOSTILE
    report = exported(page, "Report")
    assert "<script" not in report
    assert "<img src=x" not in report
    page.wait_for_timeout(200)


def test_a_file_that_is_too_large_is_told_without_sending_it(page: "Page", tmp_path: Path, server: "Served") -> None:
    limit = page.evaluate("async () => (await (await fetch('/v1/limits')).json()).max_bytes")
    large = tmp_path / "large.png"
    with large.open("wb") as stream:
        stream.truncate(limit + 1)
    posts: list[str] = []
    page.on("request", lambda request: request.method == "POST" and posts.append(request.url))
    judge(page, [large])
    expect(cards(page).locator(".stamp")).to_have_text("Unreadable")
    assert posts == []
    expected = {"code": "too_many_bytes", "message": f"The file is larger than the limit of {limit:,} bytes."}
    expect(cards(page).locator(".why")).to_have_text(expected["message"])
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()  # It would be as large again.
    assert json.loads(exported(page, "JSON"))[0]["error"] == expected


@pytest.mark.parametrize("status", [403, 422, 500])
def test_refusals_are_told_on_the_card_in_the_server_s_words(page: "Page", batch: list[Path], status: int) -> None:
    def refuse(route: Any) -> None:
        error = {"code": "not_today", "message": "Not today, <b>sorry</b>.", "request_id": "7"}
        route.fulfill(status=status, json={"error": error})

    page.route("**/v1/detect", refuse)
    judge(page, batch[:1])
    expect(cards(page).locator(".why")).to_have_text("Not today, <b>sorry</b>.")
    page.unroute("**/v1/detect")
    page.get_by_role("button", name="Try again").click()
    expect(cards(page).locator(".stamp")).to_have_text("AI")


def test_a_proxy_s_refusal_of_large_files_is_explained(page: "Page", batch: list[Path]) -> None:
    page.route("**/v1/detect", lambda route: route.fulfill(status=413, body="<h1>413 Request Entity Too Large</h1>"))
    judge(page, batch[:1])
    expect(cards(page).locator(".why")).to_contain_text(
        "A proxy in front of the server does not take a file of this size."
    )
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()


def test_a_wait_counts_down(page: "Page", batch: list[Path]) -> None:
    error = {"code": "queue_full", "message": "Too many wait.", "request_id": "7"}
    page.route(
        "**/v1/detect", lambda route: route.fulfill(status=503, headers={"Retry-After": "60"}, json={"error": error})
    )
    page.set_input_files("#pick", batch[:1])
    timer = page.get_by_role("timer")
    expect(timer).to_have_text(re.compile(r"^(60|5\d) seconds$"))
    first = timer.inner_text()
    expect(timer).not_to_have_text(first)
    assert int(timer.inner_text().split()[0]) < int(first.split()[0])


def test_a_busy_server_is_given_time(page: "Page", batch: list[Path]) -> None:
    answers = []

    def once(route: Any) -> None:
        answers.append(1)
        if len(answers) > 1:
            route.continue_()
        else:
            error = {"code": "queue_full", "message": "Too many wait.", "request_id": "7"}
            route.fulfill(status=503, headers={"Retry-After": "2"}, json={"error": error})

    page.route("**/v1/detect", once)
    page.set_input_files("#pick", batch[:2])
    expect(page.locator("#notice")).to_contain_text("The server is busy.")
    expect(page.locator(".card.pending")).to_have_count(0)
    expect(page.locator("#notice")).to_have_text("")
    assert verdicts(page) == {"bright.png": "AI", "words.png": "AI"}


def test_too_many_requests_are_told_and_waited_for(page: "Page", batch: list[Path]) -> None:
    error = {"code": "too_many_requests", "message": "Too many came.", "request_id": "7"}
    page.route(
        "**/v1/detect", lambda route: route.fulfill(status=429, headers={"Retry-After": "1"}, json={"error": error})
    )
    page.set_input_files("#pick", batch[:2])
    notice = page.locator("#notice")
    expect(notice).to_have_text(
        "The server takes no more requests from here for now. 2 images wait, and this continues in 1 second."
    )
    check_accessible(page)
    page.unroute("**/v1/detect")
    expect(page.locator(".card.pending")).to_have_count(0)
    expect(notice).to_have_text("")


def test_a_key_is_asked_for_and_sent(
    visit: Callable[..., "Page"], start: Callable[..., "Served"], batch: list[Path]
) -> None:
    page = visit(start(api_keys=hash_key("sesame")), ready="#notice form")
    page.set_input_files("#pick", batch[:2])  # They wait.
    drop_link(page)
    expect(page.locator("#notice")).to_contain_text("That is a link.")
    page.get_by_label("This server asks for a key.").fill("wrong")
    with page.expect_response("**/v1/model") as answer:
        page.get_by_role("button", name="Continue").click()
    assert answer.value.status == 401
    page.get_by_label("The server does not accept this key. Enter another one:").fill("sesame")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(".card.pending")).to_have_count(0)
    assert verdicts(page) == {"bright.png": "AI", "words.png": "AI"}


def test_a_batch_outlives_the_server(
    visit: Callable[..., "Page"], start: Callable[..., "Served"], tmp_path: Path
) -> None:
    served = start()
    page = visit(served)
    slow_down(page, latency=400)
    paths = write(tmp_path, **{f"a{i}": picture(200) for i in range(14)})
    page.set_input_files("#pick", paths)
    expect(page.locator("#tally")).to_have_text(re.compile("^[3-9] of 14"))
    served.stop()
    expect(page.locator("#notice")).to_contain_text("The server does not answer. What was judged is kept")
    # Answers that were on their way still come.
    expect(page.locator(".card.pending .stamp").get_by_text(re.compile("Sending|Judging"))).to_have_count(0)
    kept = page.locator(".card.ai").count()
    assert 3 <= kept < 14
    expect(page.locator("#notice")).to_contain_text(f"and {14 - kept} image")
    page.wait_for_timeout(500)
    assert page.locator(".card.ai").count() == kept
    assert page.locator(".card.error").count() == 0
    slide(page, "1%")  # It works without the server.
    assert len(json.loads(exported(page, "JSON"))) == kept
    start(int(served.url.rstrip("/").rpartition(":")[2]))
    expect(page.locator(".card.ai")).to_have_count(14)
    expect(page.locator("#notice")).to_have_text("")
    found = json.loads(exported(page, "JSON"))
    assert [item["path"] for item in found] == [path.name for path in paths]


def test_another_model_behind_the_same_address_decides_only_what_it_judged(
    page: "Page", tmp_path: Path, served_bundle: Path
) -> None:
    [old, new] = write(tmp_path, old=picture(60), new=picture(60))
    judge(page, [old])
    bundle = load_bundle(served_bundle)
    info = msgspec.structs.replace(bundle.info, name="other", policy=Policy(max_fpr=0.05, max_fnr=0.001))
    found = Detector(replace(bundle, info=info)).detect(new.read_bytes(), path=new.name)
    card = {**json.loads(msgspec.json.encode(info)), "card": ""}
    model = {**card, "bundles": [card]}
    page.route(
        "**/v1/detect", lambda route: route.fulfill(json={"detections": [json.loads(msgspec.json.encode(found))]})
    )
    page.route("**/v1/model", lambda route: route.fulfill(json=model))
    judge(page, [new])
    for rate in ("1%", "5%", "30%"):
        slide(page, rate)
        assert verdicts(page) == {"old.png": "Real", "new.png": "Uncertain"}


def test_the_page_may_lie_in_a_folder_behind_a_proxy(page: "Page", server: "Served", batch: list[Path]) -> None:
    page.route(f"{server.url}**", lambda route: route.abort())
    # As a proxy does that takes its folder off the path.
    page.route("**/folder/**", lambda route: route.continue_(url=route.request.url.replace("/folder/", "/")))
    page.goto(f"{server.url}folder/")
    page.locator("#board").wait_for()
    judge(page, batch[:2])
    assert verdicts(page) == {"bright.png": "AI", "words.png": "AI"}


def test_the_page_waits_for_a_server_that_is_not_ready(page: "Page", server: "Served") -> None:
    page.route("**/v1/model", lambda route: route.abort())
    page.goto(server.url)
    expect(page.locator("#notice")).to_contain_text("The server does not answer.")
    page.unroute("**/v1/model")
    expect(page.locator("#board")).to_be_visible()
    expect(page.locator("#notice")).to_have_text("")


def test_everything_can_be_done_by_keyboard(page: "Page", batch: list[Path]) -> None:
    judge(page, batch)
    page.locator("body").press("Tab")
    expect(page.get_by_role("link", name="To the results")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    toggle = card(page, "bright.png").get_by_role("button", name="Evidence 1 of bright.png")
    expect(toggle).to_be_focused()
    page.keyboard.press("Enter")
    expect(toggle).to_have_attribute("aria-expanded", "true")
    expect(card(page, "bright.png").locator(".ledger")).to_be_visible()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Remove bright.png")).to_be_focused()
    page.keyboard.press("Enter")
    expect(cards(page)).to_have_count(5)
    # The focus goes to the next card.
    expect(card(page, "words.png").get_by_role("button", name="Evidence")).to_be_focused()
    # Which is the next that the filter shows.
    page.get_by_role("button", name="Real 2").press("Enter")
    expect(page.locator(".card:visible")).to_have_count(3)
    card(page, "words.png").get_by_role("button", name="Remove").press("Enter")
    expect(page.locator(".card:visible")).to_have_count(2)
    expect(card(page, "large.png").get_by_role("button", name="Evidence")).to_be_focused()
    page.get_by_role("button", name="Model: brightness 1").press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("small images")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [{}, PHONE], ids=["desktop", "phone"])
def test_axe_finds_no_violation_and_nothing_sticks_out(
    visit: Callable[..., "Page"], server: "Served", batch: list[Path], scheme: str, size: dict[str, Any]
) -> None:
    page = visit(server, color_scheme=scheme, reduced_motion="reduce", **size)
    check_accessible(page)
    judge(page, batch)
    card(page, "words.png").get_by_role("button", name=re.compile("Evidence")).press("Enter")
    card(page, "bright.png").get_by_role("button", name=re.compile("Evidence")).press("Enter")
    check_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if size:
        page.get_by_role("heading", name="6 images").click()
    page.get_by_role("button", name="Real 2").click()
    check_accessible(page)
    page.get_by_role("button", name="Model: brightness 1").click()
    check_accessible(page)


def test_a_low_window_is_left_to_the_images(visit: Callable[..., "Page"], server: "Served", batch: list[Path]) -> None:
    page = visit(server, viewport={"width": 320, "height": 256})  # 1280 × 1024 at 400%
    judge(page, batch)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    cards(page).last.scroll_into_view_if_needed()
    budget = page.locator("#budget").bounding_box()
    assert budget
    assert budget["y"] + budget["height"] < 0


def test_what_colours_tell_is_there_in_forced_colours(
    visit: Callable[..., "Page"], server: "Served", batch: list[Path]
) -> None:
    page = visit(server, forced_colors="active")
    judge(page, batch)
    colours = page.locator("#stack .ai, #stack .real, #stack .error").evaluate_all(
        "(parts) => parts.map((part) => getComputedStyle(part).backgroundColor)"
    )
    assert len(set(colours)) == 3


def test_the_page_is_small_and_asks_nobody_else(client: "TestClient") -> None:
    parts = [path for path in STATIC.rglob("*") if path.is_file()]
    sent = {path.name: client.get(f"/static/{path.name}", headers={"Accept-Encoding": "gzip"}) for path in parts}
    assert sent["page.js"].headers["content-encoding"] == "gzip"
    assert sent["page.js"].content == (STATIC / "page.js").read_bytes()
    assert sum(int(answer.headers["content-length"]) for answer in sent.values()) < 50_000
    for path in parts:
        foreign = re.findall(r"https?://[^\s\"')]*", path.read_text("utf-8"))
        assert set(foreign) <= {"http://www.w3.org/2000/svg"}, path.name
    html = (STATIC / "index.html").read_text("utf-8")
    assert not re.search(r"<style|\bstyle=|\bon\w+=|<script(?! type=\"module\" src=)", html)
