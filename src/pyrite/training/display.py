"""Training's progress for people: a live bar on a terminal, plain lines in a log."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from pyrite.publishing.preparation import Stage
from pyrite.training.checkpoint import EpochLog, State
from pyrite.training.loop import Step

_LOG_EVERY = 60.0  # Seconds between lines where there is no terminal to redraw.


class TrainingDisplay:
    """A context manager to hand to `train` as its `watch`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[detail]}"),
            console=console,
            expand=True,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("Reading the data", detail="", total=None)
        self._title = ""
        self._epochs = 0
        self._logged = time.monotonic()

    def __enter__(self) -> "TrainingDisplay":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, event: Stage | Step | State) -> None:
        """Show one event."""
        if isinstance(event, State):
            # More than one where a run is resumed: it shows the same lines as an unbroken one.
            for row in event.history[self._epochs :]:
                self._print(_summary(row, best=row.epoch == event.best_epoch))
            self._epochs = len(event.history)
        elif isinstance(event, Step):
            # With the title and a short bar, this fits into 80 columns.
            detail = (
                f"loss {event.loss:.4f}, accuracy {event.accuracy:.4f}, {event.images_per_second:,.0f} images/s, "
                f"{_clock(event.seconds_left)} left"
            )
            self._show(f"Epoch {event.epoch}/{event.epochs}", detail, event.step, event.steps)
        else:
            detail = f"{event.done:,}/{event.total:,}" if event.total else ""
            if event.name != self._title and not self._console.is_terminal:
                self._print(event.name)
            self._show(event.name, detail, event.done, event.total or None)

    def _show(self, title: str, detail: str, done: int, total: int | None) -> None:
        if title != self._title:
            self._title = title
            # A new task, since an old one does not forget its total.
            self._bar.remove_task(self._task)
            self._task = self._bar.add_task(title, detail=detail, total=total)
        self._bar.update(self._task, detail=detail, completed=done, total=total)
        if not self._console.is_terminal and time.monotonic() - self._logged > _LOG_EVERY:
            self._logged = time.monotonic()
            self._print(f"{title}, {done / total:.0%}: {detail}" if total else title)

    def _print(self, line: str) -> None:
        # A line of a log is one line, however long.
        self._console.print(line, highlight=False, markup=False, soft_wrap=not self._console.is_terminal)


def _summary(row: EpochLog, *, best: bool) -> str:
    return (
        f"Epoch {row.epoch}: loss {row.loss:.4f}, accuracy {row.accuracy:.4f}; "
        f"validation {row.val_loss:.4f}, {row.val_accuracy:.4f}{' (best)' if best else ''}; {_clock(row.seconds)}"
    )


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
