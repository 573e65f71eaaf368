import json
import logging
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from asking import PNG, Server, picture
from hostile import BUSY, DEADLY, SLOW

from pyrite.serving.logs import JsonFormatter, TextFormatter, log_request
from pyrite.serving.record import Record
from waiting import eventually

Serve = Callable[..., AbstractContextManager[Server]]


def line(**more: Any) -> logging.LogRecord:
    found = logging.LogRecord(
        "pyrite.serving", logging.ERROR, __file__, 1, "it\nfailed", (), more.pop("exc_info", None)
    )
    found.fields = more
    return found


def test_a_traceback_is_one_field_of_one_line() -> None:
    try:
        raise ValueError("no\nsuch")
    except ValueError:
        record = line(path=Path("a"), exc_info=sys.exc_info())
    text = JsonFormatter().format(record)
    assert "\n" not in text
    found = json.loads(text)
    assert (found["level"], found["logger"], found["message"], found["path"]) == (
        "error", "pyrite.serving", "it\nfailed", "a",
    )  # fmt: skip
    assert found["time"].endswith("Z")
    assert found["traceback"].startswith("Traceback (most recent call last):\n")
    assert found["traceback"].endswith("ValueError: no\nsuch")


def test_text_lets_nothing_begin_a_line_or_a_field() -> None:
    text = TextFormatter().format(
        line(path="/a\n2026 error \x1b[31m", key='a" status=200', images=3, verdicts={"ai": 1})
    )
    assert text.count("\n") == 0
    assert "\x1b" not in text
    assert (
        ' error   it\\nfailed path="/a\\n2026 error \\u001b[31m" key="a\\" status=200" images=3 verdicts=ai:1' in text
    )


@pytest.mark.parametrize(("path", "level"), [("/v1/detect", logging.INFO), ("/healthz", logging.DEBUG)])
def test_a_request_is_one_line_whose_level_tells_whether_a_machine_asked(
    caplog: pytest.LogCaptureFixture, path: str, level: int
) -> None:
    caplog.set_level(logging.DEBUG)
    record = Record("an-id", key="newsroom", bytes_in=3, images=2)
    record.spend("decode", 0.5)
    record.spend("decode", 0.25)
    log_request(record, method="GET", path=path, status=200, seconds=1.5, client="192.0.2.1")
    [found] = caplog.records
    assert found.levelno == level
    told = json.loads(JsonFormatter().format(found))
    expected = {"path": path, "stages": {"decode": 0.5}, "seconds": 1.5, "key": "newsroom", "client": "192.0.2.1"}
    assert expected.items() <= told.items()


def test_a_request_that_fails_here_leaves_its_traceback(
    serve: Serve, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyrite.serving.service.Service.detect", Mock(side_effect=ZeroDivisionError))
    with serve() as server:
        answer = server.ask("POST", "/v1/detect", picture(), {**PNG, "X-Request-ID": "mine"})
    assert (answer.status, answer.code) == (500, "internal_server_error")
    [failed] = [found for found in caplog.records if found.message == "request failed"]
    told = json.loads(JsonFormatter().format(failed))
    assert (told["request_id"], told["traceback"][-17:]) == ("mine", "ZeroDivisionError")


@pytest.mark.parametrize(
    ("colour", "fields"), [(SLOW, {"reason": "timed_out", "seconds": 1.0}), (DEADLY, {"reason": "crashed"})]
)
def test_a_killed_decoder_is_told_with_its_reason(
    serve: Serve, hostile: None, caplog: pytest.LogCaptureFixture, colour: str, fields: dict[str, Any]
) -> None:
    with serve(decode_seconds=1.0) as server:
        server.ask("POST", "/v1/detect", picture(colour) + bytes(300_000), PNG)
    [killed] = [found for found in caplog.records if found.message == "a decoder was killed"]
    assert killed.levelname == "WARNING"
    assert fields.items() <= vars(killed)["fields"].items()


def test_a_file_that_is_not_as_light_as_it_looks_is_told(
    serve: Serve, hostile: None, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(decode_seconds=1.0) as server:
        server.ask("POST", "/v1/detect", picture(BUSY), PNG)
    killed = [vars(found)["fields"]["reason"] for found in caplog.records if found.message == "a decoder was killed"]
    assert killed == ["too_heavy", "timed_out"]


def test_what_is_turned_away_and_what_is_no_http_have_their_lines(
    serve: Serve, hostile: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with serve(queue=1, max_files=1, decode_seconds=2.0) as server, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.ask, "POST", "/v1/detect", picture(SLOW) + bytes(300_000), PNG)
        assert eventually(lambda: server.metric("pyrite_queue_images") == 1)
        assert server.ask("POST", "/v1/detect", picture(), PNG).code == "queue_full"
        with server.connect() as raw:
            raw.sendall(b"nonsense\r\n\r\n")
            while raw.recv(1000):
                pass
        assert waiting.result().status == 200
    full, nonsense, last = [vars(one)["fields"] for one in caplog.records if one.message == "request"]
    expected = {"method": "POST", "path": "/v1/detect", "status": 503, "code": "queue_full", "client": "127.0.0.1"}
    assert expected.items() <= full.items()
    assert {"method": None, "path": None, "status": 400, "code": "bad_request"}.items() <= nonsense.items()
    assert (last["status"], last["images"], last["verdicts"]) == (200, 1, {"error": 1})
    assert list(last["stages"]) == ["receive", "decode", "score"]
