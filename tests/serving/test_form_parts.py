"""What a form may have: files, by the names that clients send in different ways, and an id for each."""

import pytest
from asking import BOUNDARY, FORM, PNG, form, part, picture
from starlette.testclient import TestClient


def client_id(text: str | bytes) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="client_id"\r\n\r\n'.encode()
    return head + (text if isinstance(text, bytes) else text.encode()) + b"\r\n"


def disposition(value: str) -> bytes:
    return f"--{BOUNDARY}\r\nContent-Disposition: {value}\r\n\r\n".encode() + picture() + b"\r\n"


def test_each_detection_has_the_id_of_its_file(client: TestClient) -> None:
    files = [part(picture(), "same.png"), part(b"no image", "same.png"), part(picture("black"), "same.png")]
    ids = [client_id(text) for text in ("post-1", "größe/2", "")]
    for order in ([*files, *ids], [*ids, *files], [one for pair in zip(ids, files, strict=True) for one in pair]):
        answer = client.post("/v1/detect", content=form(*order), headers=FORM)
        found = answer.json()["detections"]
        assert [one["client_id"] for one in found] == ["post-1", "größe/2", ""]
        assert [one["verdict"] for one in found] == ["ai", "uncertain", "real"]
    plain = client.post("/v1/detect", content=form(*files), headers=FORM).json()["detections"]
    assert not any("client_id" in one for one in plain)
    for one in found:
        del one["client_id"]
    assert plain == found


@pytest.mark.parametrize(
    ("parts", "status", "sentence"),
    [
        ([part(picture()), part(picture()), client_id("a")], 422, "1 client_id and 2 files"),
        ([part(picture()), client_id("a"), client_id("b")], 422, "2 client_id and 1 files"),
        ([client_id("a")], 422, "no file"),
        ([part(picture()), client_id("a" * 1001)], 422, "1,000 bytes at most"),
        ([part(picture()), client_id(b"\xff")], 422, "text in UTF-8"),
        ([client_id("a")] * 101, 413, "100 client_id at most"),
        ([part(picture()), part(b"a", "a.txt", "client_id")], 422, "client_id has a filename"),
        ([disposition('form-data; name="files"')], 422, "named files has no filename"),
        ([disposition('form-data; name="image"; filename="a.png"')], 422, "a part named 'image'"),
        ([disposition('form-data; filename="a.png"')], 422, "a part named ''"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_form_is_named(client: TestClient, parts: list[bytes], status: int, sentence: str) -> None:
    answer = client.post("/v1/detect", content=form(*parts), headers=FORM)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]["message"]


def test_only_detect_takes_ids(client: TestClient) -> None:
    for path in ("/v1/explain", "/v1/history"):
        answer = client.post(path, content=form(part(picture()), client_id("a")), headers=FORM)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "unknown_field")
        assert "'client_id'" in answer.json()["error"]["message"]
    assert client.post("/v1/detect", content=picture(), headers=PNG).status_code == 200


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("form-data; name=\"files\"; filename*=UTF-8''na%C3%AFve%20cat.png", "naïve cat.png"),
        ("form-data; name=files; filename*=utf-8'en'a.png", "a.png"),
        ('form-data; name="files"; filename="b.png"; filename*=UTF-8\'\'a.png', "b.png"),
        ("form-data; name=\"files\"; filename*=UTF-8''%FF.png", "\\xff.png"),
    ],
)
def test_a_name_in_the_extended_form_is_taken(client: TestClient, value: str, path: str) -> None:
    [found] = client.post("/v1/detect", content=form(disposition(value)), headers=FORM).json()["detections"]
    assert (found["path"], found["verdict"]) == (path, "ai")
