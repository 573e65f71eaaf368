"""`train`: from a dataset and a recipe to a bundle and its report, in a folder that can be resumed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import (
    VALIDATED,
    BundleInfo,
    Calibration,
    Crops,
    DataInfo,
    Preprocess,
    TrainingInfo,
)
from pyrite.datasets import Dataset, remember
from pyrite.decision import Policy, Scope
from pyrite.errors import RecipeError, TrainingError, require
from pyrite.evaluation import Report
from pyrite.graph import average_views
from pyrite.provenance import current_command, package_versions, source_commit
from pyrite.publishing.preparation import PreparedDataset, Stage, prepare_dataset
from pyrite.publishing.publish import publish, written
from pyrite.recipe import Recipe, dump_recipe, load_recipe
from pyrite.runtime import Session
from pyrite.training.architectures import build_model, in_float32, without_targets
from pyrite.training.backbones import is_preset
from pyrite.training.backend import check_precision
from pyrite.training.batches import batch_size
from pyrite.training.checkpoint import State
from pyrite.training.curves import write_history, write_tensorboard
from pyrite.training.distillation import ask_teachers, draws_of
from pyrite.training.distributed import Team, read_place
from pyrite.training.export import check_parity, check_size, export
from pyrite.training.finetuning import freeze
from pyrite.training.lessons import Lessons, classes_of, read_targets, settle_targets
from pyrite.training.loop import Examples, Finish, Step, compile_model, fit
from pyrite.training.origins import check_origins, describe_origin, load_origin
from pyrite.training.probe import fit_probe, write_fits
from pyrite.training.tracking import Tell, check_trackers, tracked
from pyrite.training.warm_start import mix_weights, start_from
from pyrite.training.whitening import set_whitening
from pyrite.writing import PARTIAL, locked, remove_drafts, whole_file

_PROVENANCE = "provenance.json"

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
    log: Sequence[str] = ("tensorboard",),
) -> Report | None:
    """Train a detector, export it as a bundle, and measure that on the test split.

    `out` will hold `bundle/` and `report/`, and of the run itself `recipe.toml`, `provenance.json`,
    `history.csv`, `tensorboard/` and `checkpoint.npz`; of a probe, `probe.csv` instead of these; and `tracking.json`
    where W&B or MLflow have its curves.

    Where the environment variable `TF_CONFIG` names several machines, this is one of them, and has to be called on all
    in the same way. Only the first writes, and returns the report; the others return `None` once training is done.

    Args:
        data: the images, or where they lie.
        recipe: how to train, or where that is written.
        out: a folder that does not exist yet or is empty, unless `resume`.
        resume: go on with the run in `out`, which must have begun with the same recipe and data.
        watch: called with every step, epoch and stage.
        log: where its curves go, besides `history.csv`: see `tracking.TRACKERS`.

    Raises:
        Interrupted: on SIGINT or SIGTERM, after saving.
        PyriteError: the data, the recipe or the folder cannot be used, or training failed.
    """
    require("train", "keras", "sklearn", "matplotlib", "tensorboard")
    check_trackers(log)
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    data = data if isinstance(data, Dataset) else Dataset.open(data)
    recipe, _ = settle_targets(recipe, data)
    out = Path(out)
    place = read_place()
    place.check("A batch", recipe.batch_size)
    check_precision(recipe.precision)
    if place.size > 1:
        _check_for_several(recipe)
    if place.is_chief:
        _check(out, recipe, resume)
    # All that may be refused comes before the folder, so that a mistake leaves nothing behind.
    team = None
    if place.size > 1:
        watch(Stage("Waiting for the other machines"))
        team = Team(place)
    watch(Stage("Building the network"))
    teachers = tuple(map(load_origin, recipe.teacher))
    beginnings = tuple(map(load_origin, recipe.start_from))
    model = build_model(recipe, [len(classes_of(data, column)) for column in recipe.targets])
    check_size(model)
    material = prepare_dataset(data, recipe, watch, trained=beginnings)
    cautions = check_origins(teachers, beginnings, material)

    def observe(event: Step | State, tell: Tell) -> None:
        if isinstance(event, State):
            with written(out):
                write_history(out / "history.csv", event.history)
                if "tensorboard" in log:
                    write_tensorboard(out / "tensorboard", event.history)
                for row in event.history:
                    tell(row.epoch, {key: value for key, value in msgspec.to_builtins(row).items() if key != "epoch"})
        watch(event)

    dataset, decoded, parts = material.dataset, material.decoded, material.parts
    groups = _groups(dataset, recipe)
    lessons = Lessons(targets=read_targets(dataset, recipe, data))
    examples = Examples(
        decoded.pixels, dataset.labels, parts.train, parts.validation, decoded.canvases, groups, lessons
    )
    start = State(
        data_sha256=material.sha256,
        teachers=tuple(teacher.sha256 for teacher in teachers),
        started_from=tuple(beginning.model_sha256 for beginning in beginnings),
    )
    set_whitening(model, decoded.pixels, parts.train, recipe.seed)
    if beginnings:
        start_from(model, recipe.start_from, beginnings, decoded.pixels, parts.train, recipe.seed)
    finish = _mix(model, recipe, material) if recipe.start_share else None
    if team:
        model = _join(team, model, recipe, material, groups)
    if not place.is_chief:
        fit(model, examples, recipe, start, out / "checkpoint.npz", watch, team)
        return None
    with _claimed(out, recipe, resume) as provenance:
        if teachers:
            logits = ask_teachers(
                teachers,
                examples,
                decoded.hashes,
                recipe,
                lambda done, total: watch(Stage("Asking the teachers", done, total)),
            )
            examples = replace(examples, lessons=replace(lessons, logits=logits, draws=draws_of(decoded.hashes)))
        with tracked(log, model, recipe, out) as tell:
            if recipe.trainable == "probe":
                state = start
                _fit_probe(model, examples, decoded.hashes, recipe, out, watch, tell)
            else:
                state = fit(
                    model,
                    examples,
                    recipe,
                    start,
                    out / "checkpoint.npz",
                    lambda event: observe(event, tell),
                    team,
                    finish,
                )
        model = in_float32(without_targets(model) if recipe.targets else model, recipe)

        watch(Stage("Exporting"))
        exported = export(model, recipe)
        parity = check_parity(model, Session(exported["model.onnx"]), decoded.pixels, parts.validation)
        exported["model.onnx"] = average_views(exported["model.onnx"], recipe.export_views)
        sides = decoded.sides[np.concatenate([parts.train, parts.validation])]
        scope = _scope(material.preprocess, sides, dataset.name)
        info = BundleInfo(
            name=recipe.name,
            version=recipe.version,
            licence=recipe.licence,
            preprocess=material.preprocess,
            scope=scope,
            calibration=Calibration(),
            policy=Policy(max_fpr=recipe.max_fpr, max_fnr=recipe.max_fnr, real_needs_provenance=scope.is_photographs),
            knows=material.known_generators(beginnings),
            training=TrainingInfo(
                recipe=recipe.name,
                recipe_sha256=recipe.sha256(),
                data=DataInfo(
                    name=dataset.name,
                    sha256=material.sha256,
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
                teachers=tuple(map(describe_origin, teachers)) or msgspec.UNSET,
                started_from=tuple(map(describe_origin, beginnings)) or msgspec.UNSET,
            ),
        )
        files = {
            **exported,
            "recipe.toml": dump_recipe(recipe).encode(),
            "trained_on.bin": remember(
                [decoded.hashes[i] for i in (*parts.train, *parts.validation)],
                b"".join(origin.files.get("trained_on.bin", b"") for origin in (*teachers, *beginnings)),
            ),
            VALIDATED: remember([decoded.hashes[i] for i in parts.validation]),
        }
        return publish(
            out,
            info,
            files,
            material,
            [msgspec.to_builtins(row) for row in state.history] or None,
            cautions=cautions,
            watch=watch,
        )


def _mix(model: Any, recipe: Recipe, material: PreparedDataset) -> Finish:
    """Return what mixes trained weights with those that the model has now."""
    started = [np.asarray(variable).copy() for variable in model.trainable_variables]
    pixels, train = material.decoded.pixels, material.parts.train
    return lambda trained: mix_weights(trained, started, recipe.start_share, pixels, train, recipe.seed)


def _fit_probe(
    model: Any, examples: Examples, hashes: Sequence[str], recipe: Recipe, out: Path, watch: Watch, tell: Tell
) -> None:
    fits = fit_probe(
        model, examples, hashes, recipe, lambda done, total: watch(Stage("Computing features", done, total))
    )
    compile_model(model, recipe, 1)  # Not to train it: trackers look at how a model is compiled.
    with written(out):
        write_fits(out / "probe.csv", fits)
        tell(
            1,
            next(
                {"c": f.c, "val_auroc": f.val_auroc, "val_calibrated_loss": f.val_calibrated_loss}
                for f in fits
                if f.chosen
            ),
        )


def _check_for_several(recipe: Recipe) -> None:
    """Refuse what one machine alone can train."""
    if recipe.teacher:
        raise TrainingError("A network with teachers is trained on one machine. Unset TF_CONFIG, or leave teacher out.")
    if is_preset(recipe) or recipe.trainable in ("lora", "probe"):
        what = {"lora": "LoRA", "probe": "A probe"}.get(recipe.trainable, "A preset of Keras Hub")
        raise TrainingError(f"{what} is trained on one machine. Unset TF_CONFIG, or choose another backbone.")


def _join(team: Team, model: Any, recipe: Recipe, material: PreparedDataset, groups: NDArray[np.intp]) -> Any:
    """Return the model for training in a team, if all of it mean the same run."""
    batch, parts = batch_size(len(material.parts.train), recipe), material.parts
    team.check_alike(
        {
            "version of Pyrite": version("pyrite"),
            "recipe": recipe.sha256(),
            # In this order, since images are chosen by their number.
            "data": repr((material.sha256, material.decoded.hashes, parts.train.tolist(), parts.validation.tolist())),
            "groups": repr(groups.tolist()),
        }
    )
    team.place.check("A batch", batch)
    team.place.check("The validation split", len(parts.validation))
    model = team.prepare(model, batch)
    freeze(model, recipe)  # A copy's weights are all trainable.
    return model


def _check(out: Path, recipe: Recipe, resume: bool) -> None:
    """Refuse a folder that holds something, or on resuming anything but an unfinished run of this recipe."""
    if not resume:
        # A run that was killed as it began left no more than this.
        if out.exists() and (not out.is_dir() or any(not _is_beginning(entry.name) for entry in out.iterdir())):
            raise TrainingError(f"{out} already exists. Continue it with --resume, or choose another --out.")
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


def _is_beginning(name: str) -> bool:
    """Say whether a run has a file of this name before it is one."""
    return name == _PROVENANCE or name.startswith(PARTIAL)


@contextmanager
def _claimed(out: Path, recipe: Recipe, resume: bool) -> Iterator[_Provenance]:
    """Make the run's folder or take it up again, and hold it against other processes meanwhile."""
    with written(out):
        out.mkdir(parents=True, exist_ok=True)
    taken = TrainingError(f"Another process is training in {out}. Wait for it, or choose another --out.")
    with locked(out, taken):
        _check(out, recipe, resume)  # Again, since another process may have been here.
        remove_drafts(out)
        began = out / _PROVENANCE
        if not resume:
            provenance = _Provenance(current_command(), source_commit(), package_versions())
            with written(out):
                began.write_bytes(msgspec.json.encode(provenance))
                # The recipe makes it a run, so it comes last and whole.
                with whole_file(out / "recipe.toml") as draft:
                    draft.write_text(dump_recipe(recipe), "utf-8")
        else:
            try:
                provenance = msgspec.json.decode(began.read_bytes(), type=_Provenance)
            except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
                raise TrainingError(f"{began} cannot be read: {error}. Start again in a new folder.") from error
        yield provenance


