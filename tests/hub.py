"""A server on the loopback interface that speaks as much of the Hugging Face Hub's protocol as a snapshot takes."""

import hashlib
import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def hub(repository: str, files: Mapping[str, bytes], asked: list[str]) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer as the Hub does for one repository at one commit, `COMMIT`, whose branch is `main`.

    Args:
        repository: Its owner and name.
        files: What it holds.
        asked: Gets each path that is asked for.
    """

    def answer(handler: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(handler.path).path)
        asked.append(path)
        revisions = ("main", COMMIT)
        if path in [f"/api/models/{repository}/revision/{revision}" for revision in revisions]:
            siblings = [{"rfilename": name, "size": len(content)} for name, content in files.items()]
            told = {"id": repository, "modelId": repository, "sha": COMMIT, "siblings": siblings, "tags": []}
            _send(handler, json.dumps(told).encode(), {"Content-Type": "application/json"})
            return
        if path in [f"/api/models/{repository}/tree/{revision}" for revision in revisions]:
            tree = [{"type": "file", "path": name, "size": len(content), "oid": ""} for name, content in files.items()]
            _send(handler, json.dumps(tree).encode(), {"Content-Type": "application/json"})
            return
        for revision in revisions:
            name = path.removeprefix(f"/{repository}/resolve/{revision}/")
            if name != path and name in files:
                digest = hashlib.sha256(files[name]).hexdigest()
                _send(handler, files[name], {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT})
                return
        handler.send_response(404)
        handler.send_header("X-Error-Code", "RepoNotFound")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def _send(handler: BaseHTTPRequestHandler, content: bytes, headers: Mapping[str, str]) -> None:
    handler.send_response(200)
    for name, value in {**headers, "Content-Length": str(len(content))}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(content)
