"""The estimated share of AI images, against values worked out elsewhere."""

import itertools
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from corpora import read_rows

from pyrite.bundle import Bundle
from pyrite.scanning import scan
from pyrite.scanning.prevalence import Rates, estimate_share, read_rates, read_slice_rates
from pyrite.scanning.summary import Summary

# The counts of a published serology: 3 of 263 positive, by a test that was wrong for 1 of 89 and 2 of 134.
HEPATITIS = Rates(real=134, real_called_ai=2, ai=89, ai_called_ai=88)


def verdicts(real_ai: int, ai_ai: int) -> list[dict[str, int]]:
    """Return the verdicts on 100 real and on 100 AI images, of which so many are `ai`."""
    return [{"ai": ai, "real": 100 - ai, "uncertain": 0} for ai in (real_ai, ai_ai)]


def report(*, max_fpr: float = 0.05, real_ai: int = 10, ai_ai: int = 80) -> bytes:
    rows = [{"ai": real_ai, "real": 90 - real_ai, "uncertain": 10}, {"ai": ai_ai, "real": 15, "uncertain": 5}]
    return msgspec.json.encode({"max_fpr": max_fpr, "as_is": {"verdicts": rows}, "deduplicated": None, "more": 1})


def few_images() -> bytes:
    """Return a report that saw two of 30 AI images found and no false alarm in five: too little to tell them apart."""
    rows = [{"ai": 0, "real": 5, "uncertain": 0}, {"ai": 2, "real": 28, "uncertain": 0}]
    return msgspec.json.encode({"max_fpr": 0.05, "as_is": {"verdicts": rows}, "deduplicated": None})


def lang_reiczigel(x: int, n: int, rates: Rates) -> tuple[float, float]:
    """Return the interval, written down from the paper with its own names and order."""
    z = 1.959963984540054
    se, n_se = rates.ai_called_ai / rates.ai, rates.ai
    sp, n_sp = 1 - rates.real_called_ai / rates.real, rates.real
    n1, ap1 = n + z * z, (x + z * z / 2) / (n + z * z)
    n_se1, n_sp1 = n_se + 2, n_sp + 2
    se1, sp1 = (n_se * se + 1) / n_se1, (n_sp * sp + 1) / n_sp1
    p1 = (ap1 + sp1 - 1) / (se1 + sp1 - 1)
    dp = 2 * z * z * (p1 * se1 * (1 - se1) / n_se1 - (1 - p1) * sp1 * (1 - sp1) / n_sp1)
    var = ap1 * (1 - ap1) / n1 + p1**2 * se1 * (1 - se1) / n_se1 + (1 - p1) ** 2 * sp1 * (1 - sp1) / n_sp1
    half = z * (var / (se1 + sp1 - 1) ** 2) ** 0.5
    return max(0.0, p1 + dp - half), min(1.0, p1 + dp + half)


def test_the_share_is_rogan_and_gladens() -> None:
    rates = Rates(real=1000, real_called_ai=50, ai=1000, ai_called_ai=850)
    found = estimate_share(210, 1000, rates)
    assert found
    assert found.value == pytest.approx((0.21 - 0.05) / (0.85 - 0.05))  # 0.2


@pytest.mark.parametrize(
    ("flagged", "images", "rates"),
    [
        (3, 263, HEPATITIS),
        (210, 1000, Rates(real=1000, real_called_ai=50, ai=1000, ai_called_ai=850)),
        (900, 1000, Rates(real=60, real_called_ai=3, ai=50, ai_called_ai=48)),
    ],
)
def test_the_interval_is_lang_and_reiczigels(flagged: int, images: int, rates: Rates) -> None:
    found = estimate_share(flagged, images, rates)
    assert found
    low, high = lang_reiczigel(flagged, images, rates)
    assert (found.low, found.high) == pytest.approx((min(low, found.value), max(high, found.value)), abs=1e-12)


@pytest.mark.parametrize("truth", [0.02, 0.3, 0.9])
def test_the_interval_holds_the_true_share_as_often_as_it_says(truth: float) -> None:
    generator = np.random.default_rng(0)
    fpr, tpr, tested, images, held = 0.05, 0.8, 400, 2000, 0
    for _ in range(2000):
        rates = Rates(tested, generator.binomial(tested, fpr), tested, generator.binomial(tested, tpr))
        flagged = generator.binomial(images, truth * tpr + (1 - truth) * fpr)
        found = estimate_share(int(flagged), images, rates)
        assert found
        held += found.low <= truth <= found.high
    assert 0.935 <= held / 2000 <= 0.985


def test_the_share_stays_within_0_and_1_and_within_its_interval() -> None:
    for flagged in (0, 1, 99, 100):
        found = estimate_share(flagged, 100, HEPATITIS)
        assert found
        assert 0 <= found.low <= found.value <= found.high <= 1
    assert estimate_share(0, 0, HEPATITIS) is None


