"""What the page decides by itself is what Python decides."""

import csv
import io
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from pictures import SETTINGS, camera, chessboard, picture

from pyrite.bundle import DEFAULT, load_bundle
from pyrite.bundle.calibration import Calibration
from pyrite.decision import Policy, Scope, decide, explain
from pyrite.detector import Detector
from pyrite.rendering.formats import write_csv, write_json
from pyrite.results import Detection, Evidence, Strength, Verdict

if TYPE_CHECKING:
    from playwright.sync_api import Page

Visiting = Callable[[], AbstractContextManager[Callable[..., "Page"]]]

RATES = (0.01, 0.0123, 0.05, 0.1, 0.29, 0.3, 0.5, 0.99)
FOUND = [
    (),
    (Evidence("generator", Strength.ASSERTED, Verdict.AI, "It says so."),),
    (Evidence("credentials", Strength.VERIFIED, Verdict.REAL, "A camera."),),
    (
        Evidence("generator", Strength.ASSERTED, Verdict.AI, "It says so."),
        Evidence("credentials", Strength.VERIFIED, Verdict.REAL, "A camera."),
    ),
    (
        Evidence("credentials", Strength.VERIFIED, Verdict.REAL, "A camera."),
        Evidence("credentials", Strength.VERIFIED, Verdict.AI, "A model."),
    ),
    (Evidence("camera", Strength.ASSERTED, None, "A camera."),),
    (Evidence("pixels", Strength.INFERRED, Verdict.AI, "They look it."),),
]


def run(page: "Page", module: str, body: str, **values: Any) -> Any:
    """Run `body` in the page, with the names of one of its modules and of `values`."""
    names = ", ".join(values)
    return page.evaluate(
        f"async ({{{names}}}) => {{ const own = await import('/static/{module}.js'); {body} }}",
        json.loads(msgspec.json.encode(values)),
    )


@pytest.fixture(scope="module")
def page(visiting: Visiting, server: Any) -> Iterator["Page"]:
    """One for all: these tests only call functions of its modules."""
    with visiting() as visit:
        yield visit(server)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    """Uneven, with ties, as rounded logits have them."""
    rng = random.Random(0)
    real, ai = ([round(rng.gauss(mean, 2), 1) for _ in range(count)] for mean, count in ((-2, 997), (2, 1503)))
    return Calibration(slope=0.83, intercept=-0.21, real_logits=tuple(sorted(real)), ai_logits=tuple(sorted(ai)))


@pytest.fixture(scope="module")
def logits(calibration: Calibration) -> list[float]:
    rng = random.Random(1)
    ends = [-1e6, -800.0, -1e-300, -0.0, 0.0, 800.0, 1e6]
    return [*ends, *calibration.real_logits[::3], *calibration.ai_logits[::3], *(rng.gauss(0, 4) for _ in range(3000))]


def test_probabilities_and_p_values_are_those_of_python(
    page: "Page", calibration: Calibration, logits: list[float]
) -> None:
    body = "return logits.map((x) => [own.probability, own.pReal, own.pAi].map((of) => of(calibration, x)))"
    probabilities, p_real, p_ai = zip(*run(page, "decision", body, calibration=calibration, logits=logits), strict=True)
    assert list(p_real) == calibration.p_real(logits).tolist()
    assert list(p_ai) == calibration.p_ai(logits).tolist()
    assert list(probabilities) == pytest.approx(calibration.probability(logits).tolist(), rel=1e-13, abs=0)


