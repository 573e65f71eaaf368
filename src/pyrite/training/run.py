"""`train`: from a dataset and a recipe to a bundle and its report, in a folder that can be resumed."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import Bundle, BundleInfo, DataInfo, TrainingInfo, save_bundle
from pyrite.calibration import fit_calibration
from pyrite.datasets import Dataset, Decoded, Split, content_hashes, content_sha256, decode, remember, split
from pyrite.decision import Policy, Scope
from pyrite.detector import make_golden
from pyrite.errors import DatasetError, ImageError, TrainingError, require
from pyrite.evaluation import Part, Report, measure
from pyrite.evaluation.provenance import current_command, package_versions, source_commit
from pyrite.explanation import measure_spectra
from pyrite.image import open_image
from pyrite.preprocess import Preprocess
from pyrite.runtime import Session
from pyrite.sources import encodable
from pyrite.training.architectures import build_model
from pyrite.training.card import write_card
from pyrite.training.checkpoint import State
from pyrite.training.curves import write_history, write_tensorboard
from pyrite.training.export import check_parity, export_onnx, score
from pyrite.training.loop import Examples, Step, fit
from pyrite.training.recipe import Recipe, dump_recipe, load_recipe

_BEGINNING = {"provenance.json", "recipe.partial"}  # What a run has before it is one.
_GOLDEN_PER_CLASS = 5
_GOLDEN_SIDE = 128  # pixels, so that the bundle stays small


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the job, and how much of it is done."""

    name: str
    done: int = 0
    total: int = 0


Watch = Callable[[Stage | Step | State], None]


