import io

import pytest
from rich.console import Console

from pyrite.publishing.preparation import Stage
from pyrite.training.checkpoint import EpochLog, State
from pyrite.training.display import TrainingDisplay
from pyrite.training.loop import Step


def row(epoch: int, val_loss: float) -> EpochLog:
    return EpochLog(
        epoch=epoch,
        loss=0.5,
        accuracy=0.75,
        val_loss=val_loss,
        val_accuracy=0.625,
        val_calibrated_loss=0.5,
        learning_rate=1e-3,
        seconds=75.0,
        images_per_second=1234.5,
    )


FIRST, SECOND = row(1, 0.4), row(2, 0.45)
STEP = Step(
    epoch=3,
    epochs=10,
    step=313,
    steps=626,
    loss=0.6931,
    accuracy=0.5,
    images_per_second=1338.2,
    seconds_left=13205.0,
)
LINES = (
    "Epoch 1: loss 0.5000, accuracy 0.7500; validation 0.4000, 0.6250 (best); 1:15\n"
    "Epoch 2: loss 0.5000, accuracy 0.7500; validation 0.4500, 0.6250; 1:15\n"
)


def shown(*events: Stage | Step | State, width: int = 40, terminal: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, color_system=None)
    with TrainingDisplay(console) as display:
        for event in events:
            display(event)
    return stream.getvalue()


def test_a_log_has_a_line_per_stage_and_epoch_and_wraps_none() -> None:
    text = shown(
        Stage("Decoding", 1, 10),
        Stage("Decoding", 10, 10),
        STEP,
        State(data_sha256="", epoch=1, history=(FIRST,), best_epoch=1),
        STEP,
        State(data_sha256="", epoch=2, history=(FIRST, SECOND), best_epoch=1),
        Stage("Exporting"),
    )
    assert text == f"Decoding\n{LINES}Exporting\n"


def test_a_resumed_run_shows_the_epochs_before() -> None:
    resumed = State(data_sha256="", epoch=2, step=3, history=(FIRST, SECOND), best_epoch=1)
    assert shown(resumed) == LINES
    assert shown(State(data_sha256="", step=3)) == ""


def test_a_log_says_how_far_it_is_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrite.training.display._LOG_EVERY", 0.0)
    assert shown(STEP, Stage("Exporting")) == (
        "Epoch 3/10, 50%: loss 0.6931, accuracy 0.5000, 1,338 images/s, 3:40:05 left\nExporting\nExporting\n"
    )


def test_a_terminal_of_80_columns_has_room_for_the_bar() -> None:
    text = shown(STEP, width=80, terminal=True)
    assert "loss 0.6931, accuracy 0.5000, 1,338 images/s, 3:40:05 left" in text
    assert "Epoch 3/10" in text