def test_verdicts_reasons_and_sentences_are_those_of_python(
    page: "Page", calibration: Calibration, logits: list[float]
) -> None:
    scope = Scope(min_side=32, max_side=2048, description="")
    sizes = [(32, 2048), (31, 500), (40, 12345)]
    values = list(zip(calibration.p_real(logits[::99]).tolist(), calibration.p_ai(logits[::99]).tolist(), strict=True))
    # Where the shares in the sentences are rounded at a half, and where p-value and budget are the same.
    values += [(p, p) for p in (0.0005, 0.0015, 0.0025, 0.0345, 0.01, 0.05, 0.3, 1.0)]
    policies = [Policy(max_fpr=rate, max_fnr=other) for rate in RATES for other in (0.02, 0.05)]
    body = """
        const results = [];
        for (const policy of policies) for (const size of sizes) for (const evidence of found) {
          for (const [p, q] of values) {
            const [verdict, reason] = own.decide(p, q, own.inScope(scope, ...size), policy, evidence);
            results.push([verdict, reason, own.explain(verdict, reason, p, q, scope, size, evidence)]);
          }
        }
        return results;
    """
    expected = []
    for policy in policies:
        for size in sizes:
            for evidence in FOUND:
                for p, q in values:
                    verdict, reason = decide(p, q, scope.contains(*size), policy, evidence)
                    expected.append([verdict, reason, explain(verdict, reason, p, q, scope, size, evidence)])
    theirs = run(page, "decision", body, policies=policies, sizes=sizes, found=FOUND, values=values, scope=scope)
    assert theirs == expected
    assert {reason for _, reason, _ in expected} == {
        "pixels", "borderline", "unlike_both", "out_of_scope", "verified", "asserted",
    }  # fmt: skip


@pytest.fixture(scope="module")
def images() -> list[bytes]:
    """Of every verdict and reason that pixels can have, with evidence, out of scope, and no image at all."""
    return [
        *(picture(brightness) for brightness in range(20, 240, 8)),
        picture(200, size=100),
        picture(60, parameters=SETTINGS),
        camera(),
        chessboard(),
        b"",
        b"no image",
    ]


@pytest.mark.parametrize("rate", [0.01, 0.03, 0.2, 0.6])
def test_another_budget_gives_what_the_detector_gives_with_it(
    page: "Page", served_bundle: Path, images: list[bytes], rate: float
) -> None:
    bundle = load_bundle(served_bundle)
    usual, other = Detector(bundle), Detector(bundle, max_fpr=rate)
    before = [usual.detect(image, path="a.png") for image in images]
    again = run(
        page, "decision", "return before.map((found) => own.decideAgain(found, model, rate))",
        before=before, model=bundle.info, rate=rate,
    )  # fmt: skip
    after = [other.detect(image, path="a.png") for image in images]
    assert again == json.loads(msgspec.json.encode(after))
    assert before != after


@pytest.fixture(scope="module")
def models(calibration: Calibration) -> list[dict[str, Any]]:
    """One whose classes overlap, and one that tells them apart so well that a large budget finds no more."""
    info = load_bundle(DEFAULT).info
    return [
        {"calibration": calibration, "policy": Policy()},
        {"calibration": info.calibration, "policy": info.policy},
    ]


def count(model: dict[str, Any], logits: Sequence[float], rate: float) -> dict[str, float]:
    """Return which share of these logits gets each verdict."""
    calibration, policy = model["calibration"], Policy(max_fpr=rate, max_fnr=model["policy"].max_fnr)
    p_values = zip(calibration.p_real(logits).tolist(), calibration.p_ai(logits).tolist(), strict=True)
    counts = Counter(str(decide(p, q, True, policy)[0]) for p, q in p_values)
    return {verdict: counts[verdict] / len(logits) for verdict in ("ai", "uncertain", "real")}


def test_what_a_budget_means_is_counted_as_python_counts_it(page: "Page", models: list[dict[str, Any]]) -> None:
    for model in models:
        calibration = model["calibration"]
        classes = [calibration.real_logits, calibration.ai_logits]
        given = {"smallest": calibration.smallest_p_real, "default": 0.0123}
        rates = [*run(page, "budget", "return own.budgets(given)", given=given), 0.5, 0.99]
        body = "return rates.map((rate) => classes.map((logits) => own.sharesOf(logits, model, rate)))"
        theirs = run(page, "budget", body, rates=rates, classes=classes, model=model)
        useful = run(page, "budget", "return own.largestUseful(model)", model=model)
        most = max(count(model, calibration.ai_logits, rate)["ai"] for rate in rates)
        for rate, shares in zip(rates, theirs, strict=True):
            real, ai = (count(model, logits, rate) for logits in classes)
            assert shares == [pytest.approx(real), pytest.approx(ai)]
            assert real["ai"] <= rate  # What is told in words.
            assert (ai["ai"] < most) == (rate < useful)


