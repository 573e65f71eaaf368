"""The examples of docs/python.md: they run, print what is shown, and are typed."""

import re
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from pyrite.bundle import DEFAULT, load_bundle
from pyrite.golden import write_golden

ROOT = Path(__file__).parents[1]
EXAMPLES: list[tuple[str, str]] = re.findall(
    r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?",
    (ROOT / "docs" / "python.md").read_text("utf-8"),
    re.MULTILINE | re.DOTALL,
)


def test_the_examples_print_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow", reason="The extra tables is not installed: there is no pyarrow.")
    monkeypatch.chdir(tmp_path)
    write_golden(load_bundle(DEFAULT), Path("photos"))
    names: dict[str, object] = {}
    for code, expected in EXAMPLES:
        with redirect_stdout(StringIO()) as printed:
            exec(code, names)
        assert printed.getvalue() == expected
    assert Path("why.png").is_file()


@pytest.mark.slow
def test_the_examples_are_typed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("\n".join(code for code, _ in EXAMPLES), "utf-8")
    # As `make check` has it, which is strict, and whose cache makes this quick.
    found = subprocess.run([sys.executable, "-m", "mypy", str(script)], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
