import base64
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import jsonschema_rs
import msgspec
import numpy as np
import pytest
from asking import FORM, HERE, PNG, form, part, picture
from PIL import Image
from starlette.testclient import TestClient

from pyrite.bundle import Bundle, PanelInfo, describe_members, fit_joint, save_bundle, save_panel
from pyrite.detector import Detector
from pyrite.serving import ServerSettings, create_app, make_key
from pyrite.serving.app import STATIC
from waiting import eventually

FILES: dict[str, bytes] = {
    "bright.png": picture("white"),
    "dark.jpg": picture("black", form="JPEG"),
    "large.png": picture("white", 300),
    "notes.png": b"no image",
    "empty.png": b"",
    "odd näme.png": picture("grey"),
}


def run(*arguments: str, cwd: Path) -> str:
    command = [sys.executable, "-c", "from pyrite.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, encoding="utf-8").stdout


def test_results_are_those_of_the_command_line(client: TestClient, saved: str, tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    expected = json.loads(run("detect", "--json", "--max-fpr", "0.2", "--bundle", saved, *FILES, cwd=tmp_path))
    answer = client.post("/v1/detect?max_fpr=0.2", files=[("files", (name, FILES[name])) for name in FILES])
    assert answer.status_code == 200
    found = answer.json()
    assert found["detections"] == expected
    assert [one["error"] and one["error"]["code"] for one in expected] == [
        None, None, None, "unsupported_format", "empty", None,
    ]  # fmt: skip
    assert (found["model"], found["max_fpr"]) == ({"name": "brightness", "version": "1"}, 0.2)
    assert found["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("kind", ["image/png", "image/anything", "application/octet-stream"])
def test_an_image_can_be_the_body(client: TestClient, kind: str) -> None:
    [found] = client.post("/v1/detect", content=picture(), headers={"Content-Type": kind}).json()["detections"]
    assert (found["verdict"], found["path"], found["max_fpr"]) == ("ai", None, 0.05)


def test_large_files_go_by_disk_and_come_to_the_same(client: TestClient) -> None:
    padded = picture() + bytes(3_000_000)
    files = [("files", (f"{i}.png", padded)) for i in range(3)]
    found = client.post("/v1/detect", files=files).json()["detections"]
    alone = client.post("/v1/detect", files=files[:1]).json()["detections"]
    assert [one["path"] for one in found] == ["0.png", "1.png", "2.png"]
    assert {one["sha256"] for one in found} == {alone[0]["sha256"]}
    assert {one["verdict"] for one in found} == {"ai"}


def test_the_bundle_tells_enough_to_decide_again(client: TestClient, bundle: Bundle) -> None:
    found = client.get("/v1/model").json()
    assert list(found) == [
        "name",
        "version",
        "licence",
        "scope",
        "policy",
        "calibration",
        "training",
        "card",
        "device",
        "pyrite",
        "bundles",
    ]
    assert found["calibration"]["real"] == {"all": list(bundle.info.calibration.real["all"])}
    [only] = found["bundles"]
    assert only == {name: found[name] for name in only if name != "sha256"} | {"sha256": bundle.sha256}
    assert found["pyrite"] == version("pyrite")
    assert found["policy"] == {"max_fpr": 0.05, "max_fnr": 0.05, "real_needs_provenance": False}
    assert found["card"] == "# Card\n"


def test_a_small_picture_is_upright_and_of_any_readable_format(client: TestClient) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # Turned a quarter to the right.
    stream = io.BytesIO()
    Image.new("RGB", (1200, 600), "red").save(stream, "TIFF", exif=exif)
    found = client.post("/v1/thumbnail", files=[("files", ("a.tif", stream.getvalue()))]).json()
    kind, _, data = found["picture"].partition(";base64,")
    assert kind == "data:image/jpeg"
    with Image.open(io.BytesIO(base64.b64decode(data))) as small:
        assert small.size == (160, 320)
    refused = client.post("/v1/thumbnail", content=b"no image", headers=PNG)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "unsupported_format")
    assert client.post("/v1/thumbnail?max_fpr=0.1", content=picture(), headers=PNG).status_code == 422


def test_examples_are_judged_as_their_names_say(client: TestClient) -> None:
    examples = client.get("/v1/examples").json()["examples"]
    assert len(examples) >= 8
    files = [("files", (one["name"], base64.b64decode(one["picture"]))) for one in examples]
    found = client.post("/v1/detect", files=files).json()["detections"]
    assert [f"{i}-{one['verdict']}.png" for i, one in enumerate(found)] == [one["path"] for one in found]


def test_limits_are_told_and_the_smallest_budget_is_one(client: TestClient) -> None:
    found = client.get("/v1/limits").json()
    assert found["max_fpr"] == {"smallest": 0.01, "default": 0.05}
    assert (found["max_files"], found["max_bytes"], found["timeout_seconds"]) == (100, 25_000_000, 60.0)
    smallest = found["max_fpr"]["smallest"]
    assert client.post(f"/v1/detect?max_fpr={smallest}", content=picture(), headers=PNG).status_code == 200


def test_an_explanation_is_that_of_the_command_line(client: TestClient, saved: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture("white"))
    expected = json.loads(run("explain", "a.png", "--json", "--out", "b.png", "--bundle", saved, cwd=tmp_path))
    file = [("files", ("a.png", picture("white")))]
    found = client.post("/v1/explain", files=file, headers={"Accept": "application/json"}).json()
    shown = base64.b64decode(found.pop("picture"))
    assert found.pop("request_id")
    assert found == expected
    assert shown == (tmp_path / "b.png").read_bytes()
    answer = client.post("/v1/explain", files=file)
    assert answer.headers["content-type"] == "image/png"
    assert answer.content == shown
    header = json.loads(answer.headers["x-pyrite-explanation"])
    assert header == {key: expected[key] for key in header}
    assert set(header) == {"leans", "better_than_random", "faithfulness", "input_size", "scored"}


def test_an_explanation_takes_the_budget_of_its_request(client: TestClient) -> None:
    headers = {**PNG, "Accept": "application/json"}
    found = client.post("/v1/explain?max_fpr=0.3", content=picture(), headers=headers).json()
    assert found["detection"]["max_fpr"] == 0.3
    again = client.post("/v1/explain", content=picture(), headers=headers).json()
    assert again["detection"]["max_fpr"] == 0.05


def test_an_image_that_cannot_be_read_cannot_be_explained(client: TestClient) -> None:
    answer = client.post("/v1/explain", content=b"no image", headers=PNG)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "unsupported_format")


def test_an_image_that_nothing_judges_cannot_be_explained(client: TestClient) -> None:
    error = client.post("/v1/explain", content=picture(side=640), headers=PNG)
    assert (error.status_code, error.json()["error"]["code"]) == (422, "out_of_scope")
    assert "There is no score to explain." in error.json()["error"]["message"]


NO_FILE = part(b"x").replace(b'; filename="a.png"', b"")
PACKED = {**PNG, "Content-Encoding": "gzip"}
UNBOUND = {"Content-Type": "multipart/form-data"}
ERRORS: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("GET", "/nothing", {}, 404, "not_found"),
    ("GET", "/static/nothing.js", {}, 404, "not_found"),
    ("GET", "/static/../app.py", {}, 404, "not_found"),
    ("GET", "/static/%2e%2e/app.py", {}, 404, "not_found"),
    ("GET", "/v1/detect", {}, 405, "method_not_allowed"),
    ("DELETE", "/v1/model", {}, 405, "method_not_allowed"),
    ("POST", "/v1/detect", {"content": b"x", "headers": {"Content-Type": "text/plain"}}, 415, "unsupported_media_type"),
    ("POST", "/v1/detect", {}, 415, "unsupported_media_type"),
    ("POST", "/v1/detect", {"content": b"x", "headers": PACKED}, 415, "unsupported_media_type"),
    ("POST", "/v1/detect?max_fpr=0.001", {"content": b"x", "headers": PNG}, 422, "invalid_request"),
    ("POST", "/v1/detect?max_fpr=1", {"content": b"x", "headers": PNG}, 422, "invalid_request"),
    ("POST", "/v1/detect?max_fpr=nan", {"content": b"x", "headers": PNG}, 422, "invalid_request"),
    ("POST", "/v1/detect?max_fpr=often", {"content": b"x", "headers": PNG}, 422, "invalid_request"),
    ("POST", "/v1/detect?maxfpr=0.1", {"content": b"x", "headers": PNG}, 422, "invalid_request"),
    ("POST", "/v1/detect", {"content": form(), "headers": FORM}, 422, "no_files"),
    ("POST", "/v1/detect", {"content": form(part(b"x", name="image")), "headers": FORM}, 422, "unknown_field"),
    ("POST", "/v1/detect", {"content": form(NO_FILE), "headers": FORM}, 422, "unknown_field"),
    ("POST", "/v1/detect", {"content": part(b"x"), "headers": FORM}, 400, "malformed_body"),
    ("POST", "/v1/detect", {"content": b"nonsense", "headers": FORM}, 400, "malformed_body"),
    ("POST", "/v1/detect", {"content": b"", "headers": FORM}, 400, "malformed_body"),
    ("POST", "/v1/detect", {"content": b"x", "headers": UNBOUND}, 400, "malformed_body"),
    ("POST", "/v1/detect", {"content": form(*[part(b"")] * 101), "headers": FORM}, 413, "too_many_files"),
    ("POST", "/v1/explain", {"content": form(part(b"x"), part(b"x")), "headers": FORM}, 413, "too_many_files"),
    ("POST", "/v1/history", {"content": form(part(b"x"), part(b"x")), "headers": FORM}, 413, "too_many_files"),
    ("POST", "/v1/history?max_fpr=0.1", {"content": b"x", "headers": PNG}, 422, "invalid_request"),
    ("POST", "/v1/history", {"content": b"no image", "headers": PNG}, 422, "unsupported_format"),
    ("GET", "/v1/history", {}, 405, "method_not_allowed"),
    ("POST", "/v1/detect", {"content": bytes(25_000_001), "headers": PNG}, 413, "too_large"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "more", "status", "code"), ERRORS, ids=lambda value: str(value)[:40])
