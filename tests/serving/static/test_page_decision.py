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

from pyrite.bundle import DEFAULT, Bundle, load_bundle
from pyrite.bundle.calibration import Calibration
from pyrite.decision import Policy, Scope, decide, explain, is_scored
from pyrite.detector import Detector
from pyrite.rendering.formats import write_csv, write_json
from pyrite.rendering.text import budget_line
from pyrite.rendering.unjudged import NEXT_SIZE, is_unjudged, looked_at, next_steps
from pyrite.results import Detection, Evidence, Reason, Strength, Verdict

if TYPE_CHECKING:
    from playwright.sync_api import Page

Visiting = Callable[[], AbstractContextManager[Callable[..., "Page"]]]

RATES = (0.01, 0.0123, 0.05, 0.1, 0.29, 0.3, 0.5, 0.99)


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


def kept(mean: float, count: int) -> tuple[float, ...]:
    """Return logits with ties, as rounded ones have them."""
    rng = random.Random(count)
    return tuple(sorted(round(rng.gauss(mean, 2), 1) for _ in range(count)))


CALIBRATIONS = {
    "uneven": Calibration(slope=0.83, intercept=-0.21, real={"all": kept(-2, 997)}, ai={"all": kept(2, 1503)}),
    # Of which one is too small for most budgets.
    "groups": Calibration(
        slope=1.2,
        intercept=0.4,
        real={"camera": kept(-2, 400), "phone": kept(-1, 333), "scan": kept(-3, 40)},
        ai={"one": kept(2, 500), "another": kept(3, 70)},
    ),
    "real alone": Calibration(real={"camera": kept(-2, 400), "phone": kept(-1, 333)}),
    "nothing": Calibration(),
}


def test_counts_of_a_thousand_sum_to_it(page: "Page") -> None:
    rng = random.Random(0)
    cases = [[1 / 3, 1 / 3, 1 / 3], [0.0096, 0.0466, 0.9438], [0.0, 0.0, 1.0], [0.0004, 0.9992, 0.0004]]
    cases += [[a, (1 - a) * b, (1 - a) * (1 - b)] for a, b in ((rng.random(), rng.random()) for _ in range(200))]
    found = run(page, "budget", "return cases.map(own.inThousand)", cases=cases)
    for shares, counts in zip(cases, found, strict=True):
        assert sum(counts) == 1000
        assert all(abs(count - 1000 * share) < 1 for share, count in zip(shares, counts, strict=True))


def pooled(groups: dict[str, tuple[float, ...]]) -> list[float]:
    return [logit for group in groups.values() for logit in group]


def listed(values: Any) -> list[float] | None:
    return None if values is None else values.tolist()


@pytest.fixture(params=CALIBRATIONS.values(), ids=CALIBRATIONS)
def calibration(request: pytest.FixtureRequest) -> Calibration:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def logits(calibration: Calibration) -> list[float]:
    rng = random.Random(1)
    ends = [-1e6, -800.0, -1e-300, -0.0, 0.0, 800.0, 1e6]
    some = [*pooled(calibration.real)[::3], *pooled(calibration.ai)[::3]]
    return [*ends, *some, *(rng.gauss(0, 4) for _ in range(3000))]


def test_probabilities_and_p_values_are_those_of_python(
    page: "Page", calibration: Calibration, logits: list[float]
) -> None:
    body = "return [own.probability, own.pReal, own.pAi].map((of) => logits.map((x) => of(calibration, x)))"
    theirs = run(page, "decision", body, calibration=calibration, logits=logits)
    nothing = [None] * len(logits)
    probabilities = listed(calibration.probability(logits))
    assert theirs[0] == (nothing if probabilities is None else pytest.approx(probabilities, rel=1e-13, abs=0))
    assert theirs[1] == (listed(calibration.p_real(logits)) or nothing)
    assert theirs[2] == (listed(calibration.p_ai(logits)) or nothing)


