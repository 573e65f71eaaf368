"""TrustMark: its bits against what its own code makes of them, and the way from a file to them.

The network is a small one of the same signature: the real weights cannot be part of the project.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from row_of_bits import encode, row_of_bits

from pyrite.evidence import read_evidence
from pyrite.evidence.watermarks.bch import find_errors
from pyrite.evidence.watermarks.trustmark import SCHEMAS, decode, most_corrected
from pyrite.image import open_image

WORDS = json.loads((Path(__file__).parent / "trustmark.json").read_text())
FETCHED = pytest.mark.parametrize("fetched", ["trustmark"], indirect=True)
CLEAN = {word["schema"]: word for word in WORDS if not word["wrong"]}


def as_bits(word: str) -> np.ndarray:
    return np.array([bit == "1" for bit in word])


@pytest.mark.parametrize("word", WORDS, ids=lambda word: f"{word['schema']}-{word['wrong']}")
def test_bits_are_corrected_as_by_its_own_code_or_not_taken_for_a_mark(word: dict) -> None:
    schema = next(schema for schema in SCHEMAS if schema.name == word["schema"])
    found = decode(as_bits(word["word"]))
    if word["wrong"] > most_corrected(schema):
        assert found is None
    else:
        assert found is not None
        assert (found.schema, found.identifier, found.corrected) == (schema, word["identifier"], word["wrong"])


@pytest.mark.parametrize("word", WORDS, ids=lambda word: f"{word['schema']}-{word['wrong']}")
def test_the_code_corrects_all_that_its_own_code_does(word: dict) -> None:
    schema = next(schema for schema in SCHEMAS if schema.name == word["schema"])
    filling = -schema.payload % 8
    coded = word["word"][:96]
    full = coded[: schema.payload] + "0" * filling + coded[schema.payload :]
    wrong = find_errors(int(full, 2), len(full), schema.correctable)
    if word["identifier"] is None:
        assert wrong is None
        return
    assert wrong is not None
    assert len(wrong) == word["wrong"]
    mended = int(full, 2) ^ sum(1 << place for place in wrong)
    assert f"{mended:0{len(full)}b}"[: schema.payload] == word["identifier"]


def test_how_many_bits_may_be_wrong() -> None:
    assert [most_corrected(schema) for schema in SCHEMAS] == [8, 3, 1, 0]


def test_chance_is_not_taken_for_a_mark() -> None:
    chance = np.random.default_rng(0)
    assert not [word for word in chance.integers(0, 2, (20_000, 100), np.uint8) if decode(word > 0)]
    assert decode(np.ones(100, np.bool_)) is None
    for ones in range(9):
        assert decode(np.arange(100) < ones) is None


@FETCHED
@pytest.mark.parametrize(
    ("container", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 95})]
)
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_mark_is_found_at_any_size_in_any_format(fetched: str, container: str, options: dict, scale: int) -> None:
    word = CLEAN["BCH_5"]
    pixels = row_of_bits(word["word"], 256, 256).repeat(scale, 0).repeat(scale, 1)
    (found,) = read_evidence(open_image(encode(pixels, container, **options)))
    assert (found.kind, found.says) == ("watermark", None)
    assert found.data == {
        "mark": "TrustMark",
        "variant": "Q",
        "schema": "BCH_5",
        "identifier": word["identifier"],
        "bits": 100,
        "agreeing_bits": 100,
    }
    assert "does not say whether the image was made with AI" in found.detail


@FETCHED
def test_of_variant_p_and_of_long_images_the_square_in_the_middle_is_read(fetched: str) -> None:
    word = CLEAN["BCH_4"]
    wide = np.full((224, 400, 3), 128, np.uint8)
    wide[:, 88:312] = row_of_bits(word["word"], 224, 224)
    (found,) = read_evidence(open_image(encode(wide, "PNG")))
    assert (found.data["variant"], found.data["identifier"]) == ("P", word["identifier"])
    tall = np.full((800, 256, 3), 128, np.uint8)
    tall[272:528] = row_of_bits(word["word"], 256, 256)
    (found,) = read_evidence(open_image(encode(tall, "PNG")))
    assert (found.data["variant"], found.data["identifier"]) == ("Q", word["identifier"])


@FETCHED
def test_the_network_takes_red_first(fetched: str) -> None:
    for channel, found in ((0, 1), (1, 0), (2, 0)):
        pixels = row_of_bits(CLEAN["BCH_5"]["word"], 256, 256, slice(channel, channel + 1))
        assert len(read_evidence(open_image(encode(pixels)))) == found


@FETCHED
def test_a_mark_is_found_in_an_image_that_is_decoded_smaller(fetched: str) -> None:
    pixels = row_of_bits(CLEAN["BCH_5"]["word"], 256, 256).repeat(8, 0).repeat(8, 1)
    for container in ("PNG", "JPEG"):
        for at_least in ((8, 8), (32, 32)):
            (found,) = read_evidence(open_image(encode(pixels, container), at_least=at_least))
            assert found.data["identifier"] == CLEAN["BCH_5"]["identifier"]


@pytest.mark.usefixtures("published")
def test_without_the_network_nothing_is_looked_for() -> None:
    pixels = row_of_bits(CLEAN["BCH_5"]["word"], 256, 256)
    assert read_evidence(open_image(encode(pixels, "PNG"))) == []


@FETCHED
def test_small_images_and_those_without_a_mark(fetched: str) -> None:
    for width, height in ((32, 32), (127, 400), (256, 256), (1, 1)):
        assert read_evidence(open_image(encode(np.full((height, width, 3), 90, np.uint8), "PNG"))) == []
