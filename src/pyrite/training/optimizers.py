"""Optimisers and their schedules."""

from typing import Any

from pyrite.keras_backend import load_keras
from pyrite.recipe import Recipe

_HEADS = ["logit", "target"]
"""Layers whose kernels are no map between features: Muon leaves them to AdamW."""


def make_optimizer(recipe: Recipe, total: int) -> Any:
    """Return a recipe's optimiser, which is to be built, for so many steps in all."""
    optimizers = load_keras().optimizers
    schedule, decay = _make_schedule(recipe, total), recipe.weight_decay
    average = {"use_ema": True, "ema_momentum": recipe.ema_momentum} if recipe.ema_momentum else {}
    if recipe.optimizer == "adamw":
        optimizer = optimizers.AdamW(schedule, weight_decay=decay, **average)
    elif recipe.optimizer == "muon":
        optimizer = _muon()(schedule, weight_decay=decay, adam_weight_decay=decay, exclude_layers=_HEADS, **average)
    else:
        optimizer = optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=decay or None, **average)
    if decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "embedding", "token"])
    return optimizer


def _make_schedule(recipe: Recipe, total: int) -> Any:
    schedules = load_keras().optimizers.schedules
    warmup = round(total * recipe.warmup)
    if recipe.schedule == "linear":
        return _one_cycle(recipe.learning_rate, warmup, total)
    return schedules.CosineDecay(
        0.0 if warmup else recipe.learning_rate,
        max(1, total - warmup),
        alpha=1.0 if recipe.schedule == "constant" else 0.0,  # What is left of the peak at the end.
        warmup_target=recipe.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


def _one_cycle(peak: float, warmup: int, total: int) -> Any:
    """Return a schedule of two straight lines: from zero to the peak, and back to zero."""
    keras = load_keras()

    class OneCycle(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc,name-defined]
        def __call__(self, step: Any) -> Any:
            step = keras.ops.cast(step, "float32")
            up, down = step / max(1, warmup), (total - step) / max(1, total - warmup)
            return peak * keras.ops.clip(keras.ops.where(step < warmup, up, down), 0, 1)

        def get_config(self) -> dict[str, float]:
            return {"peak": peak, "warmup": warmup, "total": total}

    return OneCycle()


def _muon() -> Any:
    """Return Keras's Muon, which takes matrices alone, for kernels of convolutions as well.

    Each is a matrix of all that one output sees by all outputs, as in the original (Jordan et al. 2024). Kernels of
    one channel in or out are no matrices, and left to AdamW.
    """
    keras = load_keras()

    class Muon(keras.optimizers.Muon):  # type: ignore[misc,name-defined]
        def _should_use_adamw(self, variable: Any) -> bool:
            if len(variable.shape) != 4:
                return bool(super()._should_use_adamw(variable))
            return 1 in variable.shape[2:]

        def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> Any:
            if len(x.shape) != 4:
                return super().zeropower_via_newtonschulz5(x, steps)
            matrix = keras.ops.reshape(x, (-1, x.shape[-1]))
            return keras.ops.reshape(super().zeropower_via_newtonschulz5(matrix, steps), x.shape)

        def lr_adjust(self, x: Any) -> Any:
            if len(x.shape) != 4:
                return super().lr_adjust(x)
            return keras.ops.reshape(super().lr_adjust(keras.ops.reshape(x, (-1, x.shape[-1]))), x.shape)

    return Muon
