"""Rate limits: requests, images and megapixels, each with what is left of it in every answer."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from asking import FORM, HERE, PNG, form, part, picture
from starlette.testclient import TestClient

from pyrite.errors import SettingsError
from pyrite.serving import ServerSettings, create_app, make_key
from pyrite.serving.rates import RateLimits
from pyrite.serving.refusal import Refusal
from pyrite.serving.shared_rates import keep_rates


@contextmanager
def limited(saved: str, **settings: object) -> Iterator[TestClient]:
    app = create_app(ServerSettings(bundle=saved, **settings))  # type: ignore[arg-type]
    with TestClient(app, base_url=HERE, raise_server_exceptions=False) as client:
        yield client


def left(headers: object) -> dict[str, int]:
    return {name: int(r) for name, r in re.findall(r'"(\w+)";r=(\d+);t=\d+', headers["ratelimit"])}  # type: ignore[index]


def test_images_are_counted_and_not_only_requests(saved: str) -> None:
    with limited(saved, rate_limit="100/minute", image_rate_limit="10/hour") as client:
        answers = [client.post("/v1/detect", content=form(*[part(picture())] * 4), headers=FORM) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        refused = answers[-1]
        assert refused.json()["error"]["code"] == "too_many_requests"
        assert (
            refused.json()["error"]["message"]
            == "More than 10 images per hour came from this address. Try again later."
        )
        assert 3500 < int(refused.headers["retry-after"]) <= 3600
        assert refused.headers["ratelimit-policy"] == '"requests";q=100;w=60, "images";q=10;w=3600'
        # Nothing of what is refused is counted.
        assert [left(answer.headers) for answer in answers] == [
            {"requests": 99, "images": 6}, {"requests": 98, "images": 2}, {"requests": 97, "images": 2},
        ]  # fmt: skip
        assert client.post("/v1/detect", content=form(*[part(picture())] * 2), headers=FORM).status_code == 200
        for path in ("/v1/explain", "/v1/history"):
            assert client.post(path, content=picture(), headers=PNG).status_code == 429
        # What brings no image is not counted as one.
        assert client.get("/v1/limits").status_code == 200


def test_pixels_are_counted_before_they_are_decoded(saved: str) -> None:
    with limited(saved, megapixel_rate_limit="10/minute", max_pixels=5_000_000) as client:
        large = picture(side=2000)
        assert client.post("/v1/detect", content=large, headers=PNG).headers["ratelimit"].startswith('"megapixels";r=6')
        # What tells no size counts as much as an image may have.
        assert left(client.post("/v1/detect", content=b"no image", headers=PNG).headers) == {"megapixels": 1}
        assert client.post("/v1/detect", content=large, headers=PNG).status_code == 429
        assert left(client.post("/v1/detect", content=picture(), headers=PNG).headers) == {"megapixels": 0}


def test_a_request_that_no_window_has_room_for_is_not_told_to_come_again(saved: str) -> None:
    with limited(saved, image_rate_limit="3/minute") as client:
        answer = client.post("/v1/detect", content=form(*[part(picture())] * 4), headers=FORM)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
        assert "more than 3 images per minute" in answer.json()["error"]["message"]
        assert "retry-after" not in answer.headers


def test_each_key_has_its_own_and_other_answers_tell_of_none(saved: str) -> None:
    (key, digest), (other, second) = make_key(), make_key()
    with limited(saved, rate_limit="2/minute", api_keys=(digest, second)) as client:
        found = [client.get("/v1/limits", headers={"X-API-Key": name}) for name in (key, key, other, key)]
        assert [left(answer.headers)["requests"] for answer in found] == [1, 0, 1, 0]
        assert found[-1].status_code == 429
        assert "ratelimit" not in client.get("/healthz").headers
        assert "ratelimit" not in client.get("/v1/limits").headers  # No key.
    with limited(saved) as client:
        assert "ratelimit" not in client.get("/v1/limits").headers


@pytest.mark.parametrize("setting", ["rate_limit", "image_rate_limit", "megapixel_rate_limit"])
def test_a_limit_that_is_none_is_named(saved: str, setting: str) -> None:
    with pytest.raises(SettingsError, match=f"The setting {setting} is not valid: 'often' is not like"):
        create_app(ServerSettings(bundle=saved, **{setting: "often"}))  # type: ignore[arg-type]


def test_workers_count_requests_images_and_pixels_together() -> None:
    shared = keep_rates()
    settings = ServerSettings(rate_limit="3/hour", image_rate_limit="4/hour", megapixel_rate_limit="2/hour")
    one, another = (RateLimits(settings, shared.storage()) for _ in range(2))
    one.count("someone", requests=1, images=3, pixels=500_000)
    another.count("someone", requests=1, images=1, pixels=500_000)
    told = {name.decode(): value.decode() for name, value in one.headers("someone")}
    assert left(told) == {"requests": 1, "images": 0, "megapixels": 1}
    with pytest.raises(Refusal, match="More than 4 images per hour"):
        one.count("someone", images=1)
    with pytest.raises(Refusal, match="megapixels"):
        another.count("someone", pixels=1_500_000)
