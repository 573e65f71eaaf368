"""The page without a server, in Chromium, side by side with `pyrite detect` on the same folder.

    python benchmarks/static_page.py cifake.zip --out results/benchmarks/static_page.json

Both judge the same images of CIFAKE by their pixels alone, in turns: the page from when the files are chosen until
each has its card, in a window that is open already; the command from its start to its end. Needs Chromium and
Playwright, and npm's registry once.
"""

import argparse
import http.server
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from playwright.sync_api import expect, sync_playwright

from pyrite.bundle import DEFAULT, Panel
from pyrite.serving import write_page
from training import in_turns, machine

if TYPE_CHECKING:
    from playwright.sync_api import Page

PYRITE = (sys.executable, "-c", "from pyrite.cli import main; main()")
_PATIENCE = 600_000  # milliseconds


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="cifake.zip")
    parser.add_argument("--out", type=Path, required=True, help="where the JSON goes")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runtime", type=Path, help="the package onnxruntime-web; it is fetched without it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, site = Path(place) / "images", Path(place) / "site"
        folder.mkdir()
        write_sample(arguments.archive, folder, arguments.images)
        write_page(site, Panel.open([DEFAULT]), runtime=arguments.runtime)
        found = measure(site, sorted(folder.iterdir()), arguments.rounds)
    print(json.dumps(found, indent=1))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({"machine": machine(), **found}, indent=1) + "\n")


def write_sample(archive: Path, folder: Path, count: int) -> None:
    """Write some test images of both classes to a folder."""
    with zipfile.ZipFile(archive) as opened:
        names = sorted(name for name in opened.namelist() if name.startswith("test/") and name.endswith(".jpg"))
        for i, name in enumerate(np.random.default_rng(0).choice(names, count, replace=False)):
            (folder / f"{i:04}.jpg").write_bytes(opened.read(str(name)))


def measure(site: Path, paths: list[Path], rounds: int) -> dict[str, Any]:
    """Return what both take for these images, and how their answers differ."""

    def detect() -> list[dict[str, Any]]:
        command = [*PYRITE, "detect", "--json", "--no-evidence", *map(str, paths)]
        answers: list[dict[str, Any]] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        return answers

    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with hosting(site) as address, sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=options)
        page, version = browser.new_page(), browser.version
        began = time.perf_counter()
        page.goto(address)
        judge(page, paths[:1])
        start = time.perf_counter() - began
        # From the second visit on, it has what threads need.
        page.evaluate("navigator.serviceWorker.ready.then(() => null)")
        page.reload()
        judge(page, paths[:1])
        times = in_turns(lambda: judge(page, paths), detect, rounds=rounds)
        own, wanted = read(page), {Path(one["path"]).name: one for one in detect()}
        browser.close()
    count = len(paths)
    return {
        "chromium": version,
        "images": count,
        "page_images_per_second": count / statistics.median(page for page, _ in times),
        "detect_images_per_second": count / statistics.median(detect for _, detect in times),
        "ratio": statistics.median(detect / page for page, detect in times),
        "ratios": sorted(detect / page for page, detect in times),
        "seconds_from_opening_the_page_to_the_first_verdict": start,
        "largest_difference_of_a_logit": max(abs(own[name]["logit"] - one["logit"]) for name, one in wanted.items()),
        "other_p_values": sum(
            any(own[name][key] != one[key] for key in ("p_real", "p_ai")) for name, one in wanted.items()
        ),
        "other_verdicts": sum(own[name]["verdict"] != one["verdict"] for name, one in wanted.items()),
    }


def judge(page: "Page", paths: list[Path]) -> None:
    """Let the page judge files, in place of those that it has."""
    page.locator("#clear").evaluate("button => button.click()")
    expect(page.locator("#cards > li")).to_have_count(0)
    page.locator("#pick").set_input_files(paths)
    expect(page.locator("#cards > li")).to_have_count(len(paths), timeout=_PATIENCE)
    expect(page.locator("#cards > li.pending")).to_have_count(0, timeout=_PATIENCE)


def read(page: "Page") -> dict[str, dict[str, Any]]:
    """Return the page's detections, by the names of their files."""
    with page.expect_download() as saved:
        page.locator("[data-export=json]").click()
    return {found["path"]: found for found in json.loads(saved.value.path().read_text("utf-8"))}


@contextmanager
def hosting(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine, and give its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


if __name__ == "__main__":
    main()
