"""The claims' results: kept in the ledger's folder, one file a claim, and read again.

<name>.json   the finding, the seconds it took, and the digest of the code that found it
<name>.log    the traceback, if the experiment failed
claims.json   all of them, with their texts
"""

import contextlib
import dataclasses
import math
import os
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from claims.claim import Claim, Curve, Figure, Finding, Plot, Subclaim
from training.errors import UserError
from training.records import environment
from training.records.files import read_json, write_atomically, write_json

FOUND, OUTDATED, FAILED, UNTRIED = "found", "outdated", "failed", "not tried"


@dataclasses.dataclass(frozen=True)
class Result:
  """A claim and its state. "found" has a finding, "outdated" one by code that has changed since."""

  claim: Claim
  state: str
  finding: Finding | None = None
  seconds: float = 0.0
  reason: str = ""  # why it failed

  @property
  def verdict(self) -> str:
    return self.finding.verdict if self.finding else self.state


def kept(claim: Claim, folder: str) -> Result:
  """Reads a claim's result from the folder."""
  try:
    found = read_json(_path(folder, claim, "json"))
    state = FOUND if found["digest"] == claim.digest else OUTDATED
    return Result(claim, state, _finding(found["finding"]), found["seconds"])
  except (OSError, KeyError, TypeError, ValueError, UserError):  # none, or another version's
    return Result(claim, UNTRIED)


def keep(claim: Claim, finding: Finding, seconds: float, folder: str) -> Result:
  """Writes a finding to the folder."""
  about = {"name": claim.name, "digest": claim.digest, "seconds": round(seconds, 2)}
  about |= {"commit": environment.git_commit(), "finding": plain(dataclasses.asdict(finding))}
  write_json(_path(folder, claim, "json"), about)
  with contextlib.suppress(FileNotFoundError):
    os.remove(_path(folder, claim, "log"))  # of an earlier failure
  return kept(claim, folder)


def failed(claim: Claim, error: Exception, seconds: float, folder: str) -> Result:
  """Returns the failure with its reason; writes the traceback to the log."""
  log = _path(folder, claim, "log")
  write_atomically(log, "".join(traceback.format_exception(error)))
  said = str(error).strip().partition("\n")[0]
  reason = said if isinstance(error, UserError) else f"{type(error).__name__}: {said}"
  return Result(claim, FAILED, None, seconds, f"{reason}  ({log})")


def write_all(results: Sequence[Result], folder: str) -> str:
  """Writes claims.json and returns its path."""
  path = os.path.join(folder, "claims.json")
  claims = [
    {
      "name": result.claim.name,
      "quote": result.claim.quote,
      "source": result.claim.source,
      "method": result.claim.method,
      "state": result.state,
      "seconds": result.seconds,
      "reason": result.reason,
      "finding": plain(dataclasses.asdict(result.finding)) if result.finding else None,
    }
    for result in results
  ]
  write_json(path, {"commit": environment.git_commit(), "claims": claims})
  return path


def plain(value: Any) -> Any:
  """Turns arrays at any depth into lists of plain numbers; numbers that JSON lacks become None."""
  if isinstance(value, Mapping):
    return {key: plain(item) for key, item in value.items()}
  value = value.tolist() if hasattr(value, "tolist") else value
  if isinstance(value, list | tuple | range):
    return [plain(item) for item in value]
  return None if isinstance(value, float) and not math.isfinite(value) else value


def _path(folder: str, claim: Claim, ending: str) -> str:
  return os.path.join(folder, f"{claim.name}.{ending}")


def _finding(found: dict[str, Any]) -> Finding:
  figures = [Figure(**f | {"value": _number(f["value"])}) for f in found.pop("figures")]
  plots = [Plot(**p | {"curves": [Curve(**c) for c in p["curves"]]}) for p in found.pop("plots")]
  subclaims = [Subclaim(**subclaim) for subclaim in found.pop("subclaims")]
  return Finding(figures=figures, plots=plots, subclaims=subclaims, **found)


def _number(value: float | None) -> float:
  return math.nan if value is None else value
