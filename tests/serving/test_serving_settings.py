import hashlib
import io
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from pyrite.errors import ImageError, MissingExtraError, SettingsError
from pyrite.image import open_image
from pyrite.serving import ServerSettings, create_app, is_open, load_settings, make_key, serve
from pyrite.serving.settings import limits_of


def test_without_anything_there_are_defaults() -> None:
    assert load_settings(environment={}) == ServerSettings()
    assert ServerSettings().host == "127.0.0.1"


def test_flags_come_before_changes_before_the_environment_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text("port = 1\nqueue = 200\nbatch = 3\nthreads = 4\n")
    environment = {"PYRITE_SERVE_PORT": "2", "PYRITE_SERVE_QUEUE": "300", "PYRITE_SERVE_BATCH": "5", "OTHER": "1"}
    found = load_settings(file, ["port=3", "queue=400"], environment=environment, port=4, host=None)
    assert (found.port, found.queue, found.batch, found.threads) == (4, 400, 5, 4)


def test_one_bundle_and_several_take_each_others_place(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text('bundles = ["a", "b"]\n')
    several = load_settings(file, environment={})
    assert (several.bundle, several.bundles) == (None, ("a", "b"))
    one = load_settings(file, environment={"PYRITE_SERVE_BUNDLE": "c"})
    assert (one.bundle, one.bundles) == ("c", ())
    again = load_settings(file, ["bundles=d, e"], environment={"PYRITE_SERVE_BUNDLE": "c"}, bundles=["f"])
    assert (again.bundle, again.bundles) == (None, ("f",))
    file.write_text('bundle = "a"\nbundles = ["b"]\n')
    with pytest.raises(SettingsError, match="bundle is for one and bundles for several"):
        load_settings(file, environment={})


def test_values_are_what_the_setting_holds() -> None:
    key = "1" * 64
    environment = {
        "PYRITE_SERVE_API_KEYS": key,
        "PYRITE_SERVE_ORIGINS": "https://a.example, http://localhost:3000",
        "PYRITE_SERVE_BUNDLE": "123",
        "PYRITE_SERVE_MAX_BYTES": "1_000",
        "PYRITE_SERVE_DECODE_SECONDS": "3",
        "PYRITE_SERVE_RATE_LIMIT": "10/minute",
    }
    found = load_settings(environment=environment)
    assert found.api_keys == (key,)
    assert found.origins == ("https://a.example", "http://localhost:3000")
    assert (found.bundle, found.max_bytes, found.decode_seconds, found.rate_limit) == ("123", 1000, 3.0, "10/minute")


@pytest.mark.parametrize(
    ("changes", "environment", "sentence"),
    [
        (["prot=1"], {}, "Did you mean 'port'"),
        (["port"], {}, "is not KEY=VALUE"),
        (["port=abc"], {}, "port is not valid: Expected `int"),
        (["port=70000"], {}, "port is not valid"),
        (["max_files=0"], {}, "max_files is not valid"),
        (["decode_seconds=nan"], {}, "decode_seconds is not valid"),
        (["api_keys=secret"], {}, "api_keys is not valid"),
        (["origins=a.example"], {}, "origins is not valid"),
        (["hosts=https://a.example"], {}, "hosts is not valid"),
        (["trusted_proxies=nonsense"], {}, "trusted_proxies must be addresses, networks or unix: 'nonsense'"),
        (["max_fpr=1"], {}, "max_fpr is not valid"),
        (["queue=10"], {}, "queue must be at least max_files"),
        (["max_request_bytes=10"], {}, "max_request_bytes must be at least max_bytes"),
        ([], {"PYRITE_SERVE_PROT": "1"}, "PYRITE_SERVE_PROT: the server has no setting 'prot'"),
    ],
)
def test_what_is_not_valid_is_named(changes: list[str], environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        load_settings(None, changes, environment=environment)


@pytest.mark.parametrize(("text", "sentence"), [("port = ", "not valid TOML"), ("prot = 1", "Did you mean 'port'")])
def test_a_file_that_is_not_valid_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=sentence):
        load_settings(file, environment={})
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "gone.toml", environment={})


def test_what_only_the_server_can_check_is_checked_before_it_starts(saved: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="rate_limit is not valid"):
        create_app(ServerSettings(bundle=saved, rate_limit="often"))
    with pytest.raises(SettingsError, match=r"trust lists cannot be used: .*gone\.pem"):
        create_app(ServerSettings(bundle=saved, trust_anchors=(str(tmp_path / "gone.pem"),)))


def test_a_key_is_kept_as_its_hash() -> None:
    key, digest = make_key()
    assert len(key) >= 43
    assert digest == hashlib.sha256(key.encode()).hexdigest()
    assert make_key()[0] != key


@pytest.mark.parametrize(
    ("host", "keys", "expected"),
    [("127.0.0.1", (), False), ("::1", (), False), ("localhost", (), False), ("0.0.0.0", (), True),
     ("pyrite.example", (), True), ("0.0.0.0", ("1" * 64,), False)],
)  # fmt: skip
def test_an_address_that_anyone_can_use_is_known(host: str, keys: tuple[str, ...], expected: bool) -> None:
    assert is_open(ServerSettings(host=host, api_keys=keys)) is expected


def test_without_the_extra_the_sentence_names_it(saved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrite.errors.find_spec", lambda name: None if name == "fastapi" else name)
    with pytest.raises(MissingExtraError, match=r"needs fastapi.*pip install 'pyrite\[serve\]'"):
        create_app(ServerSettings(bundle=saved))


def test_an_address_that_is_taken_is_told(saved: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"Cannot listen on 127.0.0.1:{port}"):
            serve(ServerSettings(bundle=saved, port=port))


def test_an_address_that_is_none_is_told(saved: str) -> None:
    with pytest.raises(SettingsError, match="Cannot listen on"):
        serve(ServerSettings(bundle=saved, host="a" * 300))


def test_the_command_line_refuses_what_is_not_valid_and_makes_keys() -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from pyrite.cli import main; main()", "serve", *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    wrong = run("--set", "prot=1")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "Did you mean 'port'?" in wrong.stderr
    key, stored = (line.rpartition(" ")[2] for line in run("--new-key").stdout.splitlines())
    assert hashlib.sha256(key.encode()).hexdigest() == stored


def test_the_strict_profile_takes_few_formats_and_one_frame() -> None:
    strict = limits_of(load_settings(changes=["profile=strict", "max_pixels=4000"], environment={}))
    assert (strict.max_pixels, strict.formats, strict.max_frames) == (4000, ("JPEG", "PNG", "WEBP"), 1)
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    codes = []
    for name, options in (
        ("PNG", {}),
        ("GIF", {}),
        ("AVIF", {}),
        ("WEBP", {"save_all": True, "append_images": frames}),
    ):
        stream = io.BytesIO()
        frames[0].save(stream, name, **options)
        try:
            open_image(stream.getvalue(), strict)
            codes.append("")
        except ImageError as error:
            codes.append(error.code)
    assert codes == ["", "unsupported_format", "unsupported_format", "too_many_frames"]


@pytest.mark.parametrize("change", ["max_pixels=50000001", "decode_seconds=11"])
def test_the_strict_profile_cannot_be_loosened(change: str) -> None:
    with pytest.raises(SettingsError, match="in the strict profile"):
        load_settings(changes=["profile=strict", change], environment={})