def test_borders_are_where_verdicts_change(page: "Page", models: list[dict[str, Any]]) -> None:
    for model in models:
        calibration, policy = model["calibration"], model["policy"]
        for rate in RATES:
            # Just above the border of `ai`, images are unlike real ones; at it, they are not.
            borders = run(page, "budget", "return own.borders(model, rate)", model=model, rate=rate)
            assert calibration.p_real(borders["ai"]) > rate >= calibration.p_real(borders["ai"] + 1e-9)
            assert calibration.p_ai(borders["real"]) > policy.max_fnr >= calibration.p_ai(borders["real"] - 1e-9)
            # Where they cross, `ai` begins with what is like AI images as well.
            begins = max(borders.values())
            assert count(model, [begins + 1e-9], rate)["ai"] == 1
            assert count(model, [begins - 1e-9], rate)["ai"] == 0
            told = run(page, "chart", "return own.borderOfAi(model, rate)", model=model, rate=rate)
            assert float(told.rstrip("%")) == pytest.approx(100 * calibration.probability(begins), abs=0.05)


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0.01, "Of 1,000 real photos at most about 10 would be called AI"),
        (0.05, "Of 1,000 real photos at most about 50 would be called AI"),
        (0.015, "Of 1,000 real photos at most about 15 would be called AI"),
        (0.0015, "Of 10,000 real photos at most about 15 would be called AI"),
        (0.0005, "Of 10,000 real photos at most about 5 would be called AI"),
        (0.000012, "Of 1,000,000 real photos at most about 12 would be called AI"),
    ],
)
def test_a_budget_is_told_as_a_count_of_photos(page: "Page", rate: float, text: str) -> None:
    assert run(page, "budget", "return own.describeBudget(rate)", rate=rate) == text


def test_the_budgets_to_choose_from_are_in_range_and_have_the_server_s_own(page: "Page") -> None:
    rates = run(page, "budget", "return own.budgets(given)", given={"smallest": 0.000498, "default": 0.037})
    assert rates == sorted(set(rates))
    assert rates[0] == 0.000498
    assert {0.001, 0.01, 0.037, 0.05, 0.1} <= set(rates)
    assert rates[-1] <= 0.3


def test_a_model_s_card_is_drawn_as_elements(page: "Page") -> None:
    bundle = load_bundle(DEFAULT)
    card = bundle.files["card.md"].decode() + "\n- <img src=x>\n"
    info = json.loads(msgspec.json.encode(bundle.info))
    body = "return own.drawModel(model).map((part) => part.outerHTML ?? part).join('')"
    drawn = run(page, "about", body, model={**info, "card": card})
    assert "<dd>2,000 real images and 2,000 AI images</dd>" in drawn
    assert "<h3>By object</h3><table><tr><td></td><th>images</th><th>accuracy</th>" in drawn
    assert "<tr><th>airplane</th><td>968</td>" in drawn
    assert "<li>&lt;img src=x&gt;</li>" in drawn
    assert not re.search(r"\||`|# |---", drawn)


HOSTILE = '=1+1,"a"\n\'"><img src=x onerror=alert(1)>'


@pytest.fixture(scope="module")
def detections(served_bundle: Path, images: list[bytes]) -> list[Detection]:
    detector = Detector(served_bundle)
    found = [detector.detect(image, path=f"{i}.png") for i, image in enumerate(images)]
    return [*found, replace(found[0], path=HOSTILE), replace(found[1], path="-1.png", explanation="@here; ä")]


def test_json_is_that_of_the_command_line(page: "Page", detections: list[Detection]) -> None:
    stream = io.StringIO()
    write_json(detections, stream)
    text = run(page, "formats", "return own.toJson(detections)", detections=detections)
    assert json.loads(text) == json.loads(stream.getvalue())


def test_csv_is_that_of_the_command_line(page: "Page", detections: list[Detection]) -> None:
    stream = io.StringIO()
    write_csv(detections, stream)
    text = run(page, "formats", "return own.toCsv(detections)", detections=detections)
    ours, theirs = (
        list(csv.DictReader(io.StringIO(content), quoting=csv.QUOTE_NONNUMERIC))
        for content in (stream.getvalue(), text.removeprefix("\ufeff"))
    )
    assert text.startswith("\ufeff")
    assert theirs == ours
    assert theirs[-2]["path"] == f"'{HOSTILE}"


def test_the_twin_is_the_one_that_the_page_uses(page: "Page", server: Any) -> None:
    loaded = page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert f"{server.url}static/decision.js" in loaded
    assert f"{server.url}static/budget.js" in loaded
