"""Training's progress for people: a live bar on a terminal, plain lines in a log."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pyrite.training.checkpoint import State
from pyrite.training.loop import Step
from pyrite.training.run import Stage

_LOG_EVERY = 60.0  # Seconds between lines where there is no terminal to redraw.


class Display:
    """A context manager to hand to `train` as its `watch`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", detail="", total=None)
        self._stage = ""
        self._logged = time.monotonic()

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, event: Stage | Step | State) -> None:
        """Show one event."""
        if isinstance(event, State):
            row = event.history[-1]
            best = " (best)" if event.best_epoch == row.epoch else ""
            self._console.print(
                f"Epoch {row.epoch}: loss {row.loss:.4f}, accuracy {row.accuracy:.4f}; validation loss "
                f"{row.val_loss:.4f}, accuracy {row.val_accuracy:.4f}{best}; {row.images_per_second:.0f} images/s",
                highlight=False,
            )
        elif isinstance(event, Step):
            detail = (
                f"step {event.step}/{event.steps}, loss {event.loss:.4f}, accuracy {event.accuracy:.4f}, "
                f"{event.images_per_second:.0f} images/s, {_clock(event.seconds_left)} left"
            )
            self._show(f"Epoch {event.epoch}/{event.epochs}", detail, event.step, event.steps)
        else:
            detail = f"{event.done:,}/{event.total:,}" if event.total else ""
            if event.name != self._stage and not self._console.is_terminal:
                self._console.print(event.name, highlight=False)
            self._stage = event.name
            self._show(event.name, detail, event.done, event.total or None)

    def _show(self, description: str, detail: str, done: int, total: int | None) -> None:
        self._bar.update(self._task, description=description, detail=detail, completed=done, total=total)
        if not self._console.is_terminal and time.monotonic() - self._logged > _LOG_EVERY:
            self._logged = time.monotonic()
            self._console.print(f"{description}: {detail}", highlight=False, soft_wrap=True)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
