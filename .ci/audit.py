"""Known vulnerabilities of the packages that requirements.lock names, by pip-audit.

Exit code 1 if there are any. Where pip-audit cannot be installed, or its source of vulnerabilities
does not answer, that is said, and is no failure: nothing is known then.
"""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv" / "audit"  # an environment of its own: the lock has no tools
SECONDS = 120


def main() -> int:
  auditor = HOME / "bin" / "pip-audit"
  if not auditor.exists():
    run(sys.executable, "-m", "venv", HOME)
    run(HOME / "bin" / "pip", "install", "-q", "pip-audit")
    if not auditor.exists():
      return skipped("pip-audit cannot be installed here")
  words = ("-r", ROOT / "requirements.lock", "--no-deps", "--disable-pip", "--timeout", "5")
  done = run(auditor, *words, "--format", "json", "--progress-spinner", "off")
  try:
    packages = json.loads(done.stdout)["dependencies"] if done else []
  except (ValueError, KeyError):
    packages = []
  known = [package for package in packages if "vulns" in package]
  if not known:
    return skipped("its source of vulnerabilities does not answer")
  bad = [package for package in known if package["vulns"]]
  for package in bad:
    names = ", ".join(one["id"] for one in package["vulns"])
    print(f"audit: {package['name']} {package['version']}: {names}")
  unknown = len(packages) - len(known)
  print(f"audit: {len(known)} packages looked up, {len(bad)} vulnerable, {unknown} not known there")
  return 1 if bad else 0


def run(*words: object) -> subprocess.CompletedProcess[str] | None:
  """None where it cannot be run, or does not end."""
  try:
    return subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=SECONDS)
  except (OSError, subprocess.TimeoutExpired):
    return None


def skipped(why: str) -> int:
  print(f"audit: skipped, {why}")
  return 0


if __name__ == "__main__":
  sys.exit(main())
