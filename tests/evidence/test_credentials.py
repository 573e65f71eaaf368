"""Content credentials, signed by an authority of our own."""

import random
import socket
import sys
from typing import Any

import pytest

pytest.importorskip("c2pa")
pytest.importorskip("cryptography")

from documented import check_documented
from metadata_files import encode

from authority import make_authority, sign
from pyrite.evidence import Trust, missing_readers, read_evidence, trust_of
from pyrite.image import open_image
from pyrite.results import Evidence, Strength, Verdict

ROOT = trust_of(make_authority("Test Authority")[0], "our own authority")
NOBODY = Trust()


def read(data: bytes, trust: Trust = ROOT) -> Evidence:
    [found] = read_evidence(open_image(data), trust)
    assert found.kind == "credentials"
    check_documented(found)
    return found


@pytest.mark.parametrize(
    "source_type",
    [
        "trainedAlgorithmicMedia",
        "trainedAlgorithmicMedia/",
        "compositeWithTrainedAlgorithmicMedia",
        "compositeSynthetic",
        "trainedAlgorithmicData",
    ],
)
def test_a_trusted_signer_verifies_ai(source_type: str) -> None:
    found = read(sign(encode(), source_type=source_type))
    assert (found.says, found.strength) == (Verdict.AI, Strength.VERIFIED)
    assert found.data["trusted"]
    assert found.data["signer"]["issuer"] == "Test Authority"
    assert found.data["claim_generator"] == "pyrite tests 1"
    assert found.data["digital_source_types"] == [source_type.rstrip("/")]
    told = "made" if source_type.startswith("trained") else "changed"
    told = "made or changed" if source_type == "trainedAlgorithmicData" else told
    assert (
        f"Test Authority, whom the list of our own authority vouches for, say that this image was {told} with AI"
        in (found.detail)
    )
    assert found.data["extent"] == {"made": "whole", "changed": "part"}.get(told, "unknown")
    assert (found.data["content"], found.data["certificate"]) == ("matches", "trusted")
    assert found.data["trust_list"]["name"] == "our own authority"


@pytest.mark.parametrize("trust", [NOBODY, trust_of(make_authority("Stranger")[0]), Trust.default()])
def test_without_a_trust_list_that_knows_the_signer_ai_is_asserted(trust: Trust) -> None:
    found = read(sign(encode(), source_type="trainedAlgorithmicMedia"), trust)
    assert (found.says, found.strength) == (Verdict.AI, Strength.ASSERTED)
    assert found.data["valid"]
    assert not found.data["trusted"]
    assert "whom no trust list vouches for" in found.detail
    assert (found.data["content"], found.data["certificate"]) == ("matches", "unknown")


@pytest.mark.parametrize(
    "source_type", ["digitalCapture", "digitalCapture/", "computationalCapture", "negativeFilm", "positiveFilm"]
)
def test_only_a_trusted_signer_says_real(source_type: str) -> None:
    signed = sign(encode(), source_type=source_type)
    found = read(signed)
    assert (found.says, found.strength) == (Verdict.REAL, Strength.VERIFIED)
    untrusted = read(signed, NOBODY)
    assert (untrusted.says, untrusted.strength) == (None, Strength.ASSERTED)
    assert "say that a camera took this image" in untrusted.detail


@pytest.mark.parametrize(
    "source_type",
    [
        "algorithmicallyEnhanced", "algorithmicMedia", "composite", "compositeCapture", "dataDrivenMedia", "digitalArt",
        "digitalCreation", "humanEdits", "minorHumanEdits", "multiFrameComputationalCapture", "print",
        "screenCapture", "softwareImage", "virtualRecording",
    ],
)  # fmt: skip
def test_other_source_types_say_nothing(source_type: str) -> None:
    assert read(sign(encode(), source_type=source_type)).says is None


@pytest.mark.parametrize(
    ("name", "mime"), [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp"), ("TIFF", "image/tiff"),
                       ("GIF", "image/gif"), ("AVIF", "image/avif")],
)  # fmt: skip
def test_every_container_is_read(name: str, mime: str) -> None:
    plain = encode(name)
    assert read_evidence(open_image(plain)) == []
    assert read(sign(plain, mime=mime, source_type="trainedAlgorithmicMedia")).says is Verdict.AI


def test_of_a_changed_file_it_is_told_what_it_was_signed_as() -> None:
    signed = bytearray(sign(encode(), source_type="trainedAlgorithmicMedia"))
    signed[-20] ^= 1
    found = read(bytes(signed))
    assert (found.says, found.strength) == (Verdict.AI, Strength.ASSERTED)
    assert found.data["failures"][0]["code"] == "assertion.dataHash.mismatch"
    assert found.data["content"] == "changed"
    assert not found.data["trusted"]
    assert found.detail.startswith("The file carries a manifest of an image that was made with AI")
    assert "which no longer matches: the file was changed after signing" in found.detail


