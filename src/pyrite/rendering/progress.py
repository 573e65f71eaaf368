"""A progress bar on stderr, where that is a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(console: Console, description: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar, and give the function that moves it: how many are done, and how many there are."""
    with stage_bar(console) as show:
        show(description, 0, 0)
        yield lambda done, total: show(description, done, total)


@contextmanager
def stage_bar(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar, and give the function that moves it: what is being done, how much is done, and how much there is."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        shown = ""

        def show(stage: str, done: int, total: int) -> None:
            nonlocal task, shown
            if stage != shown:
                shown = stage
                # A new task, since an old one does not forget its total.
                bar.remove_task(task)
                task = bar.add_task(stage, total=None)
            bar.update(task, completed=done, total=total or None)

        yield show
