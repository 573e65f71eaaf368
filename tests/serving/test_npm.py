"""What the page without a server takes from npm: where it is fetched from, and that it is what it should be."""

import io
import tarfile
from pathlib import Path

import pytest

from pyrite.errors import PyriteError
from pyrite.serving.web_credentials import PACKAGE, read_library
from pyrite.serving.web_metadata import read_parsers
from pyrite.serving.web_runtime import read_runtime
from web import send, web


def packed(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"package/dist/{name.replace('__', '.')}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def test_the_registry_is_the_one_that_npm_is_told_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("PYRITE_CACHE", str(tmp_path))
    with web(send(packed())) as address:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"{address}/npm/")
        place = f"{address}/npm/@contentauth/c2pa-wasm/-/c2pa-wasm-{PACKAGE.version}.tgz"
        with pytest.raises(
            PyriteError, match=f"^{place} has the SHA-512 .* changed since. Give the package with --cred"
        ):
            read_library()
    assert not list(tmp_path.rglob("*.tgz*"))
    with pytest.raises(
        PyriteError, match=r"cannot be fetched: .* with --credentials: `npm pack @contentauth/c2pa-wasm@"
    ):
        read_library()


def test_another_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.tgz").write_bytes(packed(ort__wasm__min__mjs=b"another version"))
    with pytest.raises(PyriteError, match=r"dist/ort.wasm.min.mjs in .*other.tgz is not that of onnxruntime-web"):
        read_runtime(tmp_path / "other.tgz")
    with pytest.raises(PyriteError, match=r"has no dist/exif-reader\.js\. Give the package with --metadata: `npm pack"):
        read_parsers(tmp_path)
    (tmp_path / "dist").mkdir()
    with pytest.raises(PyriteError, match=r"has no dist/ort\.wasm\.min\.mjs"):
        read_runtime(tmp_path)
    (tmp_path / "torn.tgz").write_bytes(packed(ort__wasm__min__mjs=b"x" * 10_000)[:60])
    with pytest.raises(PyriteError, match=r"torn.tgz cannot be read"):
        read_runtime(tmp_path / "torn.tgz")
    with pytest.raises(PyriteError, match=r"gone.tgz cannot be read"):
        read_runtime(tmp_path / "gone.tgz")