def test_verdicts_reasons_and_sentences_are_those_of_python(page: "Page") -> None:
    # Where the shares in the sentences are rounded at a half, where p-value and budget are the same, and without them.
    some = (None, 0.0005, 0.0015, 0.0025, 0.0345, 0.01, 0.02, 0.05, 0.3, 0.7, 1.0)
    values = [(p, q) for p in some for q in some]
    policies = [
        Policy(max_fpr=rate, max_fnr=other, real_needs_provenance=strict)
        for rate in RATES
        for other in (0.02, 0.05)
        for strict in (False, True)
    ]
    names = [[], ["SD 1.4"], ["SD 1.4", "FLUX"], [*"ABCDE"]]
    body = """
        return policies.flatMap((policy) => values.map(([p, q]) => {
          const [verdict, reason] = own.decide(p, q, policy);
          const told = (knows) => own.explain(verdict, reason, p, q, knows);
          return [verdict, reason, own.isScored(reason) ? names.map(told) : null];
        }));
    """
    expected = []
    for policy in policies:
        for p, q in values:
            verdict, reason = decide(p, q, True, policy)
            told = [explain(verdict, reason, p, q, knows=knows) for knows in names]
            why = told if is_scored(reason) else None
            expected.append([verdict, reason, why])
    assert run(page, "decision", body, policies=policies, values=values, names=names) == expected
    assert {reason for _, reason, _ in expected} == {"pixels", "borderline", "unproven", "uncalibrated"}
    reasons = list(Reason)
    theirs = run(page, "decision", "return reasons.map((reason) => own.isScored(reason))", reasons=reasons)
    assert theirs == [is_scored(reason) for reason in reasons]


def test_no_verdict_stands_beside_a_probability_that_contradicts_it(page: "Page") -> None:
    cases = [(verdict, p) for verdict in Verdict for p in (None, 0.0, 0.327, 0.4999, 0.5, 0.5001, 0.9, 1.0)]
    theirs = run(page, "decision", "return cases.map(([verdict, p]) => own.budgetLine(verdict, p))", cases=cases)
    assert theirs == [budget_line(verdict, p) for verdict, p in cases]
    assert set(theirs) == {
        None, "above the threshold of your budget", "below the threshold of your budget",
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


KINDS = ("usual", "groups", "real", "nothing", "unproven", "strict", "large", "both", "some in scope", "one calibrated")


def detectors_of(bundle: Bundle) -> dict[str, tuple[Bundle, ...]]:
    """Return bundles of the same model with every kind of calibration, alone and as panels."""
    info = bundle.info
    changed = {
        name: replace(bundle, info=msgspec.structs.replace(info, name=name, **changes))
        for name, changes in {
            "groups": {
                "calibration": Calibration(
                    slope=1.0,
                    intercept=0.5,
                    real={"a": info.calibration.real["all"], "b": tuple(i / 10 for i in range(-150, -30))},
                    ai={"a": info.calibration.ai["all"], "b": tuple(i / 10 for i in range(-5, 30))},
                )
            },
            "real": {"calibration": Calibration(real=info.calibration.real)},
            "nothing": {"calibration": Calibration()},
            "unproven": {"policy": Policy(real_needs_provenance=True), "knows": ("SD 1.4", "FLUX")},
            "strict": {"policy": Policy(max_fnr=0.005)},  # Too few AI images for that, so none is called real.
            "large": {
                "scope": Scope(min_side=33, max_side=None, description="larger ones"),
                "policy": Policy(max_fnr=0.02),
            },
        }.items()
    }
    alone = {name: (one,) for name, one in {"usual": bundle, **changed}.items()}
    panels = {
        "both": (bundle, changed["groups"]),
        "some in scope": (bundle, changed["large"], changed["real"]),
        "one calibrated": (changed["nothing"], bundle),
    }
    return {**alone, **panels}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [0.02, 0.03, 0.2, 0.6])
