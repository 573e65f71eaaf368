import numpy as np
import pytest

from pyrite.datasets.shortcuts import CONTAINER, STATISTICS, Facts
from pyrite.evaluation import floor as floors
from pyrite.evaluation.floor import FAMILIES, Floor, measure_floor
from pyrite.evaluation.metrics import Metric
from pyrite.spectrum import BANDS


def make(count: int, seed: int = 0) -> tuple[Facts, np.ndarray]:
    """Return facts that say nothing, and labels."""
    random = np.random.default_rng(seed)
    facts = Facts(
        np.ones(count, np.bool_),
        np.zeros((count, len(CONTAINER))),
        random.normal(size=(count, len(STATISTICS))),
        random.normal(size=(count, BANDS)),
    )
    return facts, (np.arange(count) % 2).astype(np.int8)


def reached(floor: Floor) -> dict[str, Metric]:
    return {shortcut.family: shortcut.auroc for shortcut in floor.shortcuts}


def test_facts_that_say_nothing_reach_chance() -> None:
    facts, labels = make(2000)
    found = measure_floor(facts, labels, np.arange(2000))
    assert list(reached(found)) == list(FAMILIES)
    assert reached(found)["container"] == Metric(0.5, 0.5, 0.5)  # All alike.
    assert all(metric.low - 0.02 < 0.5 < metric.high + 0.02 for metric in reached(found).values())
    assert found.note == "Cross-validated in 5 folds on 2,000 images."


def test_a_difference_of_means_reaches_what_theory_says() -> None:
    facts, labels = make(4000)
    facts.statistics[:, 2] += 1.5 * labels
    found = measure_floor(facts, labels, np.arange(4000))
    # Of two normal distributions 1.5 deviations apart: Φ(1.5 / √2), and Φ(0.75).
    assert reached(found)["statistics"].value == pytest.approx(0.8556, abs=0.015)
    assert found.best is not None
    assert found.best.accuracy.value == pytest.approx(0.7734, abs=0.015)
    assert found.best.family in ("statistics", "all")
    assert (found.facts[0].name, found.facts[0].family) == (STATISTICS[2], "statistics")
    assert found.facts[0].auroc == pytest.approx(0.8556, abs=0.015)


def test_the_accuracy_is_no_less_than_that_of_always_naming_the_commoner_class() -> None:
    facts, _ = make(2000)
    for few in (0, 1):
        labels = np.full(2000, 1 - few, np.int8)
        labels[:100] = few
        for shortcut in measure_floor(facts, labels, np.arange(2000)).shortcuts:
            assert shortcut.accuracy.value == pytest.approx(0.95, abs=0.01)


def test_a_difference_of_spread_is_found_as_well() -> None:
    facts, labels = make(2000)
    facts.spectrum[labels == 1, 4] *= 4
    found = reached(measure_floor(facts, labels, np.arange(2000)))
    assert found["spectrum"].value > 0.75
    assert found["statistics"].high < 0.56


def test_copies_do_not_vouch_for_each_other() -> None:
    facts, labels = make(60)
    labels = np.random.default_rng(1).permutation(labels)
    twice = Facts(*(np.concatenate([part, part]) for part in vars(facts).values()))
    groups = np.tile(np.arange(60), 2)
    apart = measure_floor(twice, np.tile(labels, 2), np.arange(120))
    together = measure_floor(twice, np.tile(labels, 2), groups)
    assert reached(apart)["all"].value > 0.8
    assert reached(together)["all"].value < 0.65


@pytest.mark.parametrize("ai", [0, 10])
def test_too_few_images_are_said(ai: int) -> None:
    facts, _ = make(100)
    labels = np.array([1] * ai + [0] * (100 - ai), np.int8)
    found = measure_floor(facts, labels, np.arange(100))
    assert found.best is None
    assert found.note == (
        f"Not measured: it takes 20 different images of each class, and here are {100 - ai} real and {ai} AI."
    )
    # A hundred copies are one image.
    assert measure_floor(facts, (np.arange(100) % 2).astype(np.int8), np.zeros(100, np.intp)).best is None


def test_unreadable_images_are_left_out() -> None:
    facts, labels = make(100)
    facts.readable[:30] = False
    assert measure_floor(facts, labels, np.arange(100)).images == 70


def test_very_many_images_are_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floors, "MAX_IMAGES", 200)
    facts, labels = make(500)
    found = measure_floor(facts, labels, np.arange(500), seed=3)
    assert found.images == 200
    assert found.note == "Cross-validated in 5 folds on 200 images, drawn at random (seed 3) from 500."
    assert measure_floor(facts, labels, np.arange(500), seed=3) == found
