"""Files built after public bug reports of metadata readers, and files as their generators wrote them."""

import json
from pathlib import Path
from typing import Any

import pytest
from documented import check_documented

from pyrite.evidence import Trust, read_evidence
from pyrite.image import open_image
from pyrite.results import Evidence, Strength, Verdict

PROVENANCE = Path(__file__).parents[3] / "shared" / "data" / "provenance"
FIXTURES = PROVENANCE.parent / "fixtures"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not PROVENANCE.is_dir(), reason=f"{PROVENANCE} is not there"),
]
CASES: list[dict[str, Any]] = json.loads((PROVENANCE / "cases.json").read_text()) if PROVENANCE.is_dir() else []


def read(path: Path, trust: Trust | None = None) -> list[Evidence]:
    if path.suffix.lower() in (".heic", ".heif"):
        pytest.importorskip("pillow_heif")
    found = read_evidence(open_image(path, at_least=(32, 32)), trust)
    for item in found:
        check_documented(item)
    return found


@pytest.mark.parametrize("case", CASES, ids=[case["file"] for case in CASES])
def test_every_case_comes_out_right(case: dict[str, Any]) -> None:
    expected = case["expect"]
    if case["file"].startswith("c2pa"):
        pytest.importorskip("c2pa")
    ai = [item for item in read(PROVENANCE / "cases" / case["file"]) if item.says is Verdict.AI]
    assert expected["verdict"] == "ai"
    assert ai
    names = [item.data.get("generator") for item in ai]
    assert expected.get("generator") in (None, *names)
    assert expected.get("kind") in (None, *(item.kind for item in ai))
    assert "not_generator" not in expected or expected["not_generator"] not in names
    if "note" in expected:
        assert expected["note"].removeprefix("right: ") in names


# Company, extent, and which list vouches for it, if any does.
REAL = {
    "chatgpt.png": ("OpenAI", "whole", "c2pa"),
    "doubao.png": ("ByteDance", "whole", None),
    "firefly.png": ("Adobe", "whole", "interim"),
    "flux.jpg": ("Black Forest Labs", "whole", None),
    "grok.jpg": ("xAI", "whole", None),
    "samsung-edit.png": ("Samsung", "part", "interim"),
}


@pytest.mark.parametrize("name", REAL)
def test_what_real_generators_wrote(name: str) -> None:
    pytest.importorskip("c2pa")
    company, extent, vouched = REAL[name]
    found = [item for item in read(PROVENANCE / "real" / name) if item.says is Verdict.AI]
    assert {(item.data["company"], item.data["extent"]) for item in found} == {(company, extent)}
    assert ("changed with AI" if extent == "part" else "made with AI") in found[0].detail
    assert found[0].strength is (Strength.VERIFIED if vouched else Strength.ASSERTED)
    assert (found[0].data.get("trust_list") or {}).get("name") == vouched


def test_without_lists_nothing_real_is_verified() -> None:
    pytest.importorskip("c2pa")
    for name in REAL:
        found = read(PROVENANCE / "real" / name, Trust())
        assert any(item.says is Verdict.AI for item in found)
        assert all(item.strength is Strength.ASSERTED for item in found)


@pytest.mark.parametrize("folder", ["camera", "credentials"])
def test_photographs_and_their_edits_are_not_called_ai(folder: str) -> None:
    paths = sorted((FIXTURES / folder).glob("*.*"))
    assert len(paths) > 20
    for path in paths:
        assert [item for item in read(path) if item.says is Verdict.AI] == [], path.name
