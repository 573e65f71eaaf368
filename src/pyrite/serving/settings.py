"""What the server may be told, from flags, the environment and a file, checked before it starts."""

import difflib
import os
import re
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin, get_type_hints

import msgspec

from pyrite.errors import SettingsError
from pyrite.image import Limits
from pyrite.runtime import AUTO

PREFIX = "PYRITE_SERVE_"
"""Of the environment variable of each setting, followed by its name in capitals."""
UNIX = "unix"
"""What a client is called that comes by a socket of this machine, among `trusted_proxies` and in the log."""
_BUNDLES = {"bundle", "bundles"}

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]
ApiKey = Annotated[str, msgspec.Meta(pattern="^([A-Za-z0-9._-]{1,64}:)?[0-9a-f]{64}$")]
Host = Annotated[str, msgspec.Meta(pattern=r"^([^:/\s]+|\[[0-9a-f:.]+\])$")]
Origin = Annotated[str, msgspec.Meta(pattern=r"^https?://[^/\s]+$")]


class Profile(StrEnum):
    """How much of what can be decoded is taken from strangers."""

    STANDARD = "standard"
    STRICT = "strict"


STRICT = Limits(max_pixels=50_000_000, formats=("JPEG", "PNG", "WEBP"), max_frames=1)
"""What the strict profile takes; its other bounds can be lowered."""
_STRICT_SECONDS = 10.0  # for decoding one image


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything about a server that can be chosen; docs/serving.md says what each means."""

    profile: Profile = Profile.STANDARD
    host: Annotated[str, msgspec.Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8000
    bundle: str | None = None
    bundles: tuple[Annotated[str, msgspec.Meta(min_length=1)], ...] = ()
    max_fpr: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None
    allow_real: bool = False
    trust: tuple[str, ...] = ("c2pa", "interim")
    trust_anchors: tuple[str, ...] = ()
    max_bytes: Count = 25_000_000
    max_pixels: Count = 50_000_000
    max_files: Count = 100
    max_request_bytes: Count = 250_000_000
    connections: Count = 1000
    uploads: Count = 128
    queue: Count = 400
    explanations: Count = 8
    batch: Count = 32
    decoders: Count | None = None
    device: str = AUTO
    """What the models run on."""
    threads: Count | None = None
    decode_seconds: Seconds = 10.0
    upload_seconds: Seconds = 60.0
    request_seconds: Seconds = 60.0
    drain_seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0
    shutdown_seconds: Seconds = 60.0
    keep_alive_seconds: Seconds = 5.0
    api_keys: tuple[ApiKey, ...] = ()
    rate_limit: str | None = None
    image_rate_limit: str | None = None
    megapixel_rate_limit: str | None = None
    hosts: tuple[Host, ...] = ()
    origins: tuple[Origin, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    workers: Count = 1
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def __post_init__(self) -> None:
        if self.bundle is not None and self.bundles:
            raise ValueError("bundle is for one and bundles for several: set one of them")
        if self.profile is Profile.STRICT:
            if self.max_pixels > STRICT.max_pixels:
                raise ValueError(f"max_pixels is at most {STRICT.max_pixels} in the strict profile")
            if self.decode_seconds > _STRICT_SECONDS:
                raise ValueError(f"decode_seconds is at most {_STRICT_SECONDS:g} in the strict profile")
        if self.queue < self.max_files:
            raise ValueError(f"queue must be at least max_files ({self.max_files}), or no such request could be taken")
        if self.max_request_bytes < self.max_bytes:
            raise ValueError(f"max_request_bytes must be at least max_bytes ({self.max_bytes})")
        if self.workers > 1 and sys.platform == "win32":
            raise ValueError("workers must be 1 on Windows")
        for proxy in self.trusted_proxies:
            try:
                if proxy != UNIX:
                    ip_network(proxy)
            except ValueError as error:
                raise ValueError(f"trusted_proxies must be addresses, networks or {UNIX}: {error}") from None


def socket_path(host: str) -> Path | None:
    """Return the file of a socket to listen at, as `unix:/run/pyrite.sock` names it; `None` of an address."""
    scheme, _, path = host.partition(":")
    return Path(path) if scheme == UNIX and path else None


def limits_of(settings: ServerSettings) -> Limits:
    """Return what one image may cost."""
    if settings.profile is Profile.STRICT:
        return replace(STRICT, max_bytes=settings.max_bytes, max_pixels=settings.max_pixels)
    return Limits(settings.max_bytes, settings.max_pixels)


def is_loopback(host: str) -> bool:
    """Say whether an address to listen at is this machine's own, which no other can reach."""
    if socket_path(host):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reload_keys(settings: ServerSettings, read: Callable[[], ServerSettings] | None) -> ServerSettings:
    """Return settings with the keys that are there now.

    Args:
        settings: As the server began.
        read: Reads them again.

    Raises:
        SettingsError: They cannot be read, or there are no keys any more, and anyone could ask.
    """
    if read is None:
        raise SettingsError("This server was not told where its settings come from.")
    keys = read().api_keys
    if settings.api_keys and not keys:
        raise SettingsError("The setting api_keys is empty. To let anyone use the server, restart it.")
    return msgspec.structs.replace(settings, api_keys=keys)


