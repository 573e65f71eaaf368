"""Bundles on the Hugging Face Hub: pushed, imported again as they were, and refused with a sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hub import COMMIT, TOKEN, Uploads, hub, run
from pyrite.bundle import DEFAULT, Bundle, ModelOrigin, load_bundle, save_bundle
from pyrite.errors import ExportError, PyriteError
from pyrite.publishing import Declared, import_source, push
from pyrite.publishing.hub import hub_card
from web import web

pytest.importorskip("huggingface_hub", reason="The extra hub is not installed: there is no huggingface_hub.")


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of a user who is logged in; files that the Hub calls large go there by plain HTTP."""
    return {
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
        "PYRITE_DATA": str(tmp_path / "data"),
    }


def by_others(bundle: Bundle, folder: Path, allows: Any, licence: str = "CC BY-NC 4.0") -> Bundle:
    origin = ModelOrigin(source="hf:others/detector", sha256="0" * 64, allows=allows)
    info = msgspec.structs.replace(bundle.info, licence=licence, origin=origin)
    return save_bundle(folder, info, bundle.files)


def test_what_is_pushed_is_imported_as_it_was(bundle: Bundle, home: dict[str, str], tmp_path: Path) -> None:
    files, asked, uploads = dict[str, bytes](), list[str](), Uploads()
    with web(hub("me/detector", files, asked, uploads)) as address:
        code, said = run("bundle", "push", bundle.path, "hf:me/detector", "--private", HF_ENDPOINT=address, **home)
        assert code == 0, said
        assert f"Pushed to {address}/me/detector, commit {COMMIT}." in said
        assert (uploads.private, uploads.messages) == ([True], ["brightness 1"])
        assert set(files) == {".gitattributes", "README.md", "bundle.json", *bundle.info.files}
        assert list(uploads.large.values()) == [bundle.model]
        assert "/api/validate-yaml" in asked

        files |= {"config.json": b"{}", "onnx/model.onnx": b"another"}
        code, said = run("bundle", "import", f"hf:me/detector@{COMMIT}", HF_ENDPOINT=address, **home)
        assert code == 0, said
        assert f"Source: hf:me/detector at {COMMIT}" in said
        assert "This is a bundle, calibrated. Its 3 files match their hashes." in said
        assert "Use it by name: --bundle detector" in said
        assert not any("README" in path for path in asked)
        kept = load_bundle(tmp_path / "data" / "bundles" / "detector")
        assert (kept.sha256, kept.files) == (bundle.sha256, bundle.files)

        options = ("--scale", "clip", "--licence", "MIT", "--out", tmp_path / "no")
        code, said = run("bundle", "import", "hf:me/detector", *options, HF_ENDPOINT=address, **home)
        assert (code, "Leave out: mean, std, licence." in " ".join(said.split())) == (1, True)
        files["card.md"] = b"# Another card"
        code, said = run(
            "bundle", "import", "hf:me/detector", "--out", tmp_path / "no",
            HF_ENDPOINT=address, **home | {"HF_HOME": str(tmp_path / "elsewhere")},
        )  # fmt: skip
        assert (code, "is not what was saved" in " ".join(said.split())) == (1, True)
    assert not (tmp_path / "no").exists()


def test_a_later_push_replaces_the_bundle(bundle: Bundle, home: dict[str, str], tmp_path: Path) -> None:
    files, uploads = {"README.md": b"", "LICENSE": b"mine", "recipe.toml": b"old", "card.md": b"old"}, Uploads()
    bare = save_bundle(
        tmp_path / "bare", bundle.info, {name: bundle.read(name) for name in ("model.onnx", "golden.json")}
    )
    with web(hub("me/detector", files, [], uploads)) as address:
        code, said = run(
            "bundle", "push", bare.path, "hf:me/detector", "--message", "Anew", HF_ENDPOINT=address, **home
        )
        assert code == 0, said
        assert set(files) == {"README.md", "LICENSE", "bundle.json", "model.onnx", "golden.json"}
        assert uploads.messages == ["Anew"]
        code, said = run("bundle", "push", bare.path, "hf:me/detector", "--private", HF_ENDPOINT=address, **home)
        assert (code, "everyone can read it" in " ".join(said.split())) == (1, True)


@pytest.mark.parametrize(
    ("token", "refused", "files", "sentence"),
    [
        ("", False, {}, "There is no token for the Hub. Make one that may write at"),
        ("hf_another", False, {"README.md": b""}, "The Hub does not accept the token."),
        (TOKEN, True, {}, "The token has no right to write to me/detector."),
        (TOKEN, True, {"README.md": b""}, "The token has no right to write to me/detector."),
    ],
)
def test_what_the_hub_refuses_is_a_sentence(
    token: str, refused: bool, files: dict[str, bytes], sentence: str, bundle: Bundle, home: dict[str, str]
) -> None:
    there = dict(files)
    with web(hub("me/detector", there, [], Uploads(refused=refused))) as address:
        code, said = run(
            "bundle", "push", bundle.path, "hf:me/detector", HF_ENDPOINT=address, **home | {"HF_TOKEN": token}
        )
    assert (code, sentence in " ".join(said.split()), "Traceback" in said) == (1, True, False), said
    assert there == files


