"""A server on the loopback interface that speaks as much of the Hugging Face Hub's protocol as is used here."""

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from forking import COMMAND, COMMANDS, run_forked

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_token"
"""The one that may write."""


@dataclass(frozen=True)
class Uploads:
    """What a server was sent, and what it does with that."""

    refused: bool = False
    """Whether the token has no right to write here."""
    private: list[bool] = field(default_factory=list)
    """Of the repository, once it is made."""
    messages: list[str] = field(default_factory=list)
    """Of the commits."""
    large: dict[str, bytes] = field(default_factory=dict)
    """The content of files that git keeps elsewhere (LFS), by hash."""


def hub(
    repository: str,
    files: Mapping[str, bytes],
    asked: list[str],
    uploads: Uploads | None = None,
    kind: Literal["models", "datasets"] = "models",
) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer as the Hub does for one repository at one commit, `COMMIT`, whose branch is `main`.

    Args:
        repository: Its owner and name.
        files: What it holds; a repository without any is missing.
        asked: Gets each path that is asked for.
        uploads: If files may be sent; `files` is a dict then, and gets them.
        kind: Of repository.
    """
    place = repository if kind == "models" else f"{kind}/{repository}"

    def answer(handler: BaseHTTPRequestHandler) -> None:
        address = urlsplit(handler.path)
        path = unquote(address.path)
        asked.append(path)
        if handler.headers.get("Authorization", f"Bearer {TOKEN}") != f"Bearer {TOKEN}":
            _send(handler, b"", {"X-Error-Message": "Invalid credentials in Authorization header"}, 401)
            return
        if handler.command in ("POST", "PUT"):
            assert uploads
            assert isinstance(files, dict)
            _write(handler, path, repository, files, uploads)
            return
        revisions = ("main", COMMIT)
        told = {
            "id": repository,
            "modelId": repository,
            "sha": COMMIT,
            "private": bool(uploads and uploads.private and uploads.private[0]),
            "siblings": [{"rfilename": name, "size": len(content)} for name, content in files.items()],
            "tags": [],
        }
        about = f"/api/{kind}/{repository}"
        if files and path in [about, *(f"{about}/revision/{revision}" for revision in revisions)]:
            _tell(handler, told)
            return
        for revision in revisions:
            tree = f"{about}/tree/{revision}"
            if path == tree or path.startswith(f"{tree}/"):
                recursive = parse_qs(address.query).get("recursive", [""])[0].lower() == "true"
                _tell(handler, _tree(files, path.removeprefix(tree).strip("/"), recursive=recursive))
                return
            name = path.removeprefix(f"/{place}/resolve/{revision}/")
            if name != path and name in files:
                digest = hashlib.sha256(files[name]).hexdigest()
                _send_part(handler, files[name], {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT})
                return
        _send(handler, b"", {"X-Error-Code": "RepoNotFound"}, 404)

    return answer


def run(*arguments: object, **environment: str) -> tuple[int, str]:
    """Run the command line in a process of its own, since the Hub's library reads the environment once."""
    own = os.environ | {"no_proxy": "*", "HF_HUB_DISABLE_TELEMETRY": "1"} | environment
    [ended] = run_forked(COMMANDS, COMMAND, (arguments, own))
    return ended.code, ended.stdout + ended.stderr


def _write(
    handler: BaseHTTPRequestHandler, path: str, repository: str, files: dict[str, bytes], uploads: Uploads
) -> None:
    body = _body(handler)
    address = f"http://{handler.headers['Host']}"
    if path.startswith("/large/"):  # Told to those who had a token, who need none here.
        digest = path.rpartition("/")[2]
        assert hashlib.sha256(body).hexdigest() == digest
        uploads.large[digest] = body
        _send(handler, b"", {})
    elif path == "/api/validate-yaml":
        _tell(handler, {"errors": [], "warnings": []})
    elif "Authorization" not in handler.headers:
        _send(handler, b"", {}, 401)
    elif uploads.refused:
        _send(handler, b"", {"X-Error-Message": "You don't have the rights"}, 403)
    elif path == "/api/repos/create":
        wanted = json.loads(body)
        assert f"{wanted['organization']}/{wanted['name']}" == repository
        if not files:
            uploads.private.append(wanted.get("visibility") == "private" or wanted.get("private") is True)
            files[".gitattributes"] = b"*.onnx filter=lfs diff=lfs merge=lfs -text\n"
            _tell(handler, {"url": f"{address}/{repository}"})
        else:
            _tell(handler, {"url": f"{address}/{repository}"}, 409)
    elif path == f"/api/models/{repository}/preupload/main":
        _tell(handler, {"files": [_mode(file["path"]) for file in json.loads(body)["files"]]})
    elif path == f"/{repository}.git/info/lfs/objects/batch":
        objects = [
            {**what, "actions": {"upload": {"href": f"{address}/large/{what['oid']}"}}}
            for what in json.loads(body)["objects"]
        ]
        _tell(handler, {"transfer": "basic", "objects": objects})
    elif path == f"/api/models/{repository}/commit/main":
        for line in body.splitlines():
            _commit(json.loads(line), files, uploads)
        _tell(handler, {"commitUrl": f"{address}/{repository}/commit/{COMMIT}", "commitOid": COMMIT})
    else:
        _send(handler, b"", {}, 404)


def _mode(name: str) -> dict[str, object]:
    return {"path": name, "uploadMode": "lfs" if name.endswith(".onnx") else "regular", "shouldIgnore": False}


def _commit(line: dict[str, Any], files: dict[str, bytes], uploads: Uploads) -> None:
    value = line["value"]
    if line["key"] == "header":
        uploads.messages.append(value["summary"])
    elif line["key"] == "file":
        files[value["path"]] = base64.b64decode(value["content"])
    elif line["key"] == "lfsFile":
        files[value["path"]] = uploads.large[value["oid"]]
    else:
        assert line["key"] == "deletedFile"
        del files[value["path"]]


def _tree(files: Mapping[str, bytes], folder: str, *, recursive: bool) -> list[dict[str, object]]:
    """Return what lies in a folder, or all files below it."""
    below = f"{folder}/" if folder else ""
    names = [name for name in files if name.startswith(below)]
    direct = [name for name in names if recursive or "/" not in name.removeprefix(below)]
    folders = {below + name.removeprefix(below).partition("/")[0] for name in names if name not in direct}
    return [
        *({"type": "directory", "path": name, "oid": ""} for name in sorted(folders)),
        *({"type": "file", "path": name, "size": len(files[name]), "oid": ""} for name in direct),
    ]


def _send_part(handler: BaseHTTPRequestHandler, content: bytes, headers: Mapping[str, str]) -> None:
    """Send the bytes that were asked for: all of them, or a range."""
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range", ""))
    if wanted is None:
        _send(handler, content, headers)
        return
    start, end = int(wanted[1]), min(int(wanted[2] or len(content) - 1), len(content) - 1)
    span = {"Content-Range": f"bytes {start}-{end}/{len(content)}"}
    _send(handler, content[start : end + 1], {**headers, **span}, 206)


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("Transfer-Encoding") != "chunked":
        return handler.rfile.read(int(handler.headers["Content-Length"]))
    body = b""
    while size := int(handler.rfile.readline(), 16):
        body += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return body


def _tell(handler: BaseHTTPRequestHandler, told: object, status: int = 200) -> None:
    _send(handler, json.dumps(told).encode(), {"Content-Type": "application/json"}, status)


def _send(handler: BaseHTTPRequestHandler, content: bytes, headers: Mapping[str, str], status: int = 200) -> None:
    handler.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(content))}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(content)
