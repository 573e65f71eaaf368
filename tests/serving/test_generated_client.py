"""A client that a generator makes from the OpenAPI document, used on a running server."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from asking import Server, picture

GENERATE = "from openapi_python_client.cli import app; app()"
USE = """
import importlib, io, json, pkgutil, sys
import generated
from generated.api.default import detect, history, limits, model, thumbnail
from generated.client import Client
from generated.models import DetectFilesBody, HistoryFilesBody
from generated.types import File

modules = [one.name for one in pkgutil.walk_packages(generated.__path__, "generated.")]
for name in modules:
    importlib.import_module(name)
with Client(base_url=sys.argv[1], raise_on_unexpected_status=True) as client:
    picture = open(sys.argv[2], "rb").read()
    files = [File(io.BytesIO(content), name, "image/png") for name, content in (("a.png", picture), ("b.png", b"none"))]
    found = detect.sync(client=client, body=DetectFilesBody(files=files, client_id=["post-1", "post-2"]), max_fpr=0.1)
    alone = detect.sync(client=client, body=File(picture))
    wrong = detect.sync(client=client, body=DetectFilesBody(files=files, client_id=["post-1"]))
    past = history.sync(client=client, body=HistoryFilesBody(files=files[:1]), x_request_id="mine")
    small = thumbnail.sync(client=client, body=File(picture))
    print(json.dumps({
        "ids": [one.client_id for one in found.detections],
        "verdicts": [one.verdict for one in found.detections + alone.detections],
        "error": found.detections[1].error.code,
        "evidence": found.detections[0].evidence[-1].kind,
        "max_fpr": found.max_fpr,
        "wrong": wrong.error.code,
        "model": model.sync(client=client).name,
        "max_files": limits.sync(client=client).max_files,
        "maps": [one.kind for one in past.maps],
        "id": past.request_id,
        "small": small.picture[:10],
        "modules": len(modules) > 40,
    }))
"""


@pytest.mark.slow
def test_a_generated_client_asks_and_understands(
    serve: Callable[..., AbstractContextManager[Server]], tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(picture())
    with serve() as server:
        (tmp_path / "openapi.json").write_bytes(server.ask("GET", "/openapi.json").body)
        command = [sys.executable, "-c", GENERATE, "generate", "--path", "openapi.json"]
        command += ["--output-path", "generated", "--meta", "none"]
        # It has ruff put its imports right.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        environment = {**os.environ, "PATH": path}
        made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
        assert made.returncode == 0, made.stdout + made.stderr
        # It knows no wildcard among media types, and says so; there is nothing else that it leaves out.
        assert made.stdout.count("WARNING") == made.stdout.count("Unsupported content type image/*")
        used = subprocess.run(
            [sys.executable, "-c", USE, f"http://127.0.0.1:{server.port}", "a.png"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert used.returncode == 0, used.stderr
    assert json.loads(used.stdout) == {
        "ids": ["post-1", "post-2"],
        "verdicts": ["ai", "uncertain", "ai"],
        "error": "unsupported_format",
        "evidence": "pixels",
        "max_fpr": 0.1,
        "wrong": "invalid_request",
        "model": "brightness",
        "max_files": 100,
        "maps": ["error_levels", "noise", "ghosts"],
        "id": "mine",
        "small": "data:image",
        "modules": True,
    }
