"""`train`: from a dataset and a recipe to a bundle and its report, in a folder that can be resumed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pyrite.datasets import Dataset, content_sha256, decode, split
from pyrite.errors import TrainingError
from pyrite.preprocess import Preprocess
from pyrite.training.architectures import build_model
from pyrite.training.checkpoint import State
from pyrite.training.curves import write_history, write_tensorboard
from pyrite.training.loop import Examples, Step, fit
from pyrite.training.provenance import current_provenance
from pyrite.training.recipe import Recipe, dump_recipe, load_recipe


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the job, and how much of it is done."""

    name: str
    done: int = 0
    total: int = 0


Watch = Callable[[Stage | Step | State], None]


def train(
    data: Dataset, recipe: Recipe, out: Path, *, resume: bool = False, watch: Watch = lambda event: None
) -> Path:
    state_file = out / "checkpoint.npz"
    _prepare(out, recipe, resume)
    data = data if recipe.limit is None else data.sample(recipe.limit, recipe.seed)
    preprocess = Preprocess(height=recipe.height, width=recipe.width)
    decoded = decode(data, preprocess, lambda done, total: watch(Stage("Decoding", done, total)))
    parts = split(data, decoded.hashes, recipe.protocol, recipe.fractions, recipe.seed)
    start = State(data_sha256=content_sha256(data, decoded.hashes))
    model = build_model(recipe)
    examples = Examples(decoded.pixels, data.labels, parts.train, parts.validation)

    def observe(event: Step | State) -> None:
        if isinstance(event, State):
            write_history(out / "history.csv", event.history)
            write_tensorboard(out / "tensorboard", event.history[-1])
        watch(event)

    fit(model, examples, recipe, start, state_file, observe)
    return out


def _prepare(out: Path, recipe: Recipe, resume: bool) -> None:
    """Make the run's folder, or check that what is there is a run of this recipe."""
    saved = out / "recipe.toml"
    if not resume:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise TrainingError(
                f"{out} is there already. Go on with it with --resume, or choose another --out."
            )
        out.mkdir(parents=True, exist_ok=True)
        (out / "provenance.json").write_bytes(msgspec.json.encode(current_provenance()))
        saved.write_text(dump_recipe(recipe), "utf-8")
        return
    if not saved.is_file():
        raise TrainingError(f"{out} holds no run that could be resumed.")
    before, now = (msgspec.to_builtins(r) for r in (load_recipe(saved), recipe))
    changed = [f"{key} was {before[key]!r} and is {now[key]!r}" for key in now if now[key] != before[key]]
    if changed:
        raise TrainingError(f"{out} was started with another recipe: {'; '.join(changed)}.")
