"""Serving, side by side with a plain FastAPI handler around the same `Detector`; steadily, overloaded, and attacked.

    python benchmarks/serving.py cifake.zip --out results/benchmarks/serving.json

All but the attack and the start need `wrk`, which asks over loopback and so takes its share of the same CPUs. `--part`
measures one part alone and keeps the rest of --out.
"""

import argparse
import http.client
import io
import itertools
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from pyrite.bundle import DEFAULT, load_bundle
from training import machine

CLIENTS = 32
CROWD = 800
"""Clients of the overload, more than the queue has places."""
PLAIN = """
import sys
import uvicorn
from fastapi import FastAPI, UploadFile
from pyrite.detector import Detector

app, detector = FastAPI(), Detector(sys.argv[1])

@app.post("/v1/detect")
def detect(files: list[UploadFile]):
    return {"detections": [detector.detect(file.file.read(), path=file.filename) for file in files]}

uvicorn.run(app, port=int(sys.argv[2]), log_level="error", access_log=False)
"""
OURS = "from pyrite.cli import main; main()"
SPAWNED = f"from multiprocessing import context; context.ForkServerContext = context.SpawnContext; {OURS}"
"""Has each decoder load all that it needs by itself, as it does where processes cannot be forked."""
# Each client sends the next of the images in a form; with a pause, one request in so many milliseconds on average.
SCRIPT = """
local bodies, at, pause, seen = {}, 0, %(pause)f, {}
for i = 1, %(images)d do
  local file = io.open("%(folder)s/" .. i .. ".form", "rb")
  bodies[i] = file:read("*a")
  file:close()
end
local headers = {["Content-Type"] = "multipart/form-data; boundary=a-boundary"}
function init(args) math.randomseed(os.time()) at = math.random(#bodies) end
function request()
  at = at %% #bodies + 1
  return wrk.format("POST", "/v1/detect", headers, bodies[at])
end
if pause > 0 then function delay() return math.floor(pause * 2 * math.random()) end end
local threads = {}
function setup(thread) table.insert(threads, thread) end
function response(status) counts = counts or {} counts[status] = (counts[status] or 0) + 1
  text = "" for code, number in pairs(counts) do text = text .. code .. "=" .. number .. " " end end
function done(summary, latency, requests)
  local all = ""
  for _, thread in ipairs(threads) do all = all .. (thread:get("text") or "") end
  print("STATUSES " .. all)
  print(string.format("FIGURES %%d %%d %%f %%f %%f", summary.duration, summary.errors.connect + summary.errors.read +
    summary.errors.write + summary.errors.timeout, latency:percentile(50), latency:percentile(99), latency.max))
end
"""


def main() -> None:
    """Run every part, print it, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="CIFAKE as a zip")
    parser.add_argument("--bundle", type=Path, default=DEFAULT, help="what judges; Pyrite's own without it")
    parser.add_argument("--out", type=Path, required=True, help="where the JSON goes")
    parser.add_argument("--seconds", type=int, default=20, help="of each round")
    parser.add_argument("--rounds", type=int, default=3, help="of each server in the comparison, in turns")
    parser.add_argument("--soak", type=int, default=600, help="seconds at a steady load")
    parser.add_argument("--part", action="append", choices=PARTS, help="measure only this, and keep the rest of --out")
    arguments = parser.parse_args()
    found: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.part and arguments.out.exists() else {}
    with tempfile.TemporaryDirectory() as name:
        arguments.folder = Path(name)
        arguments.images = unpack(arguments.archive, arguments.folder, 500)
        for part in arguments.part or PARTS:
            said = {"machine": machine(), "bundle": load_bundle(arguments.bundle).info.name}
            found[part] = {**said, "load_average_before": os.getloadavg()[0], **PARTS[part](arguments)}
            print(part, json.dumps({k: v for k, v in found[part].items() if k != "machine"}), flush=True)
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def unpack(archive: Path, folder: Path, count: int) -> int:
    """Write the archive's first images as forms, numbered from 1, and tell how many."""
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if name.endswith(".jpg")][:count]
        for i, name in enumerate(names, 1):
            head = f'--a-boundary\r\nContent-Disposition: form-data; name="files"; filename="{i}.jpg"\r\n'
            body = f"{head}Content-Type: image/jpeg\r\n\r\n".encode() + opened.read(name) + b"\r\n--a-boundary--\r\n"
            (folder / f"{i}.form").write_bytes(body)
    return len(names)


@contextmanager
def serving(code: str, port: int, *arguments: str) -> Iterator[int]:
    """Start a server, wait until it answers, and give its process id."""
    nowhere = subprocess.DEVNULL
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=nowhere, stderr=nowhere) as process:
        try:
            for _ in range(3000):
                try:
                    connection = http.client.HTTPConnection("127.0.0.1", port)
                    connection.request("GET", "/readyz")
                    if connection.getresponse().status != 503:
                        break
                except OSError:
                    pass
                time.sleep(0.02)
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