def test_a_changed_photograph_proves_nothing() -> None:
    signed = bytearray(sign(encode(), source_type="digitalCapture"))
    signed[-20] ^= 1
    found = read(bytes(signed))
    assert (found.says, found.strength) == (None, Strength.ASSERTED)
    assert "changed after signing" in found.detail
    assert "prove nothing" in found.detail


def test_changed_credentials_prove_nothing() -> None:
    signed = sign(encode(), source_type="digitalCreation")
    forged = signed.replace(b"digitalCreation", b"digitalCapturE").replace(b"digitalCapturE", b"digitalCapture ")
    found = read(forged)
    assert found.says is None
    assert not found.data["valid"]


def test_credentials_of_another_file_are_only_asserted() -> None:
    signed, other = sign(encode(), source_type="trainedAlgorithmicMedia"), encode(quality=30)
    start = signed.index(b"\xff\xeb")
    size = int.from_bytes(signed[start + 2 : start + 4]) + 2
    moved = read(other[:2] + signed[start : start + size] + other[2:])
    assert (moved.says, moved.strength, moved.data["content"]) == (Verdict.AI, Strength.ASSERTED, "changed")


def test_bytes_after_the_image_are_not_read() -> None:
    assert read_evidence(open_image(encode() + sign(encode(), source_type="trainedAlgorithmicMedia"))) == []


def test_what_a_signer_only_gathered_is_asserted() -> None:
    gathered = read(sign(encode(), source_type="trainedAlgorithmicMedia", created=False))
    assert (gathered.says, gathered.strength) == (Verdict.AI, Strength.ASSERTED)
    assert read(sign(encode(), source_type="digitalCapture", created=False)).says is None


def test_an_edited_ai_image_remains_one() -> None:
    made = sign(encode(), source_type="trainedAlgorithmicMedia")
    found = read(sign(encode(), action="c2pa.opened", ingredients=(("parentOf", made),)))
    assert (found.says, found.strength) == (Verdict.AI, Strength.VERIFIED)
    assert found.data["ingredients"] == [{"title": "parentOf", "relationship": "parentOf", "format": "image/jpeg"}]


def test_a_strangers_ingredient_is_asserted_even_under_a_trusted_signature() -> None:
    """Anyone could sign a photograph as AI, and have a trusted program open it."""
    made = sign(encode(), source_type="trainedAlgorithmicMedia", authority="Stranger")
    found = read(sign(encode(), action="c2pa.opened", ingredients=(("parentOf", made),)))
    assert (found.says, found.strength) == (Verdict.AI, Strength.ASSERTED)
    assert "but that part comes from somebody else" in found.detail


def test_a_tampered_ingredient_is_named_and_only_asserted() -> None:
    made = bytearray(sign(encode(), source_type="trainedAlgorithmicMedia"))
    made[-20] ^= 1
    found = read(sign(encode(), action="c2pa.opened", ingredients=(("parentOf", bytes(made)),)))
    assert (found.says, found.strength) == (Verdict.AI, Strength.ASSERTED)
    assert found.data["failing_ingredients"] == [{"title": "parentOf", "codes": ["assertion.dataHash.mismatch"]}]
    assert "do not hold: “parentOf” (assertion.dataHash.mismatch)" in found.detail


def test_an_ai_image_that_was_put_into_another_is_a_part() -> None:
    made = sign(encode(), source_type="trainedAlgorithmicMedia")
    found = read(sign(encode(), source_type="digitalCreation", ingredients=(("componentOf", made),)))
    assert (found.says, found.strength, found.data["extent"]) == (Verdict.AI, Strength.VERIFIED, "part")
    assert "an image that it was made of was changed with AI" in found.detail


def test_what_was_only_an_input_is_no_part() -> None:
    made = sign(encode(), source_type="trainedAlgorithmicMedia")
    found = read(sign(encode(), source_type="digitalCreation", ingredients=(("inputTo", made),)))
    assert found.says is None


