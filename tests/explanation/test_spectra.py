from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from pyrite.bundle import Bundle
from pyrite.bundle.preprocess import Pixels
from pyrite.errors import BundleError
from pyrite.explanation import ClassSpectrum, Spectra, explain, measure_spectra
from pyrite.explanation.spectra import distance, read_spectra
from pyrite.spectrum import BANDS, luma, radial_spectrum


def measured(seed: int = 0, count: int = 12) -> tuple[Pixels, Spectra]:
    """Return images, the second half with a tenth of the contrast and labelled AI, and their spectra."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)
    pixels[count // 2 :] = 115 + pixels[count // 2 :] // 10
    labels = np.repeat(np.array([0, 1], np.int8), count // 2)
    content = measure_spectra(pixels, labels, np.arange(count))
    return pixels, msgspec.json.decode(content, type=Spectra)


def test_mean_and_deviation_are_over_the_images_of_a_class() -> None:
    pixels, spectra = measured()
    for of, part in ((spectra.real, pixels[:6]), (spectra.ai, pixels[6:])):
        powers = [radial_spectrum(luma(image)) for image in part]
        assert of.images == 6
        np.testing.assert_allclose(of.mean, np.mean(powers, 0), atol=1e-4)
        np.testing.assert_allclose(of.deviation, np.std(powers, 0), atol=1e-4)
    # A tenth of the contrast is a hundredth of the power.
    assert np.mean(np.subtract(spectra.real.mean, spectra.ai.mean)) == pytest.approx(np.log(100), abs=0.2)


def test_only_the_images_that_are_named_count_and_at_most_2000() -> None:
    pixels = np.zeros((4200, 8, 8, 3), np.uint8)
    pixels[4100:] = np.random.default_rng(0).integers(0, 256, (100, 8, 8, 3), np.uint8)
    labels = np.arange(4200, dtype=np.int64).astype(np.int8) % 2
    spectra = msgspec.json.decode(measure_spectra(pixels, labels, np.arange(4100)), type=Spectra)
    assert (spectra.real.images, spectra.ai.images) == (2000, 2000)
    assert set(spectra.real.deviation) == {0.0}


def test_distance_is_in_standard_deviations() -> None:
    _, spectra = measured()
    mean, deviation = np.array(spectra.real.mean), np.array(spectra.real.deviation)
    assert distance(mean, spectra.real) == 0
    assert distance(mean + 2 * deviation, spectra.real) == pytest.approx(2)
    alone = ClassSpectrum(images=1, mean=(0.0,) * BANDS, deviation=(0.0,) * BANDS)
    assert distance(np.full(BANDS, 0.02), alone) == pytest.approx(2)


def test_a_bundle_without_them_is_as_good(to_corner: Bundle, checks: Pixels) -> None:
    found = explain(checks, to_corner)
    assert found.spectra is None
    np.testing.assert_array_equal(found.spectrum, radial_spectrum(luma(checks)))


def test_a_bundle_with_them_gives_them(to_corner: Bundle, checks: Pixels) -> None:
    _, spectra = measured()
    bundle = replace(to_corner, files={**to_corner.files, "spectra.json": msgspec.json.encode(spectra)})
    assert explain(checks, bundle).spectra == spectra


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"\xff",
        lambda content: content.replace(b'"mean"', b'"means"', 1),
        lambda content: content.replace(b'"mean": [', b'"mean": [1.0,', 1),
        lambda content: content.replace(b'"deviation": [', b'"deviation": [-', 1),
        lambda content: content.replace(b'"deviation": [', b'"deviation": [1e300', 1),
        lambda content: content.replace(b'"images": 6', b'"images": 0', 1),
        lambda content: content.replace(b'"images": 6', b'"images": 6, "more": 1', 1),
    ],
)
def test_damage_is_told_before_anything_is_scored(
    damage: Callable[[bytes], bytes], weigh: Callable[..., Bundle], checks: Pixels
) -> None:
    content = msgspec.json.format(msgspec.json.encode(measured()[1]))
    bundle = weigh(np.zeros((32, 32, 3), np.float32), spectra_json=damage(content))
    with pytest.raises(BundleError, match=r"^spectra\.json in the bundle brightness is not valid: "):
        explain(checks, bundle)
    assert read_spectra(weigh(np.zeros((32, 32, 3), np.float32), spectra_json=content)) is not None
