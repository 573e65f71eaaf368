"""What credentials claim, wherever in a manifest writers put it, and how far it counts."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("c2pa")
pytest.importorskip("cryptography")

from documented import check_documented
from metadata_files import encode

from authority import SOURCE_TYPES, make_authority, sign
from pyrite.evidence import Trust, read_evidence, trust_of
from pyrite.evidence.trust import ListKind, TrustList
from pyrite.evidence.validation import check_certificate
from pyrite.image import open_image
from pyrite.results import Evidence, Strength, Verdict

ROOT = trust_of(make_authority("Test Authority")[0])
GOLDEN = Path(__file__).parent / "credentials"
MADE, CHANGED = SOURCE_TYPES + "trainedAlgorithmicMedia", SOURCE_TYPES + "compositeWithTrainedAlgorithmicMedia"


def read(data: bytes, trust: Trust = ROOT) -> Evidence:
    [found] = read_evidence(open_image(data), trust)
    assert found.kind == "credentials"
    check_documented(found)
    return found


def act(**action: Any) -> dict[str, Any]:
    return {"listed": [{"action": "c2pa.edited", **action}]}


def assertion(label: str, **data: Any) -> dict[str, Any]:
    return {"assertions": ((label, data),)}


@pytest.mark.parametrize(
    ("options", "extent", "generator"),
    [
        (act(action="c2pa.created", digitalSourceType=MADE, softwareAgent="GPT-4o"), "whole", "GPT-4o"),
        (act(action="c2pa.created", digitalSourceType=MADE.replace("http:", "https:")), "whole", "pyrite tests"),
        (act(action="c2pa.created", softwareAgent={"name": "GPT-4o"}), "whole", "GPT-4o"),
        (act(softwareAgent="Photo assist"), "part", "Photo assist"),
        (act(softwareAgent={"name": "Duck", "version": "2"}, digitalSourceType=CHANGED), "part", "Duck 2"),
        (act(parameters={"com.adobe.digitalSourceType": MADE, "com.adobe.details": "imagen-3"}), "whole", "imagen-3"),
        (act(parameters={"org.example": {"digitalSourceType": CHANGED}}), "part", "pyrite tests"),
        (act(parameters={"name": "Generative Fill"}), "part", "pyrite tests"),
        (act(parameters={"description": "Object removal"}), "part", "pyrite tests"),
        (act(parameters={"com.adobe.firefly.operation": "text_to_image"}), "whole", "pyrite tests"),
        (act(action="com.adobe.generative_fill"), "part", "pyrite tests"),
        (act(description="Edited with Google AI"), "part", "pyrite tests"),
        (act(description="Applied imperceptible SynthID watermark."), "unknown", "pyrite tests"),
        (assertion("com.adobe.generative-ai", description="Adobe Firefly", version="1"), "unknown", "Adobe Firefly 1"),
        (assertion("c2pa.ai-disclosure", modelType="c2pa.types.model", modelName="Duck 1"), "unknown", "Duck 1"),
        (assertion("c2pa.ai_generated_content", ai_generated=True, model="Flux.2"), "unknown", "Flux.2"),
        (assertion("com.vivo.generative-ai", description="Duck"), "unknown", "Duck"),
        (assertion("org.vendor.ai-disclosure.v2", modelName="Duck 2"), "unknown", "Duck 2"),
        (assertion("com.example.origin", deep=[{"DigitalSourceType": MADE}]), "whole", "pyrite tests"),
        ({"metadata": "compositeSynthetic"}, "part", "pyrite tests"),
    ],
    ids=range(20),
)
def test_a_trained_model_wherever_a_manifest_tells_of_it(options: dict[str, Any], extent: str, generator: str) -> None:
    found = read(sign(encode(), **({"source_type": "digitalCreation"} | options)))
    assert (found.says, found.data["extent"], found.data["generator"]) == (Verdict.AI, extent, generator)
    told = {"whole": "this image was made with AI", "part": "this image was changed with AI"}
    assert told.get(extent, "this image was made or changed with AI") in found.detail


@pytest.mark.parametrize(
    "options",
    [
        act(description="No generative fill was used."),
        act(description="generative music in the background"),
        act(action="c2pa.converted", softwareAgent="OpenAI API"),
        act(softwareAgent="Adobe Photoshop 25.0"),
        act(softwareAgent="Flux"),
        act(parameters={"source": "https://example.org/text_to_image"}),
        act(description="SynthID was looked for, and not found."),
        {"assertions": (("c2pa.ai_generated_content", {"ai_generated": False}),)},
        {"assertions": (("com.example.origin", {"digitalSource": "trainedAlgorithmicMedia"}),)},
        {"assertions": (("c2pa.training-mining", {"entries": {"c2pa.ai_training": {"use": "notAllowed"}}}),)},
    ],
    ids=range(10),
)
def test_what_only_sounds_like_it_says_nothing(options: dict[str, Any]) -> None:
    assert read(sign(encode(), **({"source_type": "digitalCreation"} | options))).says is None


def test_the_company_behind_a_program_is_told() -> None:
    found = read(sign(encode(), **act(action="c2pa.created", digitalSourceType=MADE, softwareAgent="gpt-image 2.0")))
    assert found.data["company"] == "OpenAI"
    assert found.detail.endswith("was made with AI (trainedAlgorithmicMedia), by gpt-image 2.0 (OpenAI).")


def test_marks_and_terms_for_training_are_context() -> None:
    found = read(
        sign(
            encode(),
            source_type="digitalCapture",
            more=(("c2pa.published", None),),
            assertions=(("cawg.training-mining", {"entries": {"cawg.ai_inference": {"use": "notAllowed"}}}),),
        )
    )
    assert found.says is Verdict.REAL
    assert found.data["training_and_mining"] == ["cawg.ai_inference: notAllowed"]
    marked = read(sign(encode(), **act(description="Applied imperceptible SynthID watermark.")))
    assert marked.data["watermarks"] == ["SynthID"]


def test_an_expired_certificate_lowers_a_claim_and_says_so() -> None:
    found = read((GOLDEN / "expired.jpg").read_bytes(), trust_of((GOLDEN / "expired.pem").read_bytes()))
    assert (found.says, found.strength) == (Verdict.AI, Strength.ASSERTED)
    assert (found.data["content"], found.data["certificate"]) == ("matches", "expired")
    assert "whose certificate expired on 2026-11-30, with no time stamp to show that it signed before" in found.detail


def test_a_time_stamp_that_is_vouched_for_makes_an_expired_certificate_as_good_as_new() -> None:
    """The stamp is from while the certificate was valid; who vouches for times vouches for no signer."""
    signers = trust_of((GOLDEN / "expired.pem").read_bytes())
    clock = TrustList("clock", "list of clocks", ListKind.TIMES, (GOLDEN / "clock.pem").read_text())
    data = (GOLDEN / "stamped.jpg").read_bytes()
    found = read(data, Trust((*signers.lists, clock)))
    assert (found.says, found.strength) == (Verdict.AI, Strength.VERIFIED)
    assert (found.data["certificate"], found.data["time_stamp"]) == ("trusted", "trusted")
    assert found.detail.startswith("Content credentials signed on 2026-11-30 by Late Signer, whom the list")
    unknown = read(data, signers)
    assert (unknown.strength, unknown.data["certificate"]) == (Strength.ASSERTED, "expired")
    assert "with a time stamp that nobody vouches for to show that it signed before" in unknown.detail
    assert read(data, Trust((clock,))).data["certificate"] == "unknown"


def test_a_certificate_for_something_else_lowers_a_claim_and_says_so() -> None:
    signer = make_authority("Elsewhere", usage="1.3.6.1.4.1.311.76.59.1.9")
    signed = sign(encode(), source_type="trainedAlgorithmicMedia", signer=signer)
    found = read(signed, trust_of(signer[0]))
    assert (found.says, found.strength, found.data["certificate"]) == (Verdict.AI, Strength.ASSERTED, "wrong_usage")
    allowed = Trust(trust_of(signer[0]).lists, (*Trust().key_usages, "1.3.6.1.4.1.311.76.59.1.9"))
    assert read(signed, allowed).strength is Strength.VERIFIED


def test_a_list_of_time_stamp_authorities_vouches_for_no_signer() -> None:
    """The library takes any list for that."""
    root = make_authority("Test Authority")[0].decode()
    times = TrustList("times", "list of times", ListKind.TIMES, root)
    signed = sign(encode(), source_type="digitalCapture")
    assert read(signed, Trust((times,))).data["certificate"] == "unknown"
    for _ in range(5):
        # Which of several lists it names is left to chance.
        both = read(signed, Trust((times, TrustList("signers", "list of signers", ListKind.SIGNERS, root))))
        assert (both.says, both.data["trust_list"]["name"]) == (Verdict.REAL, "signers")


def test_a_list_of_single_signers_vouches_for_them_alone() -> None:
    _, certificate, _ = make_authority("Test Authority")
    other = make_authority("Stranger")
    signed = sign(encode(), source_type="trainedAlgorithmicMedia")
    for allowed, state in ((certificate, "trusted"), (other[1], "unknown")):
        listed = TrustList("one", "list of one", ListKind.SIGNERS, other[0].decode(), allowed.decode())
        assert read(signed, Trust((listed,))).data["certificate"] == state


def store(*failures: str, time: str = "") -> dict[str, Any]:
    return {
        "active_manifest": "a",
        "manifests": {"a": {"signature_info": {"time": time}}},
        "validation_results": {
            "activeManifest": {"failure": [{"code": code} for code in failures]},
            "trustListUri": "x",
        },
    }


@pytest.mark.parametrize(
    ("failures", "dates", "time", "state"),
    [
        (("signingCredential.expired",), ("2026-01-01", "2026-02-01"), "2026-03-01T00:00:00Z", "expired"),
        (("signingCredential.expired",), ("2026-01-01", "2026-02-01"), "2025-03-01T00:00:00Z", "not_yet_valid"),
        (("signingCredential.expired",), ("", ""), "", "expired"),
        (("signingCredential.ocsp.revoked", "signingCredential.untrusted"), ("", ""), "", "revoked"),
        (("signingCredential.invalid", "signingCredential.untrusted"), ("", ""), "", "wrong_usage"),
        (("signingCredential.untrusted",), ("", ""), "", "unknown"),
        ((), ("", ""), "", "trusted"),
    ],
)
def test_each_state_of_a_certificate(failures: tuple[str, ...], dates: tuple[str, str], time: str, state: str) -> None:
    trust = Trust((TrustList("x", "list x", ListKind.SIGNERS, "", issued="2026-01-01", next_update="2026-02-01"),))
    found = check_certificate(store(time=time), set(failures), dates, trust)
    assert found.state == state
    assert found.told.startswith(("whose", "whom"))
    if state == "trusted":
        assert (
            found.told
            == "whom the list x of 2026-01-01 vouches for, of which a newer one has been due since 2026-02-01"
        )