def test_another_budget_gives_what_the_detector_gives_with_it(
    page: "Page", served_bundle: Path, images: list[bytes], kind: str, rate: float
) -> None:
    detector = Detector(bundles=detectors_of(load_bundle(served_bundle))[kind])
    prepared = [detector.reader.read(image, path="a.png") for image in images]
    before = detector.score(prepared)
    model = {**msgspec.to_builtins(detector.bundles[0].info), "policy": detector.policy}
    again = run(
        page, "decision", "return before.map((found) => own.decideAgain(found, model, rate))",
        before=before, model=model, rate=rate,
    )  # fmt: skip
    policy = msgspec.structs.replace(detector.policy, max_fpr=rate)
    after = detector.score(prepared, [policy] * len(prepared))
    assert again == json.loads(msgspec.json.encode(after))
    if rate == 0.6:
        changed = [one.verdict for one in before] != [one.verdict for one in after]
        # Elsewhere the classes lie so far apart that a larger budget finds no more.
        assert changed == (kind in ("real", "strict"))


def test_what_was_looked_at_is_told_as_in_python(page: "Page", served_bundle: Path, images: list[bytes]) -> None:
    detectors = detectors_of(load_bundle(served_bundle))
    found = [Detector(bundles=detectors[kind]).detect(image) for kind in ("usual", "some in scope") for image in images]
    unread = Evidence("reader", Strength.INFERRED, None, "Something was not read.")
    signed = Evidence("credentials", Strength.VERIFIED, Verdict.REAL, "A camera.")
    found += [as_foreign(one) for one in found if one.reason is Reason.OUT_OF_SCOPE]
    found += [replace(one, evidence=(unread, signed, *one.evidence)) for one in found]
    found += [replace(one, reason=Reason.VERIFIED) for one in found]
    theirs = run(
        page, "unjudged", "return found.map((one) => (own.isUnjudged(one) ? own.lookedAt(one) : null))", found=found
    )
    assert theirs == [looked_at(one) if is_unjudged(one) else None for one in found]
    told = {one["File"] for one in theirs if one}
    assert any("No evidence found" in text for text in told)
    assert any("rests on that" in text for text in told)
    assert None in theirs
    assert len({one["Pixels"] for one in theirs if one}) == 2
    outside = [one for one in found if one.reason is Reason.OUT_OF_SCOPE]
    steps = run(page, "unjudged", "return found.map(own.nextSteps)", found=outside)
    assert steps == [list(next_steps(one)) for one in outside]
    assert len({one[0] for one in steps}) == 2
    # What is told of the bundle that comes with Pyrite is so.
    assert f"knows only images of {load_bundle(DEFAULT).info.scope.sizes} pixels a side" in NEXT_SIZE


def as_foreign(found: Detection) -> Detection:
    """Return a detection that is out of scope by its size, as if it were by how it looks."""
    return replace(
        found,
        evidence=tuple(
            replace(item, data={**item.data, "p_typical": 0.004}) if item.kind == "pixels" else item
            for item in found.evidence
        ),
    )


@pytest.fixture
def models() -> list[dict[str, Any]]:
    """Two whose classes overlap, and one that tells them apart so well that a large budget finds no more."""
    info = load_bundle(DEFAULT).info
    return [
        {"calibration": CALIBRATIONS["uneven"], "policy": Policy()},
        {"calibration": CALIBRATIONS["groups"], "policy": Policy()},
        {"calibration": info.calibration, "policy": info.policy},
    ]


def count(model: dict[str, Any], logits: Sequence[float], rate: float) -> dict[str, float]:
    """Return which share of these logits gets each verdict."""
    calibration, policy = model["calibration"], Policy(max_fpr=rate, max_fnr=model["policy"].max_fnr)
    nothing = [None] * len(logits)
    p_real, p_ai = (listed(p) or nothing for p in (calibration.p_real(logits), calibration.p_ai(logits)))
    p_values = zip(p_real, p_ai, strict=True)
    counts = Counter(str(decide(p, q, True, policy)[0]) for p, q in p_values)
    return {verdict: counts[verdict] / len(logits) for verdict in ("ai", "uncertain", "real")}


