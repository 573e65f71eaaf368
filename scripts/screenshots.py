"""The pictures of README: the server's page and a report, as Chromium shows them.

    python scripts/screenshots.py docs/figures

It needs the extra `dev` and Chromium.
"""

import argparse
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "results" / "default" / "official" / "report.html"
PYRITE = Path(sys.executable).with_name("pyrite")
PHOTOGRAPHS = sorted((ROOT / "docs" / "photographs").glob("*.jpg"))
_WIDTH, _HEIGHT = 1280, 800
_SECONDS = 60  # to start in


def main() -> None:
    """Draw both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    with TemporaryDirectory() as folder, sync_playwright() as playwright, served() as address:
        examples = Path(folder) / "examples"
        pyrite("bundle", "examples", "--out", str(examples))
        browser = playwright.chromium.launch(executable_path=browser_path)
        page = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT}, color_scheme="light")
        page.goto(address)
        chosen = [*PHOTOGRAPHS, *(examples / name for name in ("1-real.png", "6-ai.png"))]
        page.set_input_files("#pick", chosen)
        page.set_default_timeout(1000 * _SECONDS)
        page.locator("h2", has_text=re.compile(rf"^{len(chosen)} images$")).wait_for()
        for number in range(len(chosen)):
            page.locator("#cards > li").nth(number).locator("img").wait_for()
        save(page.screenshot(), out / "page.png")
        page.set_viewport_size({"width": 800, "height": 640})
        page.goto(REPORT.as_uri())
        save(page.screenshot(), out / "report.png")
        browser.close()


@contextmanager
def served() -> Iterator[str]:
    """Give the address of a server on a free port, until the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [PYRITE, "serve", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + _SECONDS
            while time.monotonic() < deadline:
                with suppress(OSError), urllib.request.urlopen(f"{address}/readyz", timeout=_SECONDS):
                    break
                time.sleep(0.2)
            yield address
        finally:
            server.terminate()


def pyrite(*arguments: str) -> None:
    """Run a command."""
    subprocess.run([PYRITE, *arguments], check=True, stdout=subprocess.DEVNULL)


def save(png: bytes, path: Path) -> None:
    """Write a screenshot with 128 colours, at a third of the size."""
    path.write_bytes(png)
    with Image.open(path) as shot:
        shot.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