@contextmanager
def ours(arguments: argparse.Namespace, port: int = 8701, workers: int = 1, code: str = OURS) -> Iterator[int]:
    """Start Pyrite's server."""
    more = ("--port", str(port), "--bundle", str(arguments.bundle), "--set", f"workers={workers}")
    with serving(code, port, "serve", *more) as pid:
        yield pid


@contextmanager
def plain(arguments: argparse.Namespace) -> Iterator[int]:
    """Start the plain handler."""
    with serving(PLAIN, 8702, str(arguments.bundle), "8702") as pid:
        yield pid


def ask(arguments: argparse.Namespace, port: int, seconds: float, clients: int, pause: float = 0) -> dict[str, Any]:
    """Ask with so many clients, each with so many milliseconds on average between answer and question."""
    script = arguments.folder / "ask.lua"
    script.write_text(SCRIPT % {"images": arguments.images, "folder": arguments.folder, "pause": pause})
    command = ["wrk", "-t2", f"-c{clients}", f"-d{seconds:.0f}s", "--timeout", "30s", "-s", str(script)]
    said = subprocess.run([*command, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True).stdout
    statuses: dict[str, int] = {}
    for code, number in re.findall(r"(\d+)=(\d+)", said.partition("STATUSES")[2].partition("\n")[0]):
        statuses[code] = statuses.get(code, 0) + int(number)
    duration, errors, p50, p99, most = map(float, said.partition("FIGURES")[2].split()[:5])
    return {
        "good_per_second": statuses.get("200", 0) / (duration / 1e6),
        "statuses": statuses,
        "broken_connections": errors,
        "p50_ms": p50 / 1000,
        "p99_ms": p99 / 1000,
        "max_ms": most / 1000,
    }


def in_turns(arguments: argparse.Namespace, *ports: int) -> list[list[dict[str, Any]]]:
    """Ask servers in turns, each warmed up first; return for each round what each of them did."""
    for port in ports:
        ask(arguments, port, 3, CLIENTS)
    return [[ask(arguments, port, arguments.seconds, CLIENTS) for port in ports] for _ in range(arguments.rounds)]


def throughput(arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare the two servers with 32 clients, in turns."""
    with ours(arguments), plain(arguments):
        rounds = in_turns(arguments, 8701, 8702)
    return {
        "pyrite_per_second": statistics.median(a["good_per_second"] for a, _ in rounds),
        "plain_per_second": statistics.median(b["good_per_second"] for _, b in rounds),
        "ratio": statistics.median(a["good_per_second"] / b["good_per_second"] for a, b in rounds),
        "rounds": rounds,
    }


def steady(arguments: argparse.Namespace) -> dict[str, Any]:
    """Ask at 80% of the throughput for ten minutes, and watch latency, failures and memory."""
    with ours(arguments) as pid:
        capacity = ask(arguments, 8701, arguments.seconds, CLIENTS)["good_per_second"]
        between = pause = 1000 * CLIENTS / (0.8 * capacity)
        # What a client waits for its answer comes on top of its pause, and depends on the load.
        for _ in range(6):
            found = ask(arguments, 8701, min(10, arguments.soak / 60), CLIENTS, pause)["good_per_second"]
            pause = max(0.5, pause + between - 1000 * CLIENTS / found)
        with watching(pid) as seen:
            told = ask(arguments, 8701, arguments.soak, CLIENTS, pause)
    failed = sum(number for code, number in told["statuses"].items() if code != "200") + told["broken_connections"]
    first, last = statistics.median(seen[: len(seen) // 5]), statistics.median(seen[-len(seen) // 5 :])
    return {
        "seconds": arguments.soak,
        "capacity_per_second": capacity,
        "share_of_capacity": told["good_per_second"] / capacity,
        "failed": failed,
        "p99_to_p50": told["p99_ms"] / told["p50_ms"],
        **told,
        "memory_mb_first_fifth": first,
        "memory_mb_last_fifth": last,
        "memory_growth": last / first - 1,
        "memory_mb_least": min(seen),
        "memory_mb_most": max(seen),
    }


def overload(arguments: argparse.Namespace) -> dict[str, Any]:
    """Offer three times the capacity with more clients than the queue has places."""
    with ours(arguments):
        before = ask(arguments, 8701, arguments.seconds, CLIENTS)["good_per_second"]
        told = ask(arguments, 8701, arguments.seconds, CROWD, 1000 * CROWD / (3 * before))
        after = ask(arguments, 8701, arguments.seconds, CLIENTS)["good_per_second"]
    capacity = (before + after) / 2
    return {"capacity_per_second": capacity, "goodput_share": told["good_per_second"] / capacity, **told}


def attack(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time small images of one client while another keeps asking for 12 AVIFs of 49 megapixels and 1.4 kB each.

    Each has an address of this machine's own, as Linux has them: 127.0.0.0/8.
    """
    stream = io.BytesIO()
    Image.new("RGB", (7000, 7000), "grey").save(stream, "AVIF", speed=10)
    part = b'--a-boundary\r\nContent-Disposition: form-data; name="files"; filename="a.avif"\r\n\r\n'
    bomb = (part + stream.getvalue() + b"\r\n") * 12 + b"--a-boundary--\r\n"
    forms = [(arguments.folder / f"{i}.form").read_bytes() for i in range(1, arguments.images + 1)]
    answers: Counter[int] = Counter()
    ended = threading.Event()

    def keep_asking() -> None:
        while not ended.is_set():
            status, _ = post("127.0.0.2", bomb)
            answers[status] += 1
            ended.wait(0.0 if status == 200 else 0.1)

    def others() -> dict[str, Any]:
        until, seen = time.monotonic() + arguments.seconds, list[tuple[int, float]]()
        for form in itertools.cycle(forms):
            seen.append(post("127.0.0.3", form))
            time.sleep(0.02 * random.random())
            if time.monotonic() > until:
                break
        cuts = statistics.quantiles([1000 * seconds for _, seconds in seen], n=100)
        statuses = Counter(status for status, _ in seen)
        return {"requests": len(seen), "statuses": statuses, "p50_ms": cuts[49], "p99_ms": cuts[98]}

    with ours(arguments):
        others()
        quiet = others()
        assert set(quiet["statuses"]) == {200}, quiet
        threads = [threading.Thread(target=keep_asking, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(3)
        attacked = others()
        ended.set()
    return {
        "bytes_of_an_attack": len(bomb),
        "quiet": quiet,
        "attacked": attacked,
        "p99_ratio": attacked["p99_ms"] / quiet["p99_ms"],
        "attacker": answers,
    }


def post(address: str, body: bytes) -> tuple[int, float]:
    """Ask from an address, and return the status and how many seconds it took; 0 where the connection broke."""
    began = time.perf_counter()
    headers = {"Content-Type": "multipart/form-data; boundary=a-boundary"}
    connection = http.client.HTTPConnection("127.0.0.1", 8701, timeout=120, source_address=(address, 0))
    try:
        connection.request("POST", "/v1/detect", body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, time.perf_counter() - began
    except (OSError, http.client.HTTPException):
        return 0, time.perf_counter() - began
    finally:
        connection.close()


def workers(arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare two workers with one, with 32 clients, in turns."""
    with ours(arguments, 8703, 1), ours(arguments, 8704, 2):
        rounds = in_turns(arguments, 8703, 8704)
    return {
        "one_worker_per_second": statistics.median(a["good_per_second"] for a, _ in rounds),
        "two_workers_per_second": statistics.median(b["good_per_second"] for _, b in rounds),
        "ratio": statistics.median(b["good_per_second"] / a["good_per_second"] for a, b in rounds),
        "cpus": len(os.sched_getaffinity(0)),
        "rounds": rounds,
    }


def start(arguments: argparse.Namespace) -> dict[str, Any]:
    """Start servers whose decoders are forked and spawned, in turns: the time until ready, and memory."""
    rounds: list[dict[str, tuple[float, float]]] = []
    for _ in range(arguments.rounds):
        rounds.append({})
        for name, code in (("forked", OURS), ("spawned", SPAWNED)):
            began = time.perf_counter()
            with ours(arguments, code=code) as pid:
                seconds = time.perf_counter() - began
                time.sleep(3)  # Until the decoders in reserve have begun as well.
                rounds[-1][name] = seconds, memory(pid, "pss")
    told = {
        f"{name}_{what}": statistics.median(one[name][i] for one in rounds)
        for name in rounds[0]
        for i, what in enumerate(("seconds", "memory_mb"))
    }
    ratios = [one["forked"][0] / one["spawned"][0] for one in rounds]
    return {**told, "ratio_of_seconds": statistics.median(ratios), "rounds": rounds}


@contextmanager
def watching(pid: int) -> Iterator[list[float]]:
    """Note the memory of a process and of those that it started, in megabytes, every second."""
    seen: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(1):
            seen.append(memory(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def memory(pid: int, what: str = "rss") -> float:
    """Return the memory of a process and all that come from it, in megabytes: `pss` counts once what they share."""
    total = 0
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            total += getattr(process.memory_full_info() if what == "pss" else process.memory_info(), what)
    return total / 1e6


PARTS = {
    "throughput": throughput,
    "steady": steady,
    "overload": overload,
    "attack": attack,
    "workers": workers,
    "start": start,
}

if __name__ == "__main__":
    main()