@pytest.mark.parametrize(
    ("claim_version", "camera", "forged"),
    [
        (1, "leica:urn:uuid:f0000000-0000-4000-8000-000000000001", "urn:uuid:f0000000-0000-4000-8000-000000000001"),
        (2, "urn:c2pa:f0000000-0000-4000-8000-000000000001:leica", "urn:c2pa:f0000000-0000-4000-8000-000000000001"),
    ],
)
def test_a_trusted_camera_does_not_vouch_for_a_manifest_whose_label_is_a_part_of_its_own(
    claim_version: int, camera: str, forged: str
) -> None:
    photograph = sign(encode(), source_type="digitalCapture", claim_version=claim_version, label=camera)
    assert read(photograph).says is Verdict.REAL
    for label in (forged, None):
        fake = sign(
            encode(), source_type="digitalCapture", authority="Stranger", claim_version=claim_version, label=label,
            ingredients=(("inputTo", photograph),),
        )  # fmt: skip
        opened = sign(
            encode(),
            action="c2pa.opened",
            claim_version=claim_version,
            complete=True,
            ingredients=(("parentOf", fake),),
        )
        assert read(opened).says is None, label


def test_a_photograph_with_things_put_into_it_is_not_said_to_be_real() -> None:
    signed = sign(encode(), source_type="digitalCapture", ingredients=(("componentOf", encode()),))
    assert read(signed).says is None


HARMLESS = ("converted", "orientation", "published", "repackaged", "resized.proportional", "transcoded")


@pytest.mark.parametrize("claim_version", [1, 2])
def test_a_photograph_to_which_nothing_happened_is_real(claim_version: int) -> None:
    more = tuple((f"c2pa.{name}", None) for name in HARMLESS)
    found = read(sign(encode(), source_type="digitalCapture", more=more, claim_version=claim_version))
    assert (found.says, found.strength) == (Verdict.REAL, Strength.VERIFIED)
    assert found.detail.endswith("say that a camera took this image (digitalCapture).")


@pytest.mark.parametrize(
    ("action", "source_type", "named"),
    [
        ("c2pa.edited", None, "c2pa.edited"),
        ("c2pa.edited", "digitalCapture", "c2pa.edited"),
        ("c2pa.edited", "humanEdits", "c2pa.edited, humanEdits"),
        ("c2pa.published", "composite", "composite"),
        ("c2pa.enhanced", None, "c2pa.enhanced"),
        ("c2pa.cropped", None, "c2pa.cropped"),
        ("c2pa.edited.metadata", None, "c2pa.edited.metadata"),
        ("com.example.published", None, "com.example.published"),
    ],
)
@pytest.mark.parametrize("claim_version", [1, 2])
def test_an_edited_photograph_is_not_said_to_be_real(
    action: str, source_type: str | None, named: str, claim_version: int
) -> None:
    more = (("c2pa.published", None), (action, source_type))
    found = read(sign(encode(), source_type="digitalCapture", more=more, claim_version=claim_version))
    assert (found.says, found.strength) == (None, Strength.VERIFIED)
    assert f"a camera took this image (digitalCapture), but not that it still shows the same ({named})." in found.detail


def test_a_sentence_names_a_few_changes_of_many() -> None:
    more = tuple((f"com.example.edit{i}", None) for i in range(100))
    found = read(sign(encode(), source_type="digitalCapture", more=more))
    assert (
        "(com.example.edit0, com.example.edit1, com.example.edit2, com.example.edit3, com.example.edit4, and more)"
        in (found.detail)
    )


@pytest.mark.parametrize("place", ["more", "templates", "metadata"])
@pytest.mark.parametrize("source_type", ["trainedAlgorithmicMedia", "compositeSynthetic"])
def test_a_photograph_with_a_trained_models_part_is_ai_wherever_that_is_said(place: str, source_type: str) -> None:
    said: Any = source_type if place == "metadata" else (("c2pa.edited", source_type),)
    found = read(sign(encode(), source_type="digitalCapture", **{place: said}))
    assert (found.says, found.strength) == (Verdict.AI, Strength.VERIFIED)
    assert found.data["digital_source_types"] == ["digitalCapture", source_type]


@pytest.mark.parametrize("place", ["templates", "metadata"])
def test_every_source_type_must_be_a_capture(place: str) -> None:
    for source_type, says in (("digitalCapture", Verdict.REAL), ("positiveFilm", Verdict.REAL), ("humanEdits", None)):
        said: Any = source_type if place == "metadata" else (("c2pa.published", source_type),)
        assert read(sign(encode(), source_type="digitalCapture", **{place: said})).says is says


def test_a_capture_in_metadata_is_told_and_does_not_make_a_drawing_real() -> None:
    found = read(sign(encode(), source_type="digitalCreation", metadata="digitalCapture"))
    assert found.says is None
    assert "say that a camera took this image (digitalCapture), but not that it still shows the same" in found.detail


