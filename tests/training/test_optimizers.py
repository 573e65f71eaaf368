"""Optimisers and schedules, held against their formulas."""

from typing import Any

import numpy as np
import pytest

from pyrite.keras_backend import load_keras
from pyrite.recipe import load_recipe
from pyrite.training.architectures import build_model
from pyrite.training.optimizers import make_optimizer


def rates(*settings: str, total: int = 20) -> list[float]:
    schedule = make_optimizer(load_recipe("tiny", ["learning_rate=2", *settings]), total)._learning_rate
    return [float(np.asarray(schedule(step))) for step in range(total + 1)]


@pytest.mark.parametrize(("warmup", "peak"), [(0.25, 5), (0.0, 0), (1.0, 20)])
def test_a_linear_schedule_is_one_cycle(warmup: float, peak: int) -> None:
    found = rates("schedule=linear", f"warmup={warmup}")
    wanted = [
        *(2 * step / peak for step in range(peak)),
        *(2 * (20 - step) / max(1, 20 - peak) for step in range(peak, 21)),
    ]
    assert found == pytest.approx(wanted, abs=1e-6)


def test_a_linear_schedule_tells_trackers_what_it_is() -> None:
    optimizer = make_optimizer(load_recipe("tiny", ["schedule=linear", "warmup=0.25", "learning_rate=0.5"]), 20)
    assert optimizer.get_config()["learning_rate"]["config"] == {"peak": 0.5, "warmup": 5, "total": 20}


def step(kernel: np.ndarray, gradient: np.ndarray, name: str = "kernel") -> np.ndarray:
    """Return what one step of Muon at a rate of 0.1 takes from a kernel."""
    keras = load_keras()
    variable = keras.Variable(kernel, name=name)
    settings = ["optimizer=muon", "learning_rate=0.1", "schedule=constant", "warmup=0", "weight_decay=0"]
    optimizer = make_optimizer(load_recipe("tiny", settings), 10)
    optimizer.build([variable])
    optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    return kernel - np.asarray(variable)


@pytest.mark.parametrize("shape", [(3, 3, 4, 12), (2, 2, 3, 24), (16, 8)])
def test_muon_steps_are_nearly_orthogonal_whatever_the_gradient(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    gradient = (rng.normal(size=shape) * np.geomspace(1, 100, shape[-1])).astype(np.float32)
    taken = step(np.zeros(shape, np.float32), gradient).reshape(-1, shape[-1])
    # Liu et al. 2025: 0.2 sqrt(max(n, m)) times an orthogonal matrix, whose singular values are about 1.
    scale = 0.1 * 0.2 * np.sqrt(max(taken.shape))
    values = np.linalg.svd(taken / scale, compute_uv=False)
    assert values.min() > 0.4
    assert values.max() < 1.4
    assert np.sum(taken * gradient.reshape(taken.shape)) > 0


@pytest.mark.parametrize(("shape", "name"), [((3, 3, 8, 1), "kernel"), ((8,), "bias")])
def test_what_is_no_matrix_is_left_to_adamw(shape: tuple[int, ...], name: str) -> None:
    gradient = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    # The first step of Adam is the rate, whatever the gradient's size.
    np.testing.assert_allclose(step(np.zeros(shape, np.float32), gradient, name), 0.1 * np.sign(gradient), rtol=0.01)


@pytest.mark.parametrize("settings", [(), ("ema_momentum=0.5", "weight_decay=0.1")])
def test_muon_leaves_heads_to_adamw(settings: tuple[str, ...]) -> None:
    model: Any = build_model(load_recipe("tiny"), (3,))
    optimizer = make_optimizer(load_recipe("tiny", ["optimizer=muon", *settings]), 10)
    optimizer.build(model.trainable_variables)
    by_adamw = [variable.path for variable in model.trainable_variables if optimizer._should_use_adamw(variable)]
    kernels = [variable.path for variable in model.trainable_variables if variable.path.endswith("kernel")]
    assert sorted(set(kernels) & set(by_adamw)) == ["logit/kernel", "target0/kernel"]
    assert len(kernels) == 5
