"""Look for files that break a target, with Atheris; `make fuzz SECONDS=600` runs this.

Each target has a process of its own and a share of the time. A file that takes over 25 seconds or 2.5 GB is a bug, like
one that raises. What is found lies in fuzz/crashes, where `tests/test_fuzz_targets.py` finds it: keep
it there with the fix.
What was learned goes on in fuzz/corpus, which is not kept.
"""

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECONDS = 25
MEGABYTES = 2500
LARGEST = 65_536  # bytes of a file that is tried


def main() -> int:
    """Run the targets that are named, or all; return how many found something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="For all targets together.")
    parser.add_argument("targets", nargs="*", help="By default all.")
    chosen = parser.parse_args()
    from seeds import make_seeds

    seeds = make_seeds()
    unknown = set(chosen.targets) - seeds.keys()
    if unknown:
        parser.error(f"There is no target {', '.join(sorted(unknown))}. There are {', '.join(seeds)}.")
    targets = chosen.targets or list(seeds)
    share = max(1, chosen.seconds // len(targets))
    found = 0
    for target in targets:
        found += _run(target, seeds[target], share)
    return found


def _run(target: str, seeds: list[bytes], seconds: int) -> int:
    """Run one target for so long, going on after each find; return how many there were."""
    corpus, crashes = HERE / "corpus" / target, HERE / "crashes" / target
    corpus.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    until, runs, found, covered = time.monotonic() + seconds, 0, set[str](), 0
    while (left := int(until - time.monotonic())) > 0:
        with tempfile.TemporaryFile("w+", errors="replace") as log:
            code = subprocess.run(
                [
                    *(sys.executable, __file__, "--atheris", target, str(corpus)),
                    *(f"-max_total_time={left}", f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}"),
                    *(f"-max_len={LARGEST}", "-print_final_stats=1", f"-artifact_prefix={crashes}/"),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
            log.seek(0)
            said = log.read()
        runs += sum(map(int, re.findall(r"stat::number_of_executed_units: (\d+)", said)))
        covered = max([covered, *map(int, re.findall(r"cov: (\d+)", said))])
        if not code:
            break
        # Its last error, and where in this package that was.
        place = re.findall(r'File "[^"]*/(src/pyrite/[^"]+|fuzz/[^"]+)", line (\d+)', said)
        what = re.findall(r"^(?:Exception|Error)?:? ?(\w+(?:Error|Exception)\b.*)$", said, re.MULTILINE)
        told = f"{what[-1] if what else 'no error'} at {':'.join(place[-1]) if place else '?'}"
        if told in found or "number_of_executed_units" not in said:
            sys.stdout.write(f"{target}: stopped early: {told}\n{said[-1500:]}\n")
            found.add(told)
            break
        found.add(told)
        sys.stdout.write(f"{target}: {told}\n")
    sys.stdout.write(f"{target}: {runs:,} runs, {covered:,} edges, {len(found)} finds\n")
    sys.stdout.flush()
    return len(found)


def _fuzz(target: str, arguments: list[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=["pyrite", "python_multipart", "PIL"]):
        from targets import TARGETS
    atheris.Setup([__file__, *arguments], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--atheris"]:
        _fuzz(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main())
