import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from pyrite.errors import BundleError, PyriteError
from pyrite.runtime import DEVICES, Session, available_cpus, available_memory, cpu_quota

RANDOM = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), np.uint8)
EXPECTED = (RANDOM.mean((1, 2, 3)) - 127.5) * 0.1


@pytest.mark.parametrize("column", [False, True])
def test_logits(build_model, column):
    model = build_model(axes=(2, 3), shape=("N", 1, 32 * 32, 3)) if column else build_model()
    batch = RANDOM.reshape(7, 1, 32 * 32, 3) if column else RANDOM
    logits = Session(model).logits(batch)
    assert logits.shape == (7,)
    assert logits.dtype == np.float32
    assert logits == pytest.approx(EXPECTED, abs=1e-4)


def test_an_image_scores_the_same_in_any_batch(model):
    session = Session(model, threads=1)
    alone = np.concatenate([session.logits(RANDOM[i : i + 1]) for i in range(7)])
    assert alone == pytest.approx(session.logits(RANDOM), abs=1e-6)


def test_size_is_what_the_model_fixes(build_model):
    assert Session(build_model()).size == (32, 32)
    assert Session(build_model(shape=("N", "H", 8, 3))).size == (None, 8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dtype": "FLOAT"}, "input must be uint8"),
        ({"shape": (2, 32, 32, 3)}, "with any N, or 1"),
        ({"shape": ("N", 32, 32, 4)}, "input must be uint8"),
        ({"shape": ("N", 32, 3), "axes": (1, 2)}, "input must be uint8"),
        ({"axes": (1, 2)}, "output must be float32"),
        ({"axes": (2,)}, "output must be float32"),
        ({"outputs": 2}, "one output"),
    ],
)
def test_models_of_another_kind_are_refused(build_model, settings, message):
    with pytest.raises(BundleError, match=message):
        Session(build_model(**settings))


@pytest.mark.parametrize("cut", [0, 1, 100])
def test_what_is_no_model_is_refused_without_noise(model, cut, capfd):
    with pytest.raises(BundleError, match="cannot be loaded as ONNX"):
        Session(model[:cut])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_logits_that_are_no_number_are_refused(build_model, scale):
    with pytest.raises(BundleError, match="not a number"):
        Session(build_model(scale=scale)).logits(RANDOM)


def test_a_batch_that_does_not_fit_is_refused(model):
    with pytest.raises(BundleError, match=r"\(7, 8, 8, 3\)"):
        Session(model).logits(RANDOM[:, :8, :8])


def test_a_model_that_mixes_images_is_refused(build_model):
    with pytest.raises(BundleError, match="32 logits for 7 images"):
        Session(build_model(axes=(0, 2, 3))).logits(RANDOM)


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_must_be_positive(model, threads):
    with pytest.raises(PyriteError, match="threads"):
        Session(model, threads)