class _Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a run began; kept when it is resumed."""

    command: str
    commit: str | None
    packages: dict[str, str]


def train(
    data: Dataset | str | Path,
    recipe: Recipe | str | Path,
    out: str | Path,
    *,
    resume: bool = False,
    watch: Watch = lambda event: None,
) -> Report:
    """Train a detector, export it as a bundle, and measure that on the test split.

    `out` will hold `bundle/` and `report/`, and of the run itself `recipe.toml`, `provenance.json`,
    `history.csv`, `tensorboard/` and `checkpoint.npz`.

    Args:
        data: the images, or where they lie.
        recipe: how to train, or where that is written.
        out: a folder that does not exist yet or is empty, unless `resume`.
        resume: go on with the run in `out`, which must have begun with the same recipe and data.
        watch: called with every step, epoch and stage.

    Raises:
        Interrupted: on SIGINT or SIGTERM, after saving.
        PyriteError: the data, the recipe or the folder cannot be used, or training failed.
    """
    require("train", "keras", "sklearn", "matplotlib", "tensorboard")
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    dataset = data if isinstance(data, Dataset) else Dataset.open(data)
    dataset = replace(dataset, name=encodable(dataset.name))
    out = Path(out)
    _check(out, recipe, resume)
    # All that may be refused comes before the folder, so that a mistake leaves nothing behind.
    watch(Stage("Building the network"))
    model = build_model(recipe)
    whole = dataset
    if recipe.limit is not None:
        dataset = dataset.sample(recipe.limit, recipe.seed)
    preprocess = Preprocess(height=recipe.height, width=recipe.width)
    decoded = decode(dataset, preprocess, lambda done, total: watch(Stage("Decoding", done, total)))
    held_out = _left_out_tests(whole, dataset) if recipe.protocol == "official" and whole is not dataset else ()
    parts = split(dataset, decoded.hashes, recipe.protocol, recipe.fractions, recipe.seed, held_out)
    parts = _readable(parts, dataset, decoded)
    data_sha256 = content_sha256(dataset, decoded.hashes)

    def observe(event: Step | State) -> None:
        if isinstance(event, State):
            with _written(out):
                write_history(out / "history.csv", event.history)
                write_tensorboard(out / "tensorboard", event.history)
        watch(event)

    with _claimed(out, recipe, resume) as provenance:
        examples = Examples(decoded.pixels, dataset.labels, parts.train, parts.validation)
        state = fit(model, examples, recipe, State(data_sha256=data_sha256), out / "checkpoint.npz", observe)

        watch(Stage("Exporting"))
        onnx = export_onnx(model)
        session = Session(onnx)
        parity = check_parity(model, session, decoded.pixels, parts.validation)
        logits = score(session, decoded.pixels, parts.validation)
        info = BundleInfo(
            name=recipe.name,
            version="1",
            licence=recipe.licence,
            preprocess=preprocess,
            scope=_scope(decoded, np.concatenate([parts.train, parts.validation]), dataset.name),
            calibration=fit_calibration(logits, dataset.labels[parts.validation], seed=recipe.seed),
            policy=Policy(),
            training=TrainingInfo(
                recipe=recipe.name,
                recipe_sha256=recipe.sha256(),
                data=DataInfo(
                    name=dataset.name,
                    sha256=data_sha256,
                    fingerprint=dataset.fingerprint,
                    protocol=recipe.protocol,
                    fractions=recipe.fractions,
                    train=len(parts.train),
                    validation=len(parts.validation),
                    test=len(parts.test),
                ),
                seed=recipe.seed,
                command=provenance.command,
                commit=provenance.commit,
                packages=provenance.packages,
                epochs=state.epoch,
                parity=parity,
            ),
        )
        files = {
            "model.onnx": onnx,
            "golden.json": make_golden(info, onnx, _golden_images(decoded, dataset, parts.validation)),
            "recipe.toml": dump_recipe(recipe).encode(),
            "trained_on.bin": remember([decoded.hashes[i] for i in (*parts.train, *parts.validation)]),
            "spectra.json": measure_spectra(decoded.pixels, dataset.labels, parts.train, seed=recipe.seed),
        }
        report = measure(
            Bundle(info, files),
            dataset,
            # Files that cannot be read are in no split; the report lists them all the same.
            np.union1d(parts.test, np.array(list(decoded.failures), np.intp)),
            decoded.hashes,
            part=Part(recipe.protocol, f"The {recipe.protocol} test split, which training kept back.", parts.dropped),
            history=[msgspec.to_builtins(row) for row in state.history],
            progress=lambda done, total: watch(Stage("Judging the test split", done, total)),
        )
        files |= {"report.json": report.to_json(), "card.md": write_card(info, report).encode()}
        watch(Stage("Writing the bundle and the report"))
        with _written(out):
            report.write(out / "report")
        save_bundle(out / "bundle", info, files)
        return report


def _check(out: Path, recipe: Recipe, resume: bool) -> None:
    """Refuse a folder that holds something, or on resuming anything but an unfinished run of this recipe."""
    if not resume:
        # A run that was killed as it began left no more than this.
        if out.exists() and (not out.is_dir() or {entry.name for entry in out.iterdir()} - _BEGINNING):
            raise TrainingError(f"{out} is there already. Go on with it with --resume, or choose another --out.")
        return
    saved = out / "recipe.toml"
    if not saved.is_file():
        raise TrainingError(f"{out} holds no run that could be resumed. Leave --resume out to start one.")
    if (out / "bundle").exists():
        raise TrainingError(f"The run in {out} is complete: its bundle is {out / 'bundle'}.")
    before, now = (msgspec.to_builtins(r) for r in (load_recipe(saved), recipe))
    changed = [f"{key} was {before[key]!r} and is {now[key]!r}" for key in now if now[key] != before[key]]
    if changed:
        raise TrainingError(f"{out} was started with another recipe: {'; '.join(changed)}.")


@contextmanager
def _claimed(out: Path, recipe: Recipe, resume: bool) -> Iterator[_Provenance]:
    """Make the run's folder or take it up again, and hold it against other processes meanwhile."""
    with _written(out):
        out.mkdir(parents=True, exist_ok=True)
    with _locked(out):
        _check(out, recipe, resume)  # Again, since another process may have been here.
        began = out / "provenance.json"
        if not resume:
            provenance = _Provenance(encodable(current_command()), source_commit(), package_versions())
            with _written(out):
                began.write_bytes(msgspec.json.encode(provenance))
                # The recipe makes it a run, so it comes last and whole.
                partial = out / "recipe.partial"
                partial.write_text(dump_recipe(recipe), "utf-8")
                partial.replace(out / "recipe.toml")
        else:
            try:
                provenance = msgspec.json.decode(began.read_bytes(), type=_Provenance)
            except (OSError, msgspec.DecodeError) as error:
                raise TrainingError(f"{began} cannot be read: {error}. Start again in a new folder.") from error
        yield provenance


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process; the system lets go of it however the process ends."""
    try:
        import fcntl
    except ImportError:  # Windows has no such lock for a folder.
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(
                f"Another process is training in {folder}. Wait for it, or choose another --out."
            ) from None
        except OSError:
            pass  # Some network file systems cannot lock.
        yield
    finally:
        os.close(handle)


@contextmanager
def _written(out: Path) -> Iterator[None]:
    """Say what to do where the disk is full or refuses."""
    try:
        yield
    except OSError as error:
        kept = " The last checkpoint is kept: put that right, and go on with --resume."
        raise TrainingError(
            f"{error.filename or out} cannot be written: {error.strerror or error}."
            f"{kept if (out / 'checkpoint.npz').exists() else ''}"
        ) from error


def _readable(parts: Split, dataset: Dataset, decoded: Decoded) -> Split:
    """Leave out of train and validation what turned out not to be an image, if enough is left.

    Raises:
        DatasetError: it is not.
    """
    failed = np.array(list(decoded.failures), np.intp)
    parts = replace(parts, train=np.setdiff1d(parts.train, failed), validation=np.setdiff1d(parts.validation, failed))
    needed = {"train": 1, "validation": 4, "test": 1}  # Of each class; golden.json takes no fewer than 8 images.
    for name, least in needed.items():
        kept = np.setdiff1d(getattr(parts, name), failed)
        for label, kind in enumerate(("real", "AI")):
            if (count := int(np.sum(dataset.labels[kept] == label))) < least:
                raise DatasetError(
                    f"The {name} split of {dataset.name} has {count} {kind} images that can be read, and needs at "
                    f"least {least}: add images, or raise the limit where one is set."
                )
    return parts


def _left_out_tests(whole: Dataset, kept: Dataset) -> frozenset[str]:
    """Return the hashes of the test images that a limit left out, for no copy of them may be trained on."""
    left_out = set(whole.paths) - set(kept.paths)
    chosen = [i for i, path in enumerate(whole.paths) if whole.splits[i] == "test" and path in left_out]
    return frozenset(content_hashes(whole.select(np.array(chosen, np.intp)))) if chosen else frozenset()


def _scope(decoded: Decoded, learnt_from: NDArray[np.intp], name: str) -> Scope:
    shortest, longest = (int(value) for value in (decoded.sides[learnt_from].min(), decoded.sides[learnt_from].max()))
    size = f"{shortest} pixels" if shortest == longest else f"{shortest} to {longest} pixels"
    return Scope(min_side=shortest, max_side=longest, description=f"Images like those of {name}, {size} a side.")


def _golden_images(decoded: Decoded, dataset: Dataset, validation: NDArray[np.intp]) -> list[NDArray[np.uint8]]:
    chosen = [validation[dataset.labels[validation] == label][:_GOLDEN_PER_CLASS] for label in (0, 1)]
    return [_golden_image(dataset, int(i), decoded) for i in np.concatenate(chosen)]


def _golden_image(dataset: Dataset, index: int, decoded: Decoded) -> NDArray[np.uint8]:
    """Return an image at its own size, so that a replay goes through the resizing too, or small where it is large."""
    if decoded.sides[index].max() > _GOLDEN_SIDE:
        return np.array(decoded.pixels[index])
    try:
        return open_image(dataset.read(index)).pixels
    except (OSError, ImageError) as error:
        raise DatasetError(f"{dataset.paths[index]} could be read before, and now cannot: {error}") from error
