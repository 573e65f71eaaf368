"""The bundle for photographs, as it ships: all but the encoder."""

from pyrite.bundle import BUNDLES, HEAD, read_headless
from pyrite.converting.encoder import read_head
from pyrite.publishing import read_catalogue

FOLDER = BUNDLES / "photos"


def test_it_is_whole_but_for_what_is_fetched() -> None:
    bundle = read_headless(FOLDER)
    head = read_head(bundle.read(HEAD))
    entry = read_catalogue()["photos"]
    assert (bundle.info.name, entry.bundle, entry.source) == ("photos", FOLDER.name, head.encoder)
    assert (head.layers, len(head.weights)) == (9, 768)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 3_000_000


def test_it_promises_no_more_than_it_was_calibrated_for() -> None:
    info = read_headless(FOLDER).info
    assert info.policy.max_fpr == 0.05
    assert info.policy.real_needs_provenance
    assert len(info.calibration.real) == 2
    assert not info.calibration.ai
    assert info.calibration.too_few(info.policy) == ()


def test_its_card_begins_with_what_it_finds() -> None:
    card = read_headless(FOLDER).read("card.md").decode()
    first = card.split("\n\n")[1]
    assert "At an error budget of 1%" in first
    assert "Gemini" in first