def cgroups(root: Path, groups: str, **files: str) -> Path:
    """Write what Linux says of a process's control groups below `root`; files are named by `path__name`."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, content in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("cpu_max", "cpu.max").replace("cfs", "cpu.cfs")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        ("0::/\n", {"cpu_max": "max 100000\n"}, None),
        ("0::/\n", {"cpu_max": "150000 100000\n"}, 1.5),
        ("0::/\n", {}, None),
        # A service of systemd, whose slice is limited more than it is itself.
        ("0::/a/b\n", {"a__b__cpu_max": "400000 100000\n", "a__cpu_max": "50000 100000\n"}, 0.5),
        ("0::/a/b\n", {"a__b__cpu_max": "max 100000\n", "a__cpu_max": "max 100000\n"}, None),
        # A container that sees its own group as the root, though it is told its path outside.
        ("0::/docker/ab\n", {"cpu_max": "200000 100000\n"}, 2.0),
        ("3:cpu:/\n0::/\n", {"cpu__cfs_quota_us": "300000\n", "cpu__cfs_period_us": "100000\n"}, 3.0),
        ("3:cpu:/\n2:memory:/x\n", {"cpu__cfs_quota_us": "-1\n", "cpu__cfs_period_us": "100000\n"}, None),
        ("3:cpu:/d\n", {"cpu__cfs_quota_us": "100000\n", "cpu__cfs_period_us": "50000\n"}, 2.0),
        ("0::/\n", {"cpu_max": "what is this\n"}, None),
    ],
)
def test_the_quota_of_control_groups_is_honoured(
    tmp_path: Path, groups: str, files: dict[str, str], quota: float | None
) -> None:
    assert cpu_quota(cgroups(tmp_path, groups, **files)) == quota


def test_where_there_are_no_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None


MEMINFO = "MemTotal:  16000 kB\nMemFree:  100 kB\nMemAvailable:  8000 kB\n"


@pytest.mark.parametrize(
    ("groups", "files", "memory"),
    [
        ("0::/\n", {}, 8_192_000),
        ("0::/a\n", {"a/memory.max": "max", "a/memory.current": "5", "a/memory.stat": ""}, 8_192_000),
        ("0::/a\n", {"a/memory.max": "9000", "a/memory.current": "8000", "a/memory.stat": "inactive_file 500\n"}, 1500),
        ("0::/a/b\n", {"a/memory.max": "900", "a/memory.current": "1000", "a/memory.stat": "anon 1000\n"}, 0),
        (
            "4:memory:/\n",
            {
                "memory/memory.limit_in_bytes": "700",
                "memory/memory.usage_in_bytes": "600",
                "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 50\n",
            },
            150,
        ),
    ],
)
def test_available_memory_is_what_the_system_and_control_groups_leave(
    tmp_path: Path, groups: str, files: dict[str, str], memory: int
) -> None:
    root = cgroups(tmp_path, groups)
    (root / "proc/meminfo").write_text(MEMINFO)
    for name, content in files.items():
        (root / "sys/fs/cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "sys/fs/cgroup" / name).write_text(content)
    assert available_memory(root) == memory


def test_where_nothing_tells_the_memory_it_is_not_known(tmp_path: Path) -> None:
    assert available_memory(tmp_path) is None


@pytest.mark.parametrize(("quota", "cpus"), [(None, 4), (2.5, 3), (0.2, 1), (64.0, 4)])
def test_cpus_are_those_of_affinity_and_quota(monkeypatch: pytest.MonkeyPatch, quota: float | None, cpus: int) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr("pyrite.runtime.cpu_quota", lambda: quota)
    assert available_cpus() == cpus


def test_a_model_that_takes_a_single_image_is_run_one_by_one(build_model: Callable[..., bytes]) -> None:
    alone = Session(build_model(shape=(1, 32, 32, 3)))
    assert alone.logits(RANDOM) == pytest.approx(EXPECTED, abs=1e-4)
    assert alone.logits(RANDOM[:0]).shape == (0,)


def test_a_model_is_mapped_from_where_it_lies(model: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(model)
    assert Session(tmp_path / "m.onnx").logits(RANDOM).tolist() == Session(model).logits(RANDOM).tolist()
    with pytest.raises(BundleError, match="cannot be loaded"):
        Session(tmp_path / "gone.onnx")


def test_without_anything_faster_it_runs_on_the_cpu(model: bytes) -> None:
    assert Session(model, device="auto").device == Session(model).device == "cpu"


@pytest.mark.parametrize("device", sorted(set(DEVICES) - {"cpu"}))
def test_a_device_that_is_not_to_be_had_is_told_with_what_to_install(
    model: bytes, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(PyriteError, match=rf"cannot use {device}. Install {re.escape(DEVICES[device][1])}"):
        Session(model, device=device)


def test_an_unknown_device_is_told_with_those_there_are(model: bytes) -> None:
    with pytest.raises(PyriteError, match=r"no device 'gpu'. There are auto, cpu, cuda"):
        Session(model, device="gpu")


def test_a_device_that_cannot_start_is_no_silent_cpu(model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime falls back to the CPU where CUDA's libraries are missing."""
    start = onnxruntime.InferenceSession
    monkeypatch.setattr(
        "onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(
        "onnxruntime.InferenceSession",
        lambda model, options, providers: start(model, options, providers=["CPUExecutionProvider"]),
    )
    with pytest.raises(PyriteError, match="is its driver installed"):
        Session(model, device="cuda")
    assert Session(model, device="auto").device == "cpu"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Only Linux tells there what is open.")
@pytest.mark.parametrize("first", ["from pyrite.runtime import Session", "import pyrite, onnxruntime"])
def test_no_events_are_kept_or_sent_of_what_runs(model: bytes, tmp_path: Path, first: str) -> None:
    """ONNX Runtime would keep an id and a database below the home, and send what is in it."""
    (tmp_path / "model.onnx").write_bytes(model)
    script = f"""
import os, sys
{first}
from pyrite.runtime import Session
Session(open("model.onnx", "rb").read(), threads=1)
opened = [f"/proc/self/fd/{{one}}" for one in os.listdir("/proc/self/fd")[:-1]]
print(os.environ["ORT_DISABLE_TELEMETRY"], *map(os.readlink, opened))
"""
    dropped = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "CI", "PYRITE_CACHE", "KERAS_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 ")
    assert "onnxruntime" not in done.stdout
    assert [path.name for path in tmp_path.rglob("*")] == ["model.onnx"]
