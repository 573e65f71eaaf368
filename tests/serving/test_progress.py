"""Answers in lines, which come while an image is explained."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pytest
from asking import PNG, Server, picture
from hostile import explain_forever, fail_midway

from waiting import eventually

if TYPE_CHECKING:
    from starlette.testclient import TestClient

Serve = Callable[..., AbstractContextManager[Server]]
LINES = {**PNG, "Accept": "application/x-ndjson"}


def lines_of(body: bytes) -> list[dict[str, Any]]:
    assert body.endswith(b"\n")
    return [json.loads(line) for line in body.splitlines()]


def test_lines_tell_how_far_it_is_and_end_with_what_the_plain_answer_is(client: "TestClient") -> None:
    plain = client.post("/v1/explain", content=picture(), headers={**PNG, "Accept": "application/json"}).json()
    answer = client.post("/v1/explain", content=picture(), headers=LINES)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    *steps, last = lines_of(answer.content)
    assert steps
    assert all(set(step) == {"progress"} for step in steps)
    done = [step["progress"]["done"] for step in steps]
    assert done == sorted(set(done))
    assert {step["progress"]["total"] for step in steps} == {651} == {done[-1]}
    assert set(last) == {"result"}
    assert last["result"].pop("request_id") == answer.headers["x-request-id"]
    del plain["request_id"]
    assert last["result"] == plain


@pytest.mark.parametrize(
    ("content", "path", "status", "code"),
    [
        (b"no image", "/v1/explain", 422, "unsupported_format"),
        (picture(side=640), "/v1/explain", 422, "out_of_scope"),
        (picture(), "/v1/explain?max_fpr=2", 422, "invalid_request"),
    ],
)
def test_what_fails_before_the_first_line_is_answered_as_ever(
    client: "TestClient", content: bytes, path: str, status: int, code: str
) -> None:
    answer = client.post(path, content=content, headers=LINES)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert answer.json()["error"]["code"] == code


def test_what_fails_later_is_the_last_line(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrite.serving.service.explain", fail_midway)
    with serve() as server:
        answer = server.ask("POST", "/v1/explain", picture(), LINES)
        assert answer.status == 200
        first, last = lines_of(answer.body)
        assert first == {"progress": {"done": 1, "total": 2}}
        assert set(last["error"]) == {"code", "message", "request_id"}
        assert last["error"]["code"] == "crashed"
        assert server.metric('pyrite_rejections_total{code="crashed"}') == 1
        assert server.metric("pyrite_explanations") == 0


@pytest.mark.parametrize("accept", ["application/x-ndjson", "application/json"])
def test_who_hangs_up_ends_the_work(serve: Serve, monkeypatch: pytest.MonkeyPatch, accept: str) -> None:
    monkeypatch.setattr("pyrite.serving.service.explain", explain_forever)
    with serve(request_seconds=600.0) as server:
        content = picture()
        head = f"POST /v1/explain HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nContent-Type: image/png\r\n"
        with server.connect() as one:
            one.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
            if "ndjson" in accept:
                told = b""
                while b'{"progress":{"done":1,"total":2}}\n' not in told:
                    told += one.recv(4096)
            assert eventually(lambda: server.metric("pyrite_explanations") == 1)
        assert eventually(lambda: server.metric("pyrite_explanations") == 0)
        # There is one process for this, and it is at nothing.
        assert server.ask("POST", "/v1/history", content, PNG).status == 200
