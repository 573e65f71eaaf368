"""What a decoder that was taken over would try; a module of its own, so that other processes can import it."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path


def try_all(folder: str) -> dict[str, str]:
    """Try to do harm, and tell of each how it went: `done`, or the error."""
    victim, made = Path(folder, "victim"), Path(folder, "made")
    attempts: dict[str, Callable[[], object]] = {
        "tcp": lambda: socket.socket().close(),
        "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
        "unix": lambda: socket.socket(socket.AF_UNIX).close(),
        "pair": lambda: [one.close() for one in socket.socketpair()],
        "write": lambda: made.write_text("x"),
        "append": lambda: victim.open("a").close(),
        "truncate": lambda: os.truncate(victim, 0),
        "rename": lambda: victim.rename(made),
        "mode": lambda: victim.chmod(0o777),
        "times": lambda: os.utime(victim),
        "remove": lambda: victim.unlink(),
        "folder": lambda: made.mkdir(),
        "link": lambda: made.symlink_to(victim),
        "program": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
        "process": _fork,
        "signal": lambda: os.kill(os.getppid(), 0),
    }
    return {name: _outcome(attempt) for name, attempt in attempts.items()}


def read(path: str) -> str:
    """Try to read a file."""
    return _outcome(lambda: Path(path).read_bytes())


def work() -> str:
    """Do what decoders do: threads, imports, and what they print."""
    import PIL.AvifImagePlugin  # noqa: F401

    thread = threading.Thread(target=time.sleep, args=[0])
    thread.start()
    thread.join()
    Path(os.devnull).write_text("x")
    sys.stdout.write("not an answer")
    sys.stdout.flush()
    return "done"


def hang() -> None:
    """Never return, whatever signal comes."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    time.sleep(1000)


def leave() -> None:
    """End the process."""
    os._exit(3)


def fail() -> None:
    """Raise an error that is none of Pyrite's."""
    raise ZeroDivisionError


class Trap:
    """What runs a program where its pickle is read."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("exit 0",)


def trap() -> Trap:
    """Answer with one."""
    return Trap()


def packed_trap() -> bytes:
    """Return its pickle."""
    return pickle.dumps([1, Trap()])


def _fork() -> None:
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return type(error).__name__
    return "done"
