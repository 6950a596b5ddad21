"""Programs that jax kept compiled and a kill or a disk has torn."""

import os
import pathlib
import subprocess
import sys

import pytest

from training.records import compiled_programs

PROJECT = pathlib.Path(__file__).parent.parent.parent
TEARS = {
  "cut_short": lambda content: content[: len(content) // 2],
  "empty": lambda content: b"",
  "flipped": lambda content: content[:99] + bytes([content[99] ^ 1]) + content[100:],
  "lacks_its_last_byte": lambda content: content[:-1],
  "of_zeros": lambda content: bytes(len(content)),
  "strange": lambda content: b"something else",
}
COMPILES = f"""
import sys
from training.records import compiled_programs
if sys.argv[1:] == ["mend"]:
  compiled_programs.mend()
import jax
for name in {list(TEARS)}:
  program = lambda x: x * 2 + 1
  program.__name__ = program.__qualname__ = name
  assert float(jax.jit(program)(3.0)) == 7
"""


def compile_them(folder, *words):
  """What a process that compiles a program of each name says."""
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
  paths = {name: next(tmp_path.glob(f".jax_cache/jit_{name}-*-cache")) for name in TEARS}
  for name, tear in TEARS.items():
    paths[name].write_bytes(tear(paths[name].read_bytes()))
  torn = {name: path.read_bytes() for name, path in paths.items()}
  said = compile_them(tmp_path)  # by jax alone, which leaves them as they are
  assert all(f"'jit_{name}'" in said for name in TEARS)
  assert all(path.read_bytes() == torn[name] for name, path in paths.items())
  assert not compile_them(tmp_path, "mend")
  assert not compile_them(tmp_path)
  assert all(path.read_bytes() != torn[name] for name, path in paths.items())