def test_every_error_has_the_one_shape(
    client: TestClient, method: str, path: str, more: dict[str, Any], status: int, code: str
) -> None:
    answer = client.request(method, path, **more)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert list(error) == ["code", "message", "request_id"]
    assert error["code"] == code
    assert error["request_id"] == answer.headers["x-request-id"]
    assert error["message"].endswith(".")
    assert status != 405 or answer.headers["allow"]


def test_a_failure_of_the_server_is_told_without_its_details(saved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("pyrite.detector.Detector.score", fail)
    with TestClient(create_app(ServerSettings(bundle=saved)), base_url=HERE, raise_server_exceptions=False) as client:
        answer = client.post("/v1/detect", content=picture(), headers=PNG)
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_server_error")
        assert "secret" not in answer.text
        assert client.get("/healthz").status_code == 200


def test_a_failure_can_be_read_by_the_origins_that_are_allowed(
    allowing: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("pyrite.detector.Detector.score", fail)
    for origin in ("https://news.example", "https://x.example"):
        answer = allowing.post("/v1/detect", content=picture(), headers={**PNG, "Origin": origin})
        allowed = origin == "https://news.example"
        assert answer.status_code == (500 if allowed else 403)
        assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None)


def test_an_id_that_came_with_the_request_is_kept_and_a_strange_one_is_not(client: TestClient) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert client.get("/healthz", headers={"X-Request-ID": "<b>"}).headers["x-request-id"] != "<b>"


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/limits", "/nothing"])
def test_every_answer_has_the_headers_that_protect_a_browser(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert "http" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert len(headers.get_list("content-security-policy")) == 1
    assert headers["cache-control"] == ("no-cache" if path == "/" and (STATIC / "index.html").is_file() else "no-store")


def test_the_page_is_what_lies_there(client: TestClient) -> None:
    answer = client.get("/")
    if not (STATIC / "index.html").is_file():
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    else:
        assert answer.content == (STATIC / "index.html").read_bytes()
        assert answer.headers["content-type"].startswith("text/html")


def test_the_reference_makes_no_request_and_tells_every_path(client: TestClient) -> None:
    page = client.get("/docs").text
    # Links that a reader may follow, and nothing that a browser fetches by itself.
    assert re.findall(r"(?:src|href)=\"([^\"]*)\"", page) == ["./", "openapi.json"]
    assert not re.findall(r"<(?:script|link|img|iframe)|url\(|@import", page)
    for path in client.get("/openapi.json").json()["paths"]:
        assert f" {path}</code>" in page


def test_the_reference_looks_like_the_page_and_shows_how_to_ask_and_what_comes(client: TestClient) -> None:
    page = client.get("/docs").text
    assert (STATIC / "page.css").read_text("utf-8").strip() in page
    body = page.partition("<body>")[2]
    assert "`" not in body
    assert "<code>client_id</code> for their ids" in body
    for example in ("curl -F files=@a.jpg", "post-4711", "too_large"):
        assert example in body
    for table in re.findall(r"<th>Status</th>.*?</table>", body, re.DOTALL):
        statuses = re.findall(r"<code>(\d{3})</code>", table)
        assert statuses == sorted(statuses)
        assert statuses[0] == "200"


def test_the_document_is_complete(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/v1/detect", "/v1/explain", "/v1/history", "/v1/thumbnail", "/v1/examples", "/v1/model", "/v1/limits",
        "/healthz", "/readyz", "/metrics",
    }  # fmt: skip
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("description"), name
        for field, property in schema.get("properties", {}).items():
            assert property.get("description"), f"{name}.{field}"
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert [one["name"] for one in operation["parameters"]] in (["X-Request-ID"], ["max_fpr", "X-Request-ID"])
            assert operation["summary"]
            assert operation["description"]
            for status, response in operation["responses"].items():
                assert response["description"], (path, status)
                assert status == "200" or response["content"]["application/json"]["example"]["error"]["code"]
    expected = {200, 400, 401, 403, 408, 413, 415, 421, 422, 429, 431, 500, 503, 504}
    assert [str(status) for status in sorted(expected)] == list(document["paths"]["/v1/detect"]["post"]["responses"])
    assert '"items":false' not in client.get("/openapi.json").text


def test_examples_are_what_the_schemas_say_and_every_header_is_told(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    examples = 0
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                more = {"401": {"WWW-Authenticate"}, "429": {"Retry-After", "RateLimit", "RateLimit-Policy"}}
                headers = {"X-Request-ID"} | more.get(status, set())
                assert headers <= set(response["headers"]), (path, status)
                for kind, content in response["content"].items():
                    if kind in ("application/json", "application/x-ndjson"):
                        schema = {**content["schema"], "components": document["components"]}
                        jsonschema_rs.validator_for(schema).validate(content["example"])
                        examples += 1
    assert examples > 50


def test_a_key_is_asked_for_where_there_are_any(saved: str) -> None:
    (key, digest), (other, second) = make_key(), make_key()
    app = create_app(ServerSettings(bundle=saved, api_keys=(digest, second)))
    with TestClient(app, base_url=HERE, raise_server_exceptions=False) as client:
        for wrong in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer "}, {"X-API-Key": digest}):
            answer = client.get("/v1/model", headers=wrong)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
        assert client.post("/v1/detect", content=picture(), headers=PNG).status_code == 401
        assert client.get("/metrics").status_code == 401
        assert client.get("/v1/model", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert client.post("/v1/detect", content=picture(), headers={**PNG, "X-API-Key": other}).status_code == 200
        assert client.get("/healthz").status_code == 200
        assert client.get("/openapi.json").json()["paths"]["/v1/model"]["get"]["security"]


def test_too_many_requests_are_told_when_to_come_again(saved: str) -> None:
    (key, digest), (other, second) = make_key(), make_key()
    settings = ServerSettings(bundle=saved, rate_limit="3/minute", api_keys=(digest, second))
    with TestClient(create_app(settings), base_url=HERE, raise_server_exceptions=False) as client:
        seen = [client.get("/v1/limits", headers={"X-API-Key": key}) for _ in range(4)]
        assert [answer.status_code for answer in seen] == [200, 200, 200, 429]
        assert seen[-1].json()["error"]["code"] == "too_many_requests"
        assert 1 <= int(seen[-1].headers["retry-after"]) <= 61
        assert client.get("/v1/limits", headers={"X-API-Key": other}).status_code == 200
        assert client.get("/healthz").status_code == 200


def test_other_origins_may_ask_where_they_are_allowed(saved: str) -> None:
    settings = ServerSettings(bundle=saved, origins=("https://news.example",), api_keys=("1" * 64,))
    with TestClient(create_app(settings), base_url=HERE, raise_server_exceptions=False) as client:
        asked = {"Origin": "https://news.example", "Access-Control-Request-Method": "POST"}
        allowed = client.options("/v1/detect", headers=asked)
        assert allowed.headers["access-control-allow-origin"] == "https://news.example"
        refused = client.get("/v1/model", headers={"Origin": "https://news.example"})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://news.example"
        assert (
            "access-control-allow-origin"
            not in client.get("/v1/model", headers={"Origin": "https://x.example"}).headers
        )


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": HERE}, 200),
        ({"Origin": "https://localhost:444", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "https://news.example", "Sec-Fetch-Site": "cross-site"}, 200),
        ({"Origin": "https://x.example"}, 403),
        ({"Origin": "http://localhost:444"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": HERE, "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_no_page_of_another_origin_can_have_images_judged(
    allowing: TestClient, headers: dict[str, str], status: int
) -> None:
    answer = allowing.post("/v1/detect", content=picture(), headers={**PNG, **headers})
    assert answer.status_code == status
    assert status == 200 or answer.json()["error"]["code"] == "cross_origin"


@pytest.mark.parametrize(
    "asked",
    [
        {"Origin": "https://x.example", "Access-Control-Request-Method": "POST"},
        {"Origin": "https://news.example", "Access-Control-Request-Method": "DELETE"},
        {"Origin": "https://news.example", "Access-Control-Request-Method": "GET",
         "Access-Control-Request-Private-Network": "true"},
    ],
)  # fmt: skip
def test_a_preflight_that_is_refused_has_the_one_shape(allowing: TestClient, asked: dict[str, str]) -> None:
    answer = allowing.options("/v1/detect", headers=asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "cross_origin")
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]


@pytest.fixture(scope="module")
def allowing(saved: str) -> Iterator[TestClient]:
    app = create_app(ServerSettings(bundle=saved, origins=("https://news.example",)))
    with TestClient(app, base_url=HERE, raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize(
    ("settings", "host", "status"),
    [
        ({}, "localhost:8000", 200),
        ({}, "LOCALHOST", 200),
        ({}, "127.0.0.1:8000", 200),
        ({}, "[::1]:8000", 200),
        ({}, "evil.example:8000", 421),
        ({}, "127.0.0.1.evil.example", 421),
        ({"host": "127.0.0.2"}, "127.0.0.2:1", 200),
        ({"hosts": ("pyrite.example",)}, "pyrite.example", 200),
        ({"hosts": ("pyrite.example",)}, "localhost", 421),
        ({"host": "0.0.0.0"}, "anything.example", 200),
        ({"host": "0.0.0.0", "hosts": ("pyrite.example",)}, "anything.example", 421),
    ],
)
def test_a_server_of_this_machine_answers_to_no_strange_name(
    saved: str, settings: dict[str, Any], host: str, status: int
) -> None:
    client = TestClient(create_app(ServerSettings(bundle=saved, **settings)), raise_server_exceptions=False)
    answer = client.get("/v1/model", headers={"Host": host})
    assert answer.status_code == status
    assert status == 200 or answer.json()["error"]["code"] == "misdirected_request"
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_an_address_is_counted_as_its_network_and_no_header_changes_it(saved: str) -> None:
    app = create_app(ServerSettings(bundle=saved, rate_limit="1/minute"))

    def ask(address: str, **headers: str) -> int:
        return TestClient(app, base_url=HERE, client=(address, 1)).get("/v1/limits", headers=headers).status_code

    assert [ask("192.0.2.1"), ask("192.0.2.1"), ask("192.0.2.2")] == [200, 429, 200]
    assert ask("192.0.2.1", **{"X-Forwarded-For": "192.0.2.9"}) == 429
    assert [ask("2001:db8::1"), ask("2001:db8::2"), ask("2001:db8:0:1::1")] == [200, 429, 200]


def test_no_request_is_traced(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = pytest.importorskip("opentelemetry.trace", reason="this FastAPI traces nothing")
    provider = Mock()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    assert client.post("/v1/detect", content=picture(), headers=PNG).status_code == 200
    assert not provider.mock_calls


def test_what_can_be_got_has_a_head(client: TestClient) -> None:
    for path in ("/healthz", "/v1/limits", "/openapi.json"):
        assert client.head(path).status_code == 200
    assert client.head("/v1/detect").status_code == 405


def test_metrics_tell_of_requests_images_and_rejections(saved: str) -> None:
    with TestClient(create_app(ServerSettings(bundle=saved)), base_url=HERE, raise_server_exceptions=False) as client:
        files = [("files", ("a.png", content)) for content in (picture("white"), picture("black"), b"no image")]
        client.post("/v1/detect", files=files)
        client.get("/nothing")
        lines = client.get("/metrics").text.splitlines()
    assert 'pyrite_requests_total{method="POST",route="/v1/detect",status="200"} 1.0' in lines
    assert 'pyrite_requests_total{method="GET",route="other",status="404"} 1.0' in lines
    assert {f'pyrite_images_total{{outcome="{outcome}"}} 1.0' for outcome in ("ai", "real", "error")} <= set(lines)
    assert 'pyrite_rejections_total{code="not_found"} 1.0' in lines
    assert "pyrite_queue_images 0.0" in lines
    assert any(line.startswith("pyrite_batch_images_sum 3") for line in lines)


def test_a_server_is_ready_when_it_has_started(saved: str) -> None:
    app = create_app(ServerSettings(bundle=saved))
    before = TestClient(app, base_url=HERE, raise_server_exceptions=False)
    answer = before.get("/readyz")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
    assert before.get("/healthz").json() == {"status": "ok"}
    with TestClient(app, base_url=HERE) as after:
        assert after.get("/healthz").json() == {"status": "ok"}
        assert eventually(lambda: after.get("/readyz").json() == {"status": "ready"})


def test_an_animation_and_a_turned_photo_go_the_same_way(client: TestClient) -> None:
    stream = io.BytesIO()
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("white", "black")]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    [found] = client.post("/v1/detect", content=stream.getvalue(), headers=PNG).json()["detections"]
    assert (found["frames"], found["format"], found["verdict"]) == (2, "GIF", "ai")


def test_a_panel_is_served_and_explained_as_the_command_line_does(bundle: Bundle, saved: str, tmp_path: Path) -> None:
    wide = save_bundle(tmp_path / "wide", msgspec.structs.replace(bundle.info, name="wide"), bundle.files)
    rng = np.random.default_rng(0)
    info = PanelInfo(
        calibration=fit_joint({name: rng.normal(size=60) for name in ("brightness", "wide")}, np.repeat([0, 1], 30)),
        bundles=describe_members([bundle, wide], tmp_path / "panel.json"),
        data="", data_sha256="", seed=0, command="", commit=None, packages={},
    )  # fmt: skip
    save_panel(info, tmp_path / "panel.json")
    expected = Detector(tmp_path / "panel.json").detect(picture("white"))
    app = create_app(ServerSettings(bundle=str(tmp_path / "panel.json")))
    with TestClient(app, base_url=HERE, raise_server_exceptions=False) as client:
        [found] = client.post("/v1/detect", content=picture("white"), headers=PNG).json()["detections"]
        assert found == msgspec.json.decode(msgspec.json.encode(expected))
        headers = {**PNG, "Accept": "application/json"}
        told = client.post("/v1/explain", content=picture("white"), headers=headers).json()["detection"]
        assert (told["verdict"], told["p_real"]) == (expected.verdict, expected.p_real)
        assert client.get("/v1/limits").json()["max_fpr"]["smallest"] == info.calibration.smallest_p_real


def test_several_bundles_judge_as_one(bundle: Bundle, saved: str, tmp_path: Path) -> None:
    scope = msgspec.structs.replace(bundle.info.scope, max_side=128)
    wide = save_bundle(tmp_path / "wide", msgspec.structs.replace(bundle.info, name="wide", scope=scope), bundle.files)
    app = create_app(ServerSettings(bundles=(saved, str(wide.path))))
    detector = Detector(bundles=[bundle, wide])
    with TestClient(app, base_url=HERE, raise_server_exceptions=False) as client:
        for side in (32, 100):
            [found] = client.post("/v1/detect", content=picture("white", side), headers=PNG).json()["detections"]
            expected = msgspec.json.decode(msgspec.json.encode(detector.detect(picture("white", side))))
            assert found == expected
            assert found["model"] == {"name": "brightness+wide", "version": "1+1"}
        card = client.get("/v1/model").json()
        assert (card["name"], [one["name"] for one in card["bundles"]]) == ("brightness+wide", ["brightness", "wide"])
        assert card["bundles"][1]["scope"]["max_side"] == 128
        assert client.get("/v1/limits").json()["max_fpr"]["smallest"] == 0.02
        assert client.post("/v1/detect?max_fpr=0.015", content=picture(), headers=PNG).status_code == 422
        headers = {**PNG, "Accept": "application/json"}
        told = client.post("/v1/explain", content=picture("white", 100), headers=headers).json()
        assert told["model"]["name"] == "wide"
        # What no bundle was made for has no score to explain.
        outside = client.post("/v1/explain", content=picture("white", 200), headers=PNG)
        assert (outside.status_code, outside.json()["error"]["code"]) == (422, "out_of_scope")
