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
    train, variants = examples.train, recipe.distillation_variants
    total, done = len(teachers) * variants * len(train), 0
    mean = np.zeros((variants, len(train)), np.float64)
    try:
        for teacher in teachers:
            folder = cache_folder() / f"taught-{_key(teacher, examples, hashes, recipe)}"
            for (variant, start), logits in _answers(teacher, folder, examples, draws_of(hashes), recipe):
                mean[variant, start : start + len(logits)] += logits / len(teachers)
                done += len(logits)
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


def _answers(
    teacher: Bundle, folder: Path, examples: Examples, draws: NDArray[np.uint64], recipe: Recipe
) -> Iterator[tuple[tuple[int, int], Floats]]:
    """Yield the logits of some training images at a time, and of which variant and from which image on they are."""
    folder.mkdir(parents=True, exist_ok=True)
    places = [
        (variant, start)
        for variant in range(recipe.distillation_variants)
        for start in range(0, len(examples.train), _TOGETHER)
    ]
    session: Session | None = None
    for variant, start in places:
        path, chosen = folder / f"{variant}-{start}.npy", examples.train[start : start + _TOGETHER]
        logits = _read(path, len(chosen))
        if logits is None:
            session = session or Session(teacher.model, one_by_one=teacher.info.one_by_one)
            logits = _judge(session, teacher.info.preprocess, examples, chosen, draws, variant, recipe)
            with whole_file(path) as draft, draft.open("wb") as stream:
                np.save(stream, logits, allow_pickle=False)
        yield (variant, start), logits


def _judge(
    session: Session,
    preprocess: Preprocess,
    examples: Examples,
    chosen: NDArray[np.intp],
    draws: NDArray[np.uint64],
    variant: int,
    recipe: Recipe,
) -> Floats:
    """Return a teacher's logit (len(chosen),) of one variant of each of some images."""
    source = examples.pixels if examples.canvases is None else examples.canvases

    def batches(pool: ThreadPoolExecutor) -> Iterator[NDArray[np.uint8]]:
        for start in range(0, len(chosen), _BATCH):
            yield variant_images(source, chosen[start : start + _BATCH], draws, variant, recipe, pool)

    views = VIEWS[recipe.distillation_views]
    with ThreadPoolExecutor(available_cpus(), thread_name_prefix="pyrite-augment") as pool:
        parts = [
            np.mean([_logits(session, preprocess, view.apply(images)) for view in views], 0)
            for images in prefetch(batches(pool))
        ]
    return np.concatenate(parts).astype(np.float32)


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
