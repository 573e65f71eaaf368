"""Distillation: what teachers, which are bundles, say of the training images; asked once and kept on disk.

A network learns most from a teacher that sees what it sees, over many epochs (Beyer et al. 2022, "Knowledge
distillation: A good teacher is patient and consistent"). So each training image has a number of variants, changed at
random as the recipe says; teachers are asked of each once, and every epoch trains on one of them. To ask them anew in
each epoch is the same with as many variants as there are epochs: fewer save the teachers' time, and what is kept serves
all networks that are trained on the same images by the same teachers, whatever their seed.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import Bundle, Preprocess, Resize
from pyrite.bundle.views import VIEWS
from pyrite.errors import Interrupted, TrainingError
from pyrite.folders import cache_folder
from pyrite.prefetch import prefetch
from pyrite.recipe import Recipe
from pyrite.runtime import Session, available_cpus
from pyrite.training.batches import variant_images
from pyrite.training.loop import Examples
from pyrite.writing import whole_file

Floats = NDArray[np.float32]
Progress = Callable[[int, int], None]

_FORMAT = 1  # Part of the key: raise it when the same recipe comes to other variants.
_TOGETHER = 4096  # images whose logits are kept in a file; what is lost where a run is stopped
_BATCH = 128


def draws_of(hashes: Sequence[str]) -> NDArray[np.uint64]:
    """Return what each image's variants are drawn with (n,): its content, so that it is the same in any run."""
    return np.array([int(value[:16] or "0", 16) for value in hashes], np.uint64)


def ask_teachers(
    teachers: Sequence[Bundle], examples: Examples, hashes: Sequence[str], recipe: Recipe, progress: Progress
) -> Floats:
    """Return the teachers' mean logit (variants, n) of each variant of each training image; NaN of other images.

    Args:
        teachers: Bundles. Each sees a network's input as its own geometry has it.
        examples: Whose training images they are asked of.
        hashes: Each file's SHA-256, of the whole dataset, by which earlier answers are found again.
        recipe: Says how many variants and views there are, and how images are changed.
        progress: Called with how many images have been judged, and how many will be.

    Raises:
        BundleError: A teacher fails.
        Interrupted: On SIGINT; the answers so far are kept.
        TrainingError: They cannot be kept on disk.
    """
    train, variants, draws = examples.train, recipe.distillation_variants, draws_of(hashes)
    total, done = len(teachers) * variants * len(train), 0
    mean = np.zeros((variants, len(train)), np.float64)
    try:
        asked = [
            _Teacher(teacher, cache_folder() / f"taught-{_key(teacher, examples, hashes, recipe)}", recipe)
            for teacher in teachers
        ]
        for variant in range(variants):
            for start in range(0, len(train), _TOGETHER):
                chosen = train[start : start + _TOGETHER]
                of_each = _answers(asked, f"{variant}-{start}.npy", examples, chosen, draws, variant, recipe)
                mean[variant, start : start + len(chosen)] = np.mean(of_each, 0, np.float64)
                done += len(teachers) * len(chosen)
                progress(done, total)
    except OSError as error:
        raise TrainingError(
            f"The teachers' answers cannot be kept in {cache_folder()}: {error}. Point PYRITE_CACHE at another disk."
        ) from error
    except KeyboardInterrupt:
        raise Interrupted(
            f"Stopped after the teachers answered {done:,} of {total:,} images. The answers are kept. Continue with "
            "--resume."
        ) from None
    logits = np.full((variants, len(examples.labels)), np.nan, np.float32)
    logits[:, train] = mean
    return logits


class _Teacher:
    """A bundle, whose network is loaded once it is needed, and the folder that keeps its answers."""

    def __init__(self, bundle: Bundle, folder: Path, recipe: Recipe) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._bundle, self._views = folder, bundle, VIEWS[recipe.distillation_views]

    @cached_property
    def _session(self) -> Session:
        return Session(self._bundle.model, one_by_one=self._bundle.info.one_by_one)

    def logits(self, images: NDArray[np.uint8]) -> Floats:
        """Return the mean logit (n,) over the views of a network's inputs (n, height, width, 3)."""
        preprocess = self._bundle.info.preprocess
        views = [_logits(self._session, preprocess, view.apply(images)) for view in self._views]
        mean: Floats = np.stack(views).mean(0).astype(np.float32)
        return mean