def test_what_a_budget_means_is_counted_as_python_counts_it(page: "Page", models: list[dict[str, Any]]) -> None:
    for model in models:
        calibration = model["calibration"]
        classes = [pooled(calibration.real), pooled(calibration.ai)]
        given = {"smallest": calibration.smallest_p_real, "default": 0.0123}
        rates = [*run(page, "budget", "return own.budgets(given)", given=given), 0.5, 0.99]
        body = "return rates.map((rate) => classes.map((logits) => own.sharesOf(logits, model, rate)))"
        theirs = run(page, "budget", body, rates=rates, classes=classes, model=model)
        useful = run(page, "budget", "return own.largestUseful(model)", model=model)
        most = max(count(model, classes[1], rate)["ai"] for rate in rates)
        for rate, shares in zip(rates, theirs, strict=True):
            real, ai = (count(model, logits, rate) for logits in classes)
            assert shares == [pytest.approx(real), pytest.approx(ai)]
            assert real["ai"] <= rate  # What is told in words.
            assert (ai["ai"] < most) == (rate < useful)


def test_what_a_budget_means_where_only_real_images_calibrated(page: "Page") -> None:
    model = {"calibration": CALIBRATIONS["real alone"], "policy": Policy(), "bundles": [{}]}
    real = pooled(model["calibration"].real)
    for rate in RATES:
        theirs = run(page, "budget", "return own.sharesOf(real, model, rate)", real=real, model=model, rate=rate)
        assert theirs == pytest.approx(count(model, real, rate))
        assert theirs["real"] == 0
    # A larger budget always finds more, and no score is so low that it would be called real.
    body = "return [own.largestUseful(model), own.borders(model, 0.05).real].map(String)"
    assert run(page, "budget", body, model=model) == ["Infinity", "-Infinity"]
    assert run(page, "chart", "return own.borderOfAi(model, 0.05)", model=model) is None
    body = "return [model, nothing, { ...model, bundles: [model, model] }].map(own.hasChart)"
    nothing = {**model, "calibration": CALIBRATIONS["nothing"]}
    assert run(page, "chart", body, model=model, nothing=nothing) == [True, False, False]
    drawn = run(page, "chart", "return own.drawChart(model, 0.05, [1], '').outerHTML", model=model)
    assert "NaN" not in drawn
    assert "Infinity" not in drawn


def test_borders_are_where_verdicts_change(page: "Page", models: list[dict[str, Any]]) -> None:
    for model in models:
        calibration = model["calibration"]
        for rate in RATES:
            # Just above the border of `ai`, images are unlike real ones; at it, they are not.
            borders = run(page, "budget", "return own.borders(model, rate)", model=model, rate=rate)
            if borders["ai"] == float("inf"):  # A group is too small to resolve this budget.
                assert calibration.p_real(1e9) > rate
                continue
            begins, ends = borders["ai"], borders["real"]
            assert begins >= ends
            assert count(model, [begins + 1e-8], rate)["ai"] == 1
            assert count(model, [begins - 1e-8], rate)["ai"] == 0
            assert count(model, [ends + 1e-8], rate)["real"] == 0
            assert count(model, [ends - 1e-8], rate)["real"] == 1
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
    alone = {**info, "card": card}
    drawn = run(page, "about", body, model={**info, "bundles": [alone]})
    both = run(page, "about", body, model={**info, "bundles": [alone, {**alone, "name": "another", "card": ""}]})
    assert "<dd>2,000 real images and 2,000 AI images</dd>" in drawn
    assert "<h3>By object</h3><table><tr><td></td><th>images</th><th>accuracy</th>" in drawn
    assert "<tr><th>airplane</th><td>968</td>" in drawn
    assert "<li>&lt;img src=x&gt;</li>" in drawn
    assert not re.search(r"\||`|# |---", drawn)
    # Of several, each has its own, and they have no calibration in common.
    assert re.findall(f"<h3>([a-z]+) {bundle.info.version}</h3>", both) == ["default", "another"]
    assert "Calibrated on" not in both


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
