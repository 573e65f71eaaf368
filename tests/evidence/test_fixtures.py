"""Files that others made: C2PA's public test files, and what real generators and cameras wrote."""

from pathlib import Path

import pytest

from pyrite.evidence import read_evidence
from pyrite.image import open_image
from pyrite.results import Strength, Verdict

FIXTURES = Path(__file__).parents[3] / "shared" / "data" / "fixtures"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"{FIXTURES} is not there"),
]


def read(path: str) -> list[tuple[str, Verdict | None]]:
    found = read_evidence(open_image(FIXTURES / path))
    assert all(item.strength is Strength.ASSERTED for item in found)
    return [(item.kind, item.says) for item in found]


@pytest.mark.parametrize(
    "name", ["C", "CACA", "CA_ct", "C_with_CAWG_data", "ocsp_with_assertion", "adobe-20220124-CAI"]
)
def test_valid_credentials(name: str) -> None:
    pytest.importorskip("c2pa")
    [found] = read_evidence(open_image(FIXTURES / "credentials" / f"{name}.jpg"))
    assert found.data["valid"]
    assert not found.data["trusted"]
    assert (found.says, found.strength) == (None, Strength.ASSERTED)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("XCA", "assertion.dataHash.mismatch"),
        ("adobe-20220124-E-dat-CA", "assertion.dataHash.mismatch"),
        ("adobe-20220124-E-sig-CA", "claimSignature.mismatch"),
        ("adobe-20220124-E-uri-CA", "assertion.hashedURI.mismatch"),
        ("adobe-20220124-XCA", "assertion.dataHash.mismatch"),
    ],
)
def test_tampered_files(name: str, code: str) -> None:
    pytest.importorskip("c2pa")
    [found] = read_evidence(open_image(FIXTURES / "credentials" / f"{name}.jpg"))
    assert not found.data["valid"]
    assert [item["code"] for item in found.data["failures"]] == [code]
    assert found.says is None


def test_remote_credentials() -> None:
    [found] = read_evidence(open_image(FIXTURES / "credentials" / "cloud.jpg"))
    assert found.data["remote_url"].startswith("https://cai-manifests.adobe.com/")


@pytest.mark.parametrize("name", ["no_manifest.jpg", "earth_apollo17.jpg", "libpng-test.png", "mars.webp"])
def test_files_without_anything(name: str) -> None:
    assert read(f"credentials/{name}") == []


@pytest.mark.parametrize(
    "path",
    sorted(
        str(path.relative_to(FIXTURES))
        for path in [*FIXTURES.glob("generator/sd-parsers/parsers/*/*"), *FIXTURES.glob("generator/*.*")]
        # Written into the pixels; not written by a generator at all.
        if path.stem not in ("automatic1111_stealth", "house_scribble", "sunset")
    ),
)
def test_generators(path: str) -> None:
    assert read(path) == [("generator", Verdict.AI)]


def test_text_after_the_pixels() -> None:
    assert read("generator/sd-parsers/bad_images/text_after_idat.png") == [("generator", Verdict.AI)]


@pytest.mark.parametrize(
    "path", sorted(str(path.relative_to(FIXTURES)) for path in FIXTURES.glob("camera/*.jpg"))
)  # fmt: skip
def test_cameras_say_nothing(path: str) -> None:
    assert set(read(path)) <= {("camera", None)}


def test_a_photograph_among_the_examples() -> None:
    assert read("generator/sunset.png") == [("camera", None)]