def load_settings(
    file: str | Path | None = None,
    changes: Sequence[str] = (),
    *,
    environment: Mapping[str, str] = os.environ,
    **flags: object,
) -> ServerSettings:
    """Gather the settings; what comes first here decides: `flags`, `changes`, the environment, the file, the defaults.

    Args:
        file: TOML with settings by their names.
        changes: `KEY=VALUE` each, the value as in the environment.
        environment: `PYRITE_SERVE_` and a setting's name in capitals; lists are separated by commas.
        flags: Settings by their names; `None` is as if not given.

    Raises:
        SettingsError: A name is unknown (the nearest is named), or a value is not valid.
    """
    variables: dict[str, object] = {}
    for variable, text in environment.items():
        if variable.startswith(PREFIX):
            name = variable.removeprefix(PREFIX).lower()
            _check_name(name, f"The environment variable {variable}")
            variables[name] = _value(name, text)
    changed: dict[str, object] = {}
    for change in changes:
        name, separator, text = change.partition("=")
        if not separator:
            raise SettingsError(f"{change!r} is not KEY=VALUE.")
        _check_name(name.strip(), f"{change!r}")
        changed[name.strip()] = _value(name.strip(), text.strip())
    given = {name: value for name, value in flags.items() if value is not None}
    table: dict[str, object] = {}
    for layer in (_read(Path(file)) if file is not None else {}, variables, changed, given):
        if _BUNDLES & layer.keys():
            # Whoever names one bundle means that one instead of several, and the other way round.
            table = {name: value for name, value in table.items() if name not in _BUNDLES}
        table |= layer
    try:
        return msgspec.convert(table, ServerSettings)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        name = re.split(r"\W", where)[0]
        raise SettingsError(f"The setting {name} is not valid: {what}." if name else f"{what}.") from None


def _read(path: Path) -> Mapping[str, object]:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"The settings {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings {path} are not valid TOML: {error}.") from error
    for name in table:
        _check_name(name, str(path))
    return table


def _check_name(name: str, where: str) -> None:
    if name not in ServerSettings.__struct_fields__:
        near = difflib.get_close_matches(name, ServerSettings.__struct_fields__, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(ServerSettings.__struct_fields__)}."
        raise SettingsError(f"{where}: the server has no setting {name!r}. {hint}")


def _value(name: str, text: str) -> Any:
    """Return a text as what the setting holds: a list, a text or what TOML makes of it."""
    kind = get_type_hints(ServerSettings)[name]
    if get_origin(kind) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if kind in (str, str | None, Profile):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
