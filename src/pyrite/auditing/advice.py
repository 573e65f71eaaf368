"""What to do about what an audit found, in sentences."""

from collections.abc import Iterator, Mapping, Sequence

from pyrite.auditing.bias import REMEDIES, Bias
from pyrite.auditing.copies import Copies
from pyrite.evaluation.floor import Floor
from pyrite.evaluation.metrics import Metric

_TELLING = 0.6
"""AUROC from which a shortcut is worth a sentence, if the interval leaves chance out."""
_STRONG = 0.1
"""How far a single fact's AUROC is from chance where it is named."""

_REMEDIES = {
    "container": "Re-save all images in one format, quality and size before training, or the model may learn the "
    "files instead of the pictures.",
    "statistics": "Only what a score adds to that counts. Balance the classes in what differs, or "
    "measure on data where they do not differ.",
    "spectrum": "That may be how images were resized and saved rather than how they were made. Bring both classes "
    "to their size in the same way, and measure on re-saved and resized images and on other generators as well.",
}


def advise(
    identical: Copies,
    copies: Mapping[str, Copies],
    floor: Floor,
    splits: Mapping[str, int],
    unreadable: int,
    biases: Sequence[Bias] = (),
) -> tuple[str, ...]:
    """Return sentences that say what was found and what to do, the most urgent first.

    Args:
        identical: Files of the same bytes.
        copies: Those of each other kind: `near`, and then `mirrored` and the like.
        floor: What shortcuts reach.
        splits: Images of each of the data's own splits.
        unreadable: Files that cannot be read.
        biases: Facts of the files that split the classes.
    """
    found = (
        *_labels(identical, copies),
        *_leaks(identical, copies, splits),
        *_biases(biases),
        *_copies(identical, copies),
        *_shortcuts(floor),
    )
    if unreadable:
        found += (f"{_some(unreadable, 'file')} cannot be read and would be left out: repair or delete them.",)
    return found or ("No problems were found in this data.",)


def _labels(identical: Copies, copies: Mapping[str, Copies]) -> Iterator[str]:
    if identical.both:
        yield (
            f"{_some(identical.both, 'pair')} of identical files {_stand(identical.both)} under both labels, so one "
            "label of each is wrong: delete the wrong one, or both."
        )
    for kind, found in copies.items():
        if found.both:
            yield (
                f"{_at_least(found)}{_some(found.both, 'pair')} of {kind} copies {_stand(found.both)} under both "
                "labels: look at them, and keep the correctly labelled one."
            )


def _leaks(identical: Copies, copies: Mapping[str, Copies], splits: Mapping[str, int]) -> Iterator[str]:
    for name, count in identical.leaked.items():
        if count:
            yield (
                f"{count:,} of the {splits[name]:,} {name} images {_stand(count)} in an earlier split too, byte for "
                "byte: a score on that split is inflated for a model that trained on these. Pyrite drops the earlier "
                "copies, and its reports also give the figures without them."
            )
        for kind, found in copies.items():
            if more := found.leaked[name] - count:
                have = "has" if more == 1 else "have"
                what = (
                    ": Pyrite leaves those out of training, other tools do not."
                    if kind == "near"
                    else ", which Pyrite's training does not see: delete one of each pair that audit.json lists."
                )
                yield (
                    f"{_at_least(found)}{_some(more, f'more {name} image')} {have} a {kind} copy in an earlier "
                    f"split{what}"
                )


def _biases(biases: Sequence[Bias]) -> Iterator[str]:
    """Say what splits the classes, the strongest first, and once what to do about it."""
    for remedy in dict.fromkeys(REMEDIES[bias.fact] for bias in biases):
        yield " ".join([*(str(bias) for bias in biases if REMEDIES[bias.fact] == remedy), remedy])


def _copies(identical: Copies, copies: Mapping[str, Copies]) -> Iterator[str]:
    if identical.pairs:
        yield (
            f"{_some(identical.pairs, 'pair')} of identical files ({identical.real:,} real, {identical.ai:,} AI): "
            "delete all but one of each. Pyrite keeps them on one side of a pooled split, but each still counts twice."
        )
    for kind, found in copies.items():
        if found.pairs:
            why = (
                "Pyrite keeps them on one side of a split, but each still counts twice."
                if kind == "near"
                else "The same picture may be in both training and test."
            )
            yield (
                f"{_at_least(found)}{_some(found.pairs, 'pair')} of {kind} copies ({found.real:,} real, {found.ai:,} "
                f"AI): delete one of each. {why}"
            )
    everything = copies["near"].compared
    for kind, found in copies.items():
        if found.compared < everything:
            yield (
                f"{kind.capitalize()} copies were looked for among {found.compared:,} of {everything:,} images, drawn "
                "at random, since it takes long: there may be more."
            )
        elif not found.complete:
            yield (
                f"The search for {kind} copies ended early, since too many pictures are alike: remove similar images, "
                "such as frames of one video, and audit again."
            )


def _shortcuts(floor: Floor) -> Iterator[str]:
    if not floor.best:
        yield f"Shortcuts: {floor.note[0].lower()}{floor.note[1:]} Add images, and audit again."
        return
    reached = {shortcut.family: shortcut.auroc for shortcut in floor.shortcuts}
    if _tells(floor.best.auroc):
        yield (
            f"The shortcut floor is an AUROC of {floor.best.auroc.value:.3f} and an accuracy of "
            f"{floor.best.accuracy.value:.1%}, without looking at any picture. Compare all scores on this data with it."
        )
    subjects = {
        "container": "The files alone tell the classes apart",
        "statistics": "Colour, brightness and contrast alone tell the classes apart",
        "spectrum": "How much fine detail there is tells the classes apart",
    }
    for family, subject in subjects.items():
        if _tells(reached[family]):
            telling = [f for f in floor.facts if f.family == family and f.strength >= _STRONG][:3]
            named = ", ".join(f"{fact.name} {'higher' if fact.auroc > 0.5 else 'lower'}" for fact in telling)
            yield (
                f"{subject} (AUROC {reached[family].value:.3f}{f'; in AI images {named}' if named else ''}). "
                f"{_REMEDIES[family]}"
            )


def _tells(auroc: Metric) -> bool:
    return auroc.value >= _TELLING and auroc.low > 0.5


def _at_least(found: Copies) -> str:
    return "" if found.complete else "At least "


def _some(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _stand(count: int) -> str:
    return "stands" if count == 1 else "stand"
