"""Look up known vulnerabilities of what the lock installs; `make audit` runs this.

Where the service that knows them cannot be reached, that is said with the count of packages, and is no failure: nothing
was learned.
"""

import json
import subprocess
import sys


def main(program: str) -> int:
    """Return 1 where something is known, or the program fails; 0 where nothing is, or nobody could be asked."""
    command = [program, "--requirement", "requirements.lock", "--no-deps", "--disable-pip", "--format", "json"]
    done = subprocess.run([*command, "--progress-spinner", "off"], capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        away = any(word in done.stderr for word in ("ConnectionError", "ServiceError", "Max retries", "timed out"))
        sys.stdout.write(
            "Not audited: the service that knows vulnerabilities cannot be reached.\n" if away else done.stderr
        )
        return int(not away)
    skipped = [one for one in packages if "skip_reason" in one]
    known = [(one, fault) for one in packages for fault in one.get("vulns", ())]
    for one, fault in known:
        fixed = ", ".join(fault.get("fix_versions", ())) or "no version yet"
        sys.stdout.write(f"{one['name']} {one['version']}: {fault['id']}, fixed in {fixed}\n")
    sys.stdout.write(
        f"Audited {len(packages) - len(skipped)} of {len(packages)} packages: {len(known)} known faults.\n"
    )
    if skipped:
        sys.stdout.write(f"Not audited, since the service did not tell of them: {len(skipped)}.\n")
    return int(bool(known))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