def _answers(
    teachers: Sequence[_Teacher],
    name: str,
    examples: Examples,
    chosen: NDArray[np.intp],
    draws: NDArray[np.uint64],
    variant: int,
    recipe: Recipe,
) -> list[Floats]:
    """Return each teacher's logits (len(chosen),) of one variant of some images; a file of that name keeps them."""
    answers = {teacher: _read(teacher.folder / name, len(chosen)) for teacher in teachers}
    left = [teacher for teacher, logits in answers.items() if logits is None]
    # Of the same images, since to make a small image takes longer than to judge it.
    for teacher, logits in zip(left, _judge(left, examples, chosen, draws, variant, recipe), strict=True):
        with whole_file(teacher.folder / name) as draft, draft.open("wb") as stream:
            np.save(stream, logits, allow_pickle=False)
        answers[teacher] = logits
    return [logits for logits in answers.values() if logits is not None]


def _judge(
    teachers: Sequence[_Teacher],
    examples: Examples,
    chosen: NDArray[np.intp],
    draws: NDArray[np.uint64],
    variant: int,
    recipe: Recipe,
) -> Floats:
    """Return each teacher's logit (teachers, len(chosen)) of one variant of each of some images."""
    if not teachers:
        return np.empty((0, len(chosen)), np.float32)
    source = examples.pixels if examples.canvases is None else examples.canvases

    def batches(pool: ThreadPoolExecutor) -> Iterator[NDArray[np.uint8]]:
        for start in range(0, len(chosen), _BATCH):
            yield variant_images(source, chosen[start : start + _BATCH], draws, variant, recipe, pool)

    with ThreadPoolExecutor(available_cpus(), thread_name_prefix="pyrite-augment") as pool:
        parts = [[teacher.logits(images) for teacher in teachers] for images in prefetch(batches(pool))]
    return np.concatenate(parts, 1)


def _logits(session: Session, preprocess: Preprocess, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the logits (n,) of a network's inputs (n, height, width, 3), each looked at as an image."""
    if isinstance(preprocess, Resize) and preprocess.size == images.shape[1:3]:
        return session.logits(np.ascontiguousarray(images)).astype(np.float64)
    inputs = [preprocess.apply(np.ascontiguousarray(image)) for image in images]
    ends = np.cumsum([len(of_image) for of_image in inputs])
    # A batch at a time, since an image may give many inputs.
    together = np.concatenate(inputs)
    logits = np.concatenate([session.logits(together[i : i + _BATCH]) for i in range(0, len(together), _BATCH)])
    return np.array([preprocess.merge(of_image) for of_image in np.split(logits, ends[:-1])])


def _key(teacher: Bundle, examples: Examples, hashes: Sequence[str], recipe: Recipe) -> str:
    """Return a hash of all that a teacher's answers hang on: itself, the images, how variants and views are made."""
    of_teacher = (teacher.model_sha256, teacher.info.preprocess, recipe.distillation_views)
    geometry = (recipe.preprocess, recipe.canvas_side, recipe.scales)
    changes = (recipe.vertical_flip, recipe.turn, recipe.shift, recipe.grey, recipe.border, recipe.degrade)
    digest = hashlib.sha256(repr((_FORMAT, of_teacher, geometry, changes, recipe.augmentation)).encode())
    digest.update("\n".join(hashes[i] for i in examples.train).encode())
    return digest.hexdigest()[:24]


def _read(path: Path, count: int) -> Floats | None:
    """Return the logits (count,) that a file holds; `None` where they cannot be used."""
    try:
        logits: Floats = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return logits if logits.shape == (count,) and logits.dtype == np.float32 and np.isfinite(logits).all() else None