def test_without_a_network_it_is_a_sentence(bundle: Bundle, home: dict[str, str]) -> None:
    for more in ({}, {"HF_HUB_OFFLINE": "1"}):
        code, said = run(
            "bundle", "push", bundle.path, "hf:me/detector", HF_ENDPOINT="http://127.0.0.1:9", **home, **more
        )
        assert (code, "me/detector cannot be pushed to the Hub:" in said, "Traceback" in said) == (1, True, False), said


@pytest.mark.parametrize(("allows", "why"), [("non-commercial", "no commercial use"), ("unclear", "may not allow")])
def test_what_may_not_be_shared_is_refused(
    allows: str, why: str, bundle: Bundle, home: dict[str, str], tmp_path: Path
) -> None:
    theirs = by_others(bundle, tmp_path / "theirs", allows)
    with pytest.raises(PyriteError, match=rf"its licence .*{why}.*: CC BY-NC 4\.0\. .*--licence-allows-it"):
        push(tmp_path / "theirs", "hf:me/detector")
    files: dict[str, bytes] = {}
    with web(hub("me/detector", files, [], Uploads())) as address:
        code, said = run(
            "bundle", "push", theirs.path, "hf:me/detector", "--licence-allows-it", HF_ENDPOINT=address, **home
        )
    assert code == 0, said
    assert files["bundle.json"] == (tmp_path / "theirs" / "bundle.json").read_bytes()


def test_what_is_no_bundle_or_repository_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(PyriteError, match="There is no bundle at"):
        push(tmp_path / "none", "hf:me/detector")
    assert bundle.path
    for name in ("me/detector", "hf:detector", "hf:me/detector@main"):
        with pytest.raises(PyriteError, match="is not of the form hf:OWNER/NAME"):
            push(bundle.path, name)
    with pytest.raises(PyriteError, match="faces is not of the form OWNER/NAME"):
        push(bundle.path, "hf:me/detector", datasets=["faces"])


def test_the_card_is_what_the_hub_reads(tmp_path: Path) -> None:
    from huggingface_hub import ModelCard, metadata_load

    bundle = load_bundle(DEFAULT)
    content = hub_card(bundle, ["me/faces"])
    card = ModelCard(content)
    assert card.text.strip() == bundle.files["card.md"].decode().strip()
    assert card.content == content
    (tmp_path / "README.md").write_text(content)
    data = metadata_load(tmp_path / "README.md")
    assert data
    assert {key: data[key] for key in ("license", "library_name", "pipeline_tag", "datasets", "metrics")} == {
        "license": "apache-2.0",
        "library_name": "pyrite",
        "pipeline_tag": "image-classification",
        "datasets": ["me/faces"],
        "metrics": ["accuracy", "roc_auc"],
    }
    assert "ai-generated-image-detection" in data["tags"]
    results = {result.metric_type: result for result in card.data.eval_results}
    # As the bundle's card has them, without the copies.
    assert (results["accuracy"].metric_value, results["roc_auc"].metric_value) == (0.9827, 0.9985)
    assert {(result.dataset_name, result.dataset_type) for result in results.values()} == {("cifake.zip", "cifake")}
    assert card.data.model_name == "default"


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("MIT", {"license": "mit"}),
        ("CC BY-NC 4.0", {"license": "cc-by-nc-4.0"}),
        ("Apache-2.0; trained on CIFAKE (MIT)", {"license": "apache-2.0"}),
        ("MIT (the probe)", {"license": "other", "license_name": "mit-the-probe"}),
        ("for research: alone", {"license": "other", "license_name": "for-research-alone"}),
        ("not declared", {"license": "unknown"}),
    ],
)
def test_licences_have_the_hubs_identifiers(
    licence: str, expected: dict[str, str], bundle: Bundle, tmp_path: Path
) -> None:
    from huggingface_hub import ModelCard

    data = ModelCard(hub_card(by_others(bundle, tmp_path / "theirs", "free", licence))).data.to_dict()
    assert {key: value for key, value in data.items() if key.startswith("license")} == expected
    assert (data["base_model"], "model-index" in data, "datasets" in data) == ("others/detector", False, False)


def test_a_model_of_several_is_based_on_its_repository(bundle: Bundle, tmp_path: Path) -> None:
    origin = ModelOrigin(source="hf:others/detector#onnx/model.onnx", sha256="0" * 64, allows="free")
    theirs = save_bundle(tmp_path / "theirs", msgspec.structs.replace(bundle.info, origin=origin), bundle.files)
    assert "\nbase_model: others/detector\n" in hub_card(theirs)


def test_a_folder_that_is_a_bundle_is_kept_by_a_name(
    bundle: Bundle,
    run_pyrite: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYRITE_DATA", str(tmp_path / "data"))
    for options, name in (((), "brightness"), (("--name", "mine"), "mine")):
        code, said, error = run_pyrite("bundle", "import", bundle.path, *options)
        assert code == 0, error
        assert f"Use it by name: --bundle {name}" in said
        assert load_bundle(tmp_path / "data" / "bundles" / name).sha256 == bundle.sha256
    with pytest.raises(ExportError, match=r"is already a bundle.*Leave out: threshold\."):
        import_source(str(bundle.path), tmp_path / "out", Declared(threshold=1.0))
