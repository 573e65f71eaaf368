"""A preprocess whose images harm whoever decodes them; a module of its own, so that other processes can import it."""

import os
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import BundleInfo, Preprocess
from pyrite.detector import Reader, View
from pyrite.image import Box
from pyrite.sandbox import tell

SLOW, DEADLY, LONG, BUSY = "red", "blue", "lime", "yellow"
"""Colours of images that never come to an end, that end the process, that take a second, and that compute for ever."""
CALLER, WRITER, READER = "magenta", "cyan", "olive"
"""Colours of images that take over the decoder: to open a socket, to write a file, and to read one."""


@dataclass(frozen=True)
class Hostile:
    preprocess: Preprocess

    @property
    def enough(self) -> tuple[int, int] | None:
        return self.preprocess.enough

    def apply(self, pixels: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
        colour = tuple(pixels[0, 0])
        if colour == (255, 0, 0):
            time.sleep(1000)
        if colour == (0, 0, 255):
            os._exit(1)
        if colour == (0, 255, 0):
            time.sleep(1)
        while colour == (255, 255, 0):
            pass
        if colour == (255, 0, 255):
            socket.socket().close()
        if colour == (0, 255, 255):
            tempfile.TemporaryFile().close()
        if colour == (128, 128, 0):
            Path("/etc/passwd").read_bytes()
        return self.preprocess.apply(pixels, box)


def hostile_reader(info: BundleInfo) -> Reader:
    """Return what reads images for this bundle, and is harmed by some."""
    return Reader((View(info.scope, Hostile(info.preprocess)),))  # type: ignore[arg-type]


def explain_forever(asked: object) -> None:
    """Tell of one step of two, and never come to the other."""
    tell(1, 2)
    time.sleep(1000)


def tell_nonsense() -> str:
    """Tell of more than there is, until that must have been seen."""
    tell(5, 2)
    time.sleep(1)
    return "done"


def fail_midway(asked: object) -> None:
    """Tell of one step of two until that must have been seen, and end the process."""
    tell(1, 2)
    time.sleep(1)
    os._exit(1)


def hold(folder: Path) -> int:
    """Say in a folder, where it may be written, which process is at this, and wait until it is let go."""
    (folder / str(os.getpid())).touch()
    while not (folder / "go").exists():
        time.sleep(0.01)
    return os.getpid()
