"""Content credentials, signed by an authority of our own."""

import random
import socket
import sys

import pytest

pytest.importorskip("c2pa")
pytest.importorskip("cryptography")

from authority import encode, make_authority, sign

from pyrite.errors import PyriteError
from pyrite.evidence import check_trust_anchors, missing_readers, read_credentials, read_evidence
from pyrite.image import open_image
from pyrite.results import Evidence, Strength, Verdict

ROOT = make_authority("Test Authority")[0]


def read(data: bytes, anchors: bytes | None = ROOT) -> Evidence:
    [found] = read_credentials(open_image(data), trust_anchors=anchors)
    assert found.kind == "credentials"
    return found


@pytest.mark.parametrize("source_type", ["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"])
def test_a_trusted_signer_verifies_ai(source_type: str) -> None:
    found = read(sign(encode(), source_type=source_type))
    assert (found.says, found.strength) == (Verdict.AI, Strength.VERIFIED)
    assert found.data["trusted"]
    assert found.data["signer"]["issuer"] == "Test Authority"
    assert found.data["claim_generator"] == "pyrite tests 1"
    assert found.data["digital_source_types"] == [source_type]
    assert "Test Authority, who is on the trust list, say that this image comes from a trained model" in found.detail


@pytest.mark.parametrize("anchors", [None, make_authority("Stranger")[0]])
def test_without_a_trust_list_that_knows_the_signer_ai_is_asserted(anchors: bytes | None) -> None:
    found = read(sign(encode(), source_type="trainedAlgorithmicMedia"), anchors)
    assert (found.says, found.strength) == (Verdict.AI, Strength.ASSERTED)
    assert found.data["valid"]
    assert not found.data["trusted"]
    assert "no trust list vouches for it" in found.detail


@pytest.mark.parametrize("source_type", ["digitalCapture", "computationalCapture"])
def test_only_a_trusted_signer_says_real(source_type: str) -> None:
    signed = sign(encode(), source_type=source_type)
    found = read(signed)
    assert (found.says, found.strength) == (Verdict.REAL, Strength.VERIFIED)
    untrusted = read(signed, None)
    assert (untrusted.says, untrusted.strength) == (None, Strength.ASSERTED)
    assert "say that a camera took this image" in untrusted.detail


@pytest.mark.parametrize("source_type", ["digitalCreation", "algorithmicMedia", "screenCapture", "composite"])
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


def test_a_changed_file_proves_nothing() -> None:
    signed = bytearray(sign(encode(), source_type="trainedAlgorithmicMedia"))
    signed[-20] ^= 1
    found = read(bytes(signed))
    assert (found.says, found.strength) == (None, Strength.ASSERTED)
    assert found.data["failures"][0]["code"] == "assertion.dataHash.mismatch"
    assert "changed after signing" in found.detail


def test_changed_credentials_prove_nothing() -> None:
    signed = sign(encode(), source_type="digitalCreation")
    forged = signed.replace(b"digitalCreation", b"digitalCapturE").replace(b"digitalCapturE", b"digitalCapture ")
    found = read(forged)
    assert found.says is None
    assert not found.data["valid"]


def test_credentials_of_another_file_prove_nothing() -> None:
    signed, other = sign(encode(), source_type="trainedAlgorithmicMedia"), encode(quality=30)
    start = signed.index(b"\xff\xeb")
    size = int.from_bytes(signed[start + 2 : start + 4]) + 2
    assert read(other[:2] + signed[start : start + size] + other[2:]).says is None


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
    assert "But that part comes from somebody else" in found.detail


def test_a_tampered_ingredient_proves_nothing() -> None:
    made = bytearray(sign(encode(), source_type="trainedAlgorithmicMedia"))
    made[-20] ^= 1
    found = read(sign(encode(), action="c2pa.opened", ingredients=(("parentOf", bytes(made)),)))
    assert found.says is None


def test_what_was_only_an_input_is_no_part() -> None:
    made = sign(encode(), source_type="trainedAlgorithmicMedia")
    found = read(sign(encode(), source_type="digitalCreation", ingredients=(("inputTo", made),)))
    assert found.says is None


def test_a_photograph_with_things_put_into_it_is_not_said_to_be_real() -> None:
    signed = sign(encode(), source_type="digitalCapture", ingredients=(("componentOf", encode()),))
    assert read(signed).says is None


def test_an_edited_photograph_is_not_said_to_be_real() -> None:
    """What was done to it since is anybody's guess."""
    taken = sign(encode(), source_type="digitalCapture")
    assert read(sign(encode(), action="c2pa.opened", ingredients=(("parentOf", taken),))).says is None


def test_remote_credentials_are_reported_and_never_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/manifest"
        found = read(sign(encode(), source_type="trainedAlgorithmicMedia", remote_url=url))
        assert (found.says, found.data) == (None, {"remote_url": url})
        with pytest.raises(TimeoutError):
            server.accept()


def test_damaged_credentials_never_raise() -> None:
    signed = sign(encode(), source_type="trainedAlgorithmicMedia")
    start = signed.index(b"\xff\xeb")
    size = int.from_bytes(signed[start + 2 : start + 4])
    chance = random.Random(0)
    for _ in range(60):
        damaged = bytearray(signed)
        for _ in range(chance.choice((1, 5, 50))):
            damaged[start + 6 + chance.randrange(size - 6)] = chance.randrange(256)
        for found in read_evidence(open_image(bytes(damaged)), trust_anchors=ROOT):
            # What was hit may be padding, which nobody signs.
            assert found.kind == "credentials"
            assert found.says is not Verdict.REAL


@pytest.mark.parametrize("pem", [b"", b"garbage", b"\xff\xfe", ROOT.replace(b"MII", b"MIJ", 1)])
def test_what_are_not_certificates_are_refused(pem: bytes) -> None:
    with pytest.raises(PyriteError, match="must be certificates in PEM form"):
        check_trust_anchors(pem)


def test_certificates_are_accepted() -> None:
    check_trust_anchors(ROOT + make_authority("Stranger")[0])
    assert missing_readers() == []


def test_without_the_package_credentials_are_reported_as_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    signed, plain = open_image(sign(encode(), source_type="digitalCapture")), open_image(encode())
    monkeypatch.setitem(sys.modules, "c2pa", None)
    [found] = read_evidence(signed)
    assert (found.kind, found.says) == ("reader", None)
    assert "pip install 'pyrite[credentials]'" in found.detail
    assert read_evidence(plain) == []
