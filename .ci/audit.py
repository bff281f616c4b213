"""Known vulnerabilities of what constraints.txt pins, as OSV knows them. `make audit`; options go to pip-audit.

Where OSV cannot be asked, this says so and ends with 0. PyPI's own data are not used: for a mirror without them
pip-audit finds no package at all, and says that nothing is wrong.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PINNED = Path(__file__).parent.parent / "constraints.txt"
AUDIT = (
    "--no-deps",
    "--disable-pip",
    "--vulnerability-service",
    "osv",
    "--format",
    "json",
    "--progress-spinner",
    "off",
)
UNREACHABLE = ("requests.exceptions.", "Could not connect")


def main(options: list[str]) -> int:
    """Exit status: 0 nothing found, or nobody to ask; 1 something found; another one of pip-audit's."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(PINNED), *AUDIT, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    if not done.stdout:
        reason = done.stderr.strip().rpartition("\n")[2]
        if any(sign in done.stderr for sign in UNREACHABLE):
            print(f"audit: not done, the vulnerability data cannot be reached ({reason})")
            return 0
        print(done.stderr, file=sys.stderr)
        return done.returncode or 1
    packages = json.loads(done.stdout)["dependencies"]
    found = [(package, weakness) for package in packages for weakness in package.get("vulns", ())]
    for package, weakness in found:
        mended = ", ".join(weakness["fix_versions"]) or "no version yet"
        print(f"audit: {package['name']} {package['version']}: {weakness['id']}, mended in {mended}")
    for package in packages:
        if "skip_reason" in package:
            print(f"audit: {package['name']} not looked at: {package['skip_reason']}")
    print(f"audit: {len(packages)} packages, {len(found)} known vulnerabilities")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
