"""Looks up known vulnerabilities of the locked packages: `make audit`. Needs PyPI, or an index with its JSON API.

The exit status is 1 where one is known, 2 where packages could not be looked up: nothing was learnt of them then.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LOCKS = ("requirements/base.txt", "requirements/dev.txt")


def audit(lock: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Known vulnerabilities by package, and the packages that could not be looked up."""
    options = ["--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off", "--timeout", "20"]
    program = Path(sys.executable).with_name("pip-audit")
    run = subprocess.run([program, "-r", lock, *options], capture_output=True, text=True, check=False)
    try:
        found = json.loads(run.stdout)["dependencies"]
    except (ValueError, KeyError):
        sys.exit(f"pip-audit failed: {run.stderr[-2000:]}")
    known = {f"{d['name']} {d['version']}": [v["id"] for v in d["vulns"]] for d in found if d.get("vulns")}
    return known, [d["name"] for d in found if "skip_reason" in d]


def main() -> int:
    status = 0
    for lock in LOCKS:
        known, skipped = audit(ROOT / lock)
        for package, ids in known.items():
            print(f"{lock}: {package}: {', '.join(ids)}")
        if skipped:
            print(f"{lock}: {len(skipped)} packages could not be looked up, e.g. {', '.join(skipped[:5])}")
        if not known and not skipped:
            print(f"{lock}: nothing known")
        status = 1 if known else max(status, 2 if skipped else 0)
    return status


if __name__ == "__main__":
    sys.exit(main())
