from dataclasses import replace

from pyrite.auditing.advice import advise
from pyrite.auditing.copies import Copies
from pyrite.evaluation.floor import FAMILIES, Fact, Floor, Shortcut
from pyrite.evaluation.metrics import Metric

NONE = Copies(pairs=0, real=0, ai=0, both=0, between=0, leaked={"test": 0})
SPLITS = {"train": 80, "test": 20}


def floor(low: float, value: float, high: float) -> Floor:
    auroc = Metric(value, low, high)
    shortcuts = tuple(Shortcut(family, auroc, auroc) for family in FAMILIES)
    return Floor(images=100, note="", shortcuts=shortcuts, facts=(Fact("gradient", "statistics", 0.3),))


def test_a_shortcut_is_worth_a_sentence_where_it_is_more_than_chance() -> None:
    clean = ("No problems were found in this data.",)
    assert advise(NONE, {"near": NONE}, floor(0.49, 0.62, 0.75), SPLITS, 0) == clean
    assert advise(NONE, {"near": NONE}, floor(0.54, 0.55, 0.56), SPLITS, 0) == clean
    said = advise(NONE, {"near": NONE}, floor(0.51, 0.62, 0.73), SPLITS, 0)
    assert len(said) == 4
    assert said[2].startswith("Colour, brightness and contrast alone tell the classes apart (AUROC 0.620; in AI images")


def test_a_search_that_ended_early_is_said_even_where_it_found_nothing() -> None:
    [said] = advise(NONE, {"near": replace(NONE, complete=False)}, floor(0.49, 0.5, 0.51), SPLITS, 0)
    assert said.startswith("The search for near copies ended early")


def test_what_an_ended_search_found_is_the_least_there_is() -> None:
    near = Copies(pairs=5, complete=False, real=1, ai=1, both=3, between=2, leaked={"test": 2})
    said = advise(NONE, {"near": near}, floor(0.49, 0.5, 0.51), SPLITS, 0)
    assert [sentence.split(":")[0] for sentence in said] == [
        "At least 3 pairs of near copies stand under both labels",
        "At least 2 more test images have a near copy in an earlier split",
        "At least 5 pairs of near copies (1 real, 1 AI)",
        "The search for near copies ended early, since too many pictures are alike",
    ]


def test_a_search_for_changed_copies_that_ended_early_or_was_of_some_images_is_said() -> None:
    whole = replace(NONE, compared=30_000)
    ended, drawn = replace(whole, complete=False), replace(NONE, complete=False, compared=10_000)
    kinds = {"near": whole, "mirrored": ended, "bordered": whole, "cropped": drawn}
    assert [sentence.split(",")[0] for sentence in advise(NONE, kinds, floor(0.49, 0.5, 0.51), SPLITS, 0)] == [
        "The search for mirrored copies ended early",
        "Cropped copies were looked for among 10",
    ]