def test_a_list_of_actions_that_is_not_complete_is_not_said_to_be_real() -> None:
    assert read(sign(encode(), source_type="digitalCapture", complete=True)).says is Verdict.REAL
    found = read(sign(encode(), source_type="digitalCapture", complete=False))
    assert found.says is None
    assert "(actions that are not listed)" in found.detail


TAKEN = sign(encode(), source_type="digitalCapture")


def open_parent(parent: bytes, **options: Any) -> Evidence:
    return read(sign(encode(), action="c2pa.opened", ingredients=(("parentOf", parent),), **options))


def test_a_photograph_that_was_only_opened_and_passed_on_is_real() -> None:
    found = open_parent(TAKEN, more=(("c2pa.transcoded", None),), complete=True)
    assert (found.says, found.strength) == (Verdict.REAL, Strength.VERIFIED)
    again = sign(
        encode(), action="c2pa.opened", ingredients=(("parentOf", TAKEN),), more=(("c2pa.published", None),),
        complete=True,
    )  # fmt: skip
    assert open_parent(again, complete=True).says is Verdict.REAL


@pytest.mark.parametrize(
    ("parent", "options"),
    [
        # What was done to it since is anybody's guess.
        (TAKEN, {}),
        (TAKEN, {"complete": False}),
        (TAKEN, {"complete": True, "more": (("c2pa.edited", None),)}),
        (TAKEN, {"complete": True, "templates": (("c2pa.published", "humanEdits"),)}),
        (TAKEN, {"complete": True, "created": False}),
        (encode(), {"complete": True}),
        (encode(), {"complete": True, "metadata": "digitalCapture"}),
        (sign(encode(), source_type="digitalCapture", authority="Stranger"), {"complete": True}),
        (sign(encode(), source_type="digitalCreation"), {"complete": True}),
        (sign(encode(), source_type="digitalCapture", more=(("c2pa.edited", None),)), {"complete": True}),
        (TAKEN[:-20] + b"\1" + TAKEN[-19:], {"complete": True}),
    ],
    ids=range(11),
)
def test_a_photograph_that_was_opened_and_may_have_been_changed_is_not_said_to_be_real(
    parent: bytes, options: dict[str, Any]
) -> None:
    assert open_parent(parent, **options).says is None


def test_remote_credentials_are_reported_and_never_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/manifest"
        found = read(sign(encode(), source_type="trainedAlgorithmicMedia", remote_url=url))
        assert (found.says, found.data) == (None, {"remote_url": url})
        with pytest.raises(TimeoutError):
            server.accept()


def test_damaged_credentials_never_raise_and_never_make_a_changed_image_real() -> None:
    signed = bytearray(sign(encode(), source_type="digitalCapture"))
    assert read(bytes(signed)).says is Verdict.REAL
    start = signed.index(b"\xff\xeb")
    size = int.from_bytes(signed[start + 2 : start + 4])
    # The image was altered after signing; only the credentials could hide that.
    signed[-20] ^= 1
    assert not read(bytes(signed)).data["valid"]
    chance = random.Random(0)
    for _ in range(60):
        damaged = bytearray(signed)
        for _ in range(chance.choice((1, 5, 50))):
            damaged[start + 6 + chance.randrange(size - 6)] = chance.randrange(256)
        for found in read_evidence(open_image(bytes(damaged)), ROOT):
            assert (found.kind, found.says) == ("credentials", None)


def test_nothing_is_missing_where_everything_is_installed() -> None:
    assert missing_readers() == []


def test_without_the_package_credentials_are_reported_as_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    signed, plain = open_image(sign(encode(), source_type="digitalCapture")), open_image(encode())
    monkeypatch.setitem(sys.modules, "c2pa", None)
    [found] = read_evidence(signed)
    assert (found.kind, found.says, found.data) == ("reader", None, {"unread": "credentials"})
    assert "pip install 'pyrite[credentials]'" in found.detail
    assert read_evidence(plain) == []


def test_of_credentials_that_cannot_be_read_their_words_still_count_as_asserted() -> None:
    for source_type, says in (("trainedAlgorithmicMedia", Verdict.AI), ("digitalCapture", None)):
        signed = bytearray(sign(encode(), source_type=source_type))
        at = signed.index(b"jumdc2cl")
        signed[at : at + 8] = b"jumdxxxx"
        found = read(bytes(signed))
        assert (found.says, found.strength) == (says, Strength.ASSERTED)
        assert found.detail.startswith("The file's content credentials could not be read: ")
        if says:
            assert found.detail.endswith("that the image was made with AI, which anyone could have written.")
            assert found.data == {"extent": "whole", "digital_source_types": [source_type]}