def test_rates_come_from_the_report_at_its_error_budget(bundle: Bundle) -> None:
    with_report = replace(bundle, files={**bundle.files, "report.json": report()})
    assert read_rates([with_report], 0.05) == Rates(real=100, real_called_ai=10, ai=100, ai_called_ai=80)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (None, "has no report.json"),
        (b"{}", "is not a report"),
        (report(max_fpr=0.01), "measured at --max-fpr 0.01"),
        (report(real_ai=81), "do not show the share"),
        (few_images(), "with too few images to show the share: 5 real and 30 AI"),
    ],
)
def test_without_rates_there_is_a_reason(bundle: Bundle, data: bytes | None, why: str) -> None:
    files = {**bundle.files} | ({"report.json": data} if data else {})
    found = read_rates([replace(bundle, files=files)], 0.05)
    assert isinstance(found, str)
    assert why in found


def test_a_scan_tells_the_share_of_each_partition_by_what_the_pixels_say(
    bundle: Bundle, corpus: Path, tmp_path: Path
) -> None:
    with_report = replace(bundle, files={**bundle.files, "report.json": report()})
    found = scan(str(corpus), tmp_path / "out", with_report, engine="local")
    rows = [row for row in read_rows(tmp_path / "out") if row["in_scope"]]
    assert found.rates == Rates(real=100, real_called_ai=10, ai=100, ai_called_ai=80)
    for name, part in (*found.partitions.items(), (None, found.total)):
        these = [row for row in rows if name in (None, row["partition"])]
        flagged = sum(row["pixels_say"] == "ai" for row in these)
        assert part.share == estimate_share(flagged, len(these), found.rates)
    assert found.partitions["."].share is None  # Its one file is no image.
    assert found.partitions["."].no_share == "No image could be read."
    assert found.total.no_share is None
    assert found.total.share
    assert found.total.share.images == 60


def test_a_partition_is_corrected_by_the_rates_of_its_own_slice(bundle: Bundle, corpus: Path, tmp_path: Path) -> None:
    report = {
        "max_fpr": 0.05,
        "as_is": {
            "verdicts": verdicts(10, 80),
            "slices": [
                {"column": "place", "rows": [{"value": "dark", "verdicts": verdicts(1, 90)}, {"value": "light"}]},
                {"column": "camera", "rows": [{"value": "light", "verdicts": verdicts(40, 30)}]},
            ],
        },
    }
    with_report = replace(bundle, files={**bundle.files, "report.json": msgspec.json.encode(report)})
    own, every = Rates(100, 1, 100, 90, slice="place: dark"), Rates(100, 10, 100, 80)
    assert read_slice_rates(with_report) == {"dark": own}
    scan(str(corpus), tmp_path / "out", with_report, engine="local")
    summary = msgspec.json.decode((tmp_path / "out/summary.json").read_bytes(), type=Summary)
    for name, rates in (("dark", own), ("light", every)):
        share = summary.partitions[name].share
        assert share
        assert share.rates == rates
        assert share == estimate_share(share.flagged, share.images, rates)
    assert summary.total.share
    assert summary.total.share.rates == summary.rates == every


def test_a_slice_that_tells_no_share_is_not_taken(bundle: Bundle) -> None:
    rows = [{"value": name, "verdicts": verdicts(*called)} for name, called in (("a", (50, 50)), ("b", (20, 10)))]
    one_class = {"value": "c", "verdicts": [{"ai": 0, "real": 0, "uncertain": 0}, {"ai": 9, "real": 1, "uncertain": 0}]}
    slices = [{"column": "place", "rows": [*rows, one_class, {"value": "", "verdicts": verdicts(1, 90)}]}]
    report = {"max_fpr": 0.05, "as_is": {"verdicts": verdicts(10, 80), "slices": slices}}
    assert read_slice_rates(replace(bundle, files={"report.json": msgspec.json.encode(report)})) == {}


def test_the_shares_reason_is_in_the_summary(bundle: Bundle, corpus: Path, tmp_path: Path) -> None:
    scan(str(corpus), tmp_path / "out", bundle, engine="local")
    summary = msgspec.json.decode((tmp_path / "out/summary.json").read_bytes(), type=Summary)
    for part in (summary, summary.total, *summary.partitions.values()):
        assert part.no_share == "The bundle has no report.json, so the rates of its errors are not known."


def test_rates_of_any_counts_tell_a_share_with_an_interval_or_none() -> None:
    for real, ai in itertools.product(range(1, 13), repeat=2):
        for alarms, found in itertools.product(range(real + 1), range(ai + 1)):
            rates = Rates(real, alarms, ai, found)
            if rates.tell:
                share = estimate_share(200, 1000, rates)
                assert share
                assert share.low < share.high, rates
    assert not Rates(5, 0, 30, 2).tell
    assert not Rates(9, 0, 20, 1).tell
