"""Programs that jax kept compiled and a kill or a disk has torn."""

import os
import pathlib
import subprocess
import sys
import warnings

import pytest

from training.records import compiled_programs

PROJECT = pathlib.Path(__file__).parent.parent.parent
TEARS = {
  "cut short": lambda content: content[: len(content) // 2],
  "empty": lambda content: b"",
  "flipped": lambda content: content[:99] + bytes([content[99] ^ 1]) + content[100:],
  "without its last byte": lambda content: content[:-1],
  "zeros": lambda content: bytes(len(content)),
  "something else": lambda content: b"something else",
}
COMPILES = f"""
import sys
from training.records import compiled_programs
if sys.argv[1:] == ["mend"]:
  compiled_programs.mend()
import jax
for number in range({len(TEARS) + 1}):  # they have one name
  assert float(jax.jit(lambda x: x * 2 + number)(3.0)) == 6 + number
"""


def compile_them(folder, *words):
  """What a process that compiles these programs says."""
  kept = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
  done = subprocess.run(
    [sys.executable, "-c", COMPILES, *words],
    env=kept | compiled_programs.kept_below(str(folder)),
    cwd=PROJECT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  return done.stderr


@pytest.mark.slow
def test_a_torn_program_is_kept_anew_and_nothing_is_said(tmp_path):
  assert not compile_them(tmp_path)
  *paths, whole = sorted(tmp_path.glob(".jax_cache/jit__lambda*-cache"))
  assert len(paths) == len(TEARS)
  torn = {}
  for path, tear in zip(paths, TEARS.values(), strict=True):
    torn[path] = tear(path.read_bytes())
    path.write_bytes(torn[path])
  written = whole.stat().st_mtime_ns
  assert "Error reading" in compile_them(tmp_path)  # by jax alone, which leaves them as they are
  assert all(path.read_bytes() == content for path, content in torn.items())
  assert not compile_them(tmp_path, "mend")
  assert not compile_them(tmp_path)
  assert all(path.read_bytes() != content for path, content in torn.items())
  assert whole.stat().st_mtime_ns == written


class Jax:
  """What jax does when it cannot read a program."""

  def _cache_read(self, cache_key, ex):
    warnings.warn(
      f"Error reading persistent compilation cache entry for 'jit_f': {ex!r}", stacklevel=1
    )


def shown_for(error, folder, monkeypatch):
  """The warnings that are shown when jax meets this error, and then one of something else."""
  shown = []
  config = type("Config", (), {"jax_compilation_cache_dir": folder})
  monkeypatch.setitem(sys.modules, "jax", type("Module", (), {"config": config}))
  with warnings.catch_warnings():
    monkeypatch.setattr(warnings, "showwarning", lambda *facts: shown.append(str(facts[0])))
    for _ in range(2):
      compiled_programs.mend()
    Jax()._cache_read("jit_f-key", error)
    warnings.warn("something else", stacklevel=1)
  return shown


@pytest.mark.parametrize(
  ("error", "is_removed", "is_said"),
  [
    (EOFError("of a torn file"), True, False),
    (OSError(24, "Too many open files"), False, True),
    (PermissionError(13, "Permission denied"), False, True),
    (MemoryError(), False, True),
    (RuntimeError("RESOURCE_EXHAUSTED: Out of memory"), False, True),
    (FileNotFoundError(2, "another process removed it"), True, False),
  ],
)
def test_a_whole_program_stays_and_what_is_wrong_is_said(
  tmp_path, monkeypatch, error, is_removed, is_said
):
  path = tmp_path / "jit_f-key-cache"
  path.write_bytes(b"a program")
  *said, other = shown_for(error, str(tmp_path), monkeypatch)
  assert (len(said), other) == (is_said, "something else")
  assert path.exists() != is_removed


def test_what_cannot_be_removed_is_said(monkeypatch):
  assert len(shown_for(EOFError("of a torn file"), "gs://bucket/programs", monkeypatch)) == 2


def test_to_mend_is_begun_once(monkeypatch):
  with warnings.catch_warnings():
    compiled_programs.mend()
    begun = warnings.showwarning
    compiled_programs.mend()
    assert warnings.showwarning is begun
