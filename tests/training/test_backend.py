"""What training says of the machine it is on."""

import platform
from pathlib import Path

import pytest

from pyrite.training.backend import precision_note

OLD, FIRST = "flags : fpu avx avx2 fma\n", "flags : fpu avx avx2 fma avx512f\n"
ZEN, XEON = "flags : avx2 avx512f avx512_bf16\n", "flags : avx2 avx512f amx_bf16 amx_tile\n"


@pytest.mark.parametrize(
    ("precision", "machine", "flags", "told"),
    [
        ("bfloat16", "x86_64", OLD, True),
        ("bfloat16", "x86_64", FIRST, True),
        ("bfloat16", "x86_64", ZEN, False),
        ("bfloat16", "x86_64", XEON, False),
        ("float32", "x86_64", OLD, False),
        ("bfloat16", "aarch64", OLD, False),
        ("bfloat16", "x86_64", None, False),
    ],
)
def test_bfloat16_is_called_slow_where_the_processor_does_not_compute_in_it(
    precision: str, machine: str, flags: str | None, told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    cpuinfo = tmp_path / "cpuinfo"
    if flags is not None:
        cpuinfo.write_text(flags)
    note = precision_note(precision, cpuinfo)
    assert (note is not None) == told
    assert note is None or "--set precision=float32" in note
