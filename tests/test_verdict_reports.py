"""A report of a verdict is a test: what it says holds, or what it should have said does now."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
import yaml

from pyrite.bundle import DEFAULT, Bundle, load_bundle
from pyrite.detector import Detector
from pyrite.golden import TOLERANCE
from pyrite.results import Verdict
from verdict_reports import FOLDER, ReportedVerdict, read_reports


def replay(reported: ReportedVerdict, here: Sequence[Bundle]) -> None:
    """Judge an image again, and hold the answer to what its report expects.

    It is skipped where the bundles that judged are not among those that are here.
    """
    report, then = reported.report, reported.report.detection
    wanted = [(one.name, None if report.expected else one.sha256) for one in report.bundles]
    there = {(one.info.name, None if report.expected else one.sha256): one for one in here}
    if missing := [name for name, sha256 in wanted if (name, sha256) not in there]:
        pytest.skip(f"Not here as it was: the bundle {', '.join(missing)}.")
    now = Detector(bundles=[there[one] for one in wanted], max_fpr=then.max_fpr).detect(reported.image)
    assert now.verdict == (report.expected or then.verdict), now.explanation
    if report.expected is None and then.logit is not None:
        assert now.logit is not None
        assert abs(now.logit - then.logit) <= TOLERANCE * max(1, abs(then.logit))


@pytest.mark.parametrize("reported", read_reports(), ids=lambda reported: reported.image.stem)
def test_a_reported_image_gets_the_verdict_that_is_expected(reported: ReportedVerdict) -> None:
    replay(reported, [load_bundle(DEFAULT)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("0-real.json", "0-real.png"):
        shutil.copy(FOLDER / name, tmp_path)
    return tmp_path


def rewrite(folder: Path, **changes: object) -> ReportedVerdict:
    """Return the report in a folder with other content."""
    [one] = read_reports(folder)
    changed = msgspec.structs.replace(one.report, **changes)
    (folder / "0-real.json").write_bytes(msgspec.json.encode(changed))
    [one] = read_reports(folder)
    return one


def test_a_wrong_verdict_fails_until_it_is_mended(folder: Path, bundle: Bundle) -> None:
    bundles = [load_bundle(DEFAULT)]
    with pytest.raises(AssertionError, match="No trace"):
        replay(rewrite(folder, expected=Verdict.AI), bundles)
    replay(rewrite(folder, expected=Verdict.REAL), bundles)


def test_a_verdict_by_a_bundle_that_is_not_here_is_skipped(folder: Path, bundle: Bundle) -> None:
    [one] = read_reports(folder)
    with pytest.raises(pytest.skip.Exception, match="default"):
        replay(one, [bundle])


def test_a_report_without_its_own_image_is_told(folder: Path) -> None:
    (folder / "0-real.png").write_bytes(b"another")
    with pytest.raises(ValueError, match="SHA-256 differs"):
        read_reports(folder)
    (folder / "0-real.png").unlink()
    with pytest.raises(ValueError, match="needs its image"):
        read_reports(folder)


def test_the_issue_template_asks_for_what_makes_a_test() -> None:
    template = FOLDER.parents[1] / ".github" / "ISSUE_TEMPLATE" / "wrong-verdict.yml"
    fields = {field["id"]: field["attributes"] for field in yaml.safe_load(template.read_text("utf-8"))["body"]}
    assert list(fields) == ["report", "expected", "known", "image"]
    assert "--report" in fields["report"]["description"]
    assert {"real", "ai"} <= set(fields["expected"]["options"]) & set(Verdict)
