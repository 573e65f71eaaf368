"""`serve`: the application on an address, until it is told to stop."""

import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from pyrite.bundle import DEFAULT, Panel
from pyrite.errors import SettingsError, require
from pyrite.serving.logs import set_up_logging
from pyrite.serving.process import run
from pyrite.serving.service import Reload
from pyrite.serving.settings import ServerSettings, is_loopback, socket_path
from pyrite.serving.workers import supervise


def serve(
    settings: ServerSettings,
    *,
    ready: Callable[[str], None] = lambda url: None,
    panel: Panel | None = None,
    reload: Reload = None,
) -> None:
    """Answer requests until the process is told to stop, and finish those that were accepted.

    Args:
        settings: How.
        ready: Called with the server's address when it can be asked.
        panel: What judges, if it is loaded already; otherwise what the settings name.
        reload: Reads the settings again at SIGHUP, for their `api_keys`. For several workers it must be picklable.

    Raises:
        MissingExtraError: The extra `serve` is not installed.
        PyriteError: The bundle or a setting cannot be used, or no worker starts.
        SettingsError: The server cannot listen on the address.
    """
    require("serve", "uvicorn")
    set_up_logging(settings.log_format, settings.log_level)
    with _bound(settings) as (listener, leave):
        tell = partial(ready, _url(settings, listener))
        if settings.workers == 1:
            run(settings, listener, ready=tell, ended=leave, panel=panel, reload=reload)
        else:
            # Each worker loads them for itself. What cannot be loaded is told here.
            if panel is None:
                Panel.open(settings.bundles or (settings.bundle or DEFAULT,))
            supervise(settings, listener, ready=tell, reload=reload)


def is_open(settings: ServerSettings) -> bool:
    """Say whether anyone on the network may ask: the address is not this machine's own, and no key is needed."""
    return not is_loopback(settings.host) and not settings.api_keys


@contextmanager
def _bound(settings: ServerSettings) -> Iterator[tuple[socket.socket, Callable[[], None]]]:
    """Give a socket that has the address, and what leaves it again.

    Nobody listens at it yet: until then, connections are refused.
    """
    path = socket_path(settings.host)
    try:
        listener = _bind(settings) if path is None else _bind_file(path)
    except (OSError, UnicodeError) as error:
        place = settings.host if path else f"{settings.host}:{settings.port}"
        raise SettingsError(f"Cannot listen on {place}: {getattr(error, 'strerror', None) or error}.") from error
    leave: Callable[[], None] = partial(_leave, path, path.stat().st_ino) if path else lambda: None
    with listener:
        try:
            yield listener, leave
        finally:
            leave()


def _bind(settings: ServerSettings) -> socket.socket:
    family, *_, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family)
    try:
        if hasattr(socket, "AF_UNIX"):  # On Windows it lets others take the address as well.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address[:2])
    except BaseException:
        listener.close()
        raise
    return listener


def _bind_file(path: Path) -> socket.socket:
    """Bind a socket's file; one that a server left which was killed is in nobody's use, and goes."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            with socket.socket(socket.AF_UNIX) as other, suppress(ConnectionRefusedError):
                other.connect(str(path))
                raise OSError(None, "another server listens there")
            path.unlink()
        listener.bind(str(path))
    except BaseException:
        listener.close()
        raise
    return listener


def _leave(path: Path, inode: int) -> None:
    """Remove a socket's file, unless another server has its own there by now."""
    with suppress(FileNotFoundError):
        if path.stat().st_ino == inode:
            path.unlink()


def _url(settings: ServerSettings, listener: socket.socket) -> str:
    if socket_path(settings.host):
        return settings.host
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
