"""One process that answers requests: alone, or as one of several workers."""

import gc
import math
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from pyrite.bundle import Panel
from pyrite.serving.app import create_app
from pyrite.serving.middleware import Frame
from pyrite.serving.protocol import connect
from pyrite.serving.service import Reload, Shared
from pyrite.serving.settings import ServerSettings

if TYPE_CHECKING:
    from uvicorn import Config

_FILES = 1000  # open at a time beside connections, at most


def run(
    settings: ServerSettings,
    listener: socket.socket,
    *,
    ready: Callable[[], None],
    ended: Callable[[], None],
    panel: Panel | None,
    reload: Reload,
) -> None:
    """Answer what comes until this process is told to stop.

    Args:
        settings: How.
        listener: A socket that is bound and at which nobody listens yet.
        ready: Called when somebody does.
        ended: Called when nobody does any more; a signal may end the process right after that.
        panel: What judges, if it is loaded already.
        reload: Reads the settings again.
    """
    from uvicorn import Server

    class Telling(Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            await super().shutdown(sockets)
            ended()

    app = begin(settings, panel=panel, reload=reload)
    with suppress(KeyboardInterrupt):  # Which is how a server ends, after it has finished.
        Telling(configure(settings, app)).run(sockets=[listener])


def begin(
    settings: ServerSettings, *, panel: Panel | None = None, shared: Shared | None = None, reload: Reload = None
) -> Frame:
    """Return the application in a process that does nothing but answer its requests."""
    app = create_app(settings, panel=panel, shared=shared, reload=reload)
    # What is there now stays, and looking through it for garbage again and again would hold requests up.
    gc.freeze()
    _allow_files(settings.connections + _FILES)
    return app


def configure(settings: ServerSettings, app: "Frame | Callable[[], Frame]", **more: Any) -> "Config":
    """Return what uvicorn is told of an application, or of a function that returns one."""
    from uvicorn import Config

    return Config(
        app,
        http=partial(connect, settings),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_keep_alive=math.ceil(settings.keep_alive_seconds),
        timeout_graceful_shutdown=math.ceil(settings.shutdown_seconds),
        **more,
    )


def _allow_files(number: int) -> None:
    """Have as many files and connections open at a time as the system allows this process, up to what is needed."""
    if sys.platform != "win32":
        import resource

        now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(now, min(number, most)), most))