def _scope(preprocess: Preprocess, sides: NDArray[np.int32], name: str) -> Scope:
    """Return which images a model is for, given the sides (n, 2) of those that it learnt from.

    Resized, they look another way at another size, so it is for these sizes alone. Crops look alike in images of any
    size that holds one. Smaller images are mirrored, which the model knows only if some of those it learnt from were: a
    hundredth of them, lest one stray icon speaks for all.
    """
    shortest, longest = int(sides.min()), int(sides.max())
    if isinstance(preprocess, Crops):
        usual = int(np.sort(sides[:, 0])[len(sides) // 100])
        scope = Scope(min_side=min(usual, max(preprocess.size)), max_side=None, description="")
    else:
        scope = Scope(min_side=shortest, max_side=longest, description="")
    description = f"Images similar to those in {name}, {scope.sizes} pixels a side."
    return msgspec.structs.replace(scope, description=description)


def _groups(dataset: Dataset, recipe: Recipe) -> NDArray[np.intp]:
    """Return numbers (n,) of the groups that training balances: the classes, or of AI images the generators.

    Raises:
        RecipeError: it shall be by generator, and the data does not say what made its images.
    """
    if recipe.balance_by == "class":
        return dataset.labels.astype(np.intp)
    column = dataset.generators
    if not column:
        raise RecipeError(
            f"balance_by = 'generator' needs data with a column 'generator', which {dataset.name} has not. "
            "Use --set balance_by=class."
        )
    names = [value.strip() if label else "" for value, label in zip(column, dataset.labels, strict=True)]
    return np.unique(names, return_inverse=True)[1].astype(np.intp)
