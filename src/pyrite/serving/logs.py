"""The log: lines of text or JSON on stderr, each with its time, its level and its fields."""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pyrite.rendering.text import printable
from pyrite.serving.record import Record

QUIET = ("/healthz", "/readyz", "/metrics")
"""Paths that machines ask every few seconds; their lines are of the level `debug`."""

_requests = logging.getLogger("pyrite.requests")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: with `time`, `level`, `logger`, `message`, `pid`, its fields, and any `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {**_head(record), "pid": record.process, **_fields(record)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """`TIME LEVEL MESSAGE NAME=VALUE …`, with a traceback in lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        head = _head(record)
        pairs = [f"{name}={_plain(value)}" for name, value in _fields(record).items() if value not in (None, {})]
        line = " ".join([str(head["time"]), f"{head['level']:<7}", printable(str(head["message"])), *pairs])
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def set_up_logging(format: str, level: str) -> None:
    """Send the log of this process, and of every library in it, to stderr.

    Args:
        format: `text` or `json`.
        level: `debug`, `info`, `warning` or `error`, of the least that is told.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(True)
    # Strangers' mistakes are told in lines of their requests, and what these say of their own work helps nobody.
    for name in ("python_multipart", "uvicorn", "asyncio"):
        logging.getLogger(name).setLevel(logging.ERROR)


def log_request(
    record: Record, *, method: str | None, path: str | None, status: int, seconds: float, client: str | None
) -> None:
    """Tell of a request that was answered; one that was no HTTP has neither method nor path."""
    level = logging.DEBUG if path in QUIET else logging.INFO
    if not _requests.isEnabledFor(level):
        return
    fields = {
        "method": method,
        "path": path,
        "status": status,
        "code": record.code,
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "images": record.images,
        "verdicts": dict(record.outcomes),
        "seconds": round(seconds, 6),
        "stages": {stage: round(spent, 6) for stage, spent in record.stages.items()},
        "request_id": record.request_id,
        "key": record.key,
        "client": client,
    }
    _requests.log(level, "request", extra={"fields": fields})


def _head(record: logging.LogRecord) -> dict[str, object]:
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"time": time, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    return getattr(record, "fields", {})


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{part}" for name, part in value.items())
    text = str(value)
    return text if text.isprintable() and text and not set(' "=') & set(text) else json.dumps(text)
