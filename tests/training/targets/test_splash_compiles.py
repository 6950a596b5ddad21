"""Splash attention of packed rows compiled for a TPU that is not here, forward and backward."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from training.errors import UserError
from training.targets import chips, compilers

PROJECT = pathlib.Path(__file__).parent.parent.parent.parent
COMPILE = """
import json
from training.targets import chips, compilers

target = chips.find("v5e-4")
compilers.prepare(target)
import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec as P
from models import attention
from models.partitioning import make_mesh, on_mesh

with compilers.alone(target, print):
  mesh = make_mesh(1, 4, 1, devices=compilers.devices(target))
  rows, heads, length, group, width = 8, 8, 2048, 2, 128
  found = {}
  for name in ("auto", "plain"):

    def total(queries, keys, values, sees, name=name):
      own = attention.KeysValues(keys, values)
      attended = attention.attend_in_rows(queries, own, sees, name)
      return attended.astype(jnp.float32).sum()

    def shape(*sizes, dtype=jnp.bfloat16):
      split = NamedSharding(mesh, P(("data", "fsdp")))
      return jax.ShapeDtypeStruct(sizes, dtype, sharding=split)

    compiled = jax.jit(on_mesh(mesh, jax.grad(total, argnums=(0, 1, 2)))).lower(
      shape(rows, heads, 1, length, group, width),
      shape(rows, heads, 1, width, length),
      shape(rows, heads, 1, length, width),
      shape(rows, length, length, dtype=jnp.bool_),
    ).compile()
    kernels = compiled.as_text().count('custom_call_target="tpu_custom_call"')
    found[name] = kernels, compiled.memory_analysis().temp_size_in_bytes
print(json.dumps(found))
"""


@pytest.mark.slow
def test_on_a_tpu_packed_rows_have_kernels_that_hold_no_scores(tmp_path):
  try:
    compilers.check_installed(chips.find("v5e-4"))
  except UserError:
    pytest.skip(compilers.EXTRA)
  done = subprocess.run(
    [sys.executable, "-c", COMPILE],
    capture_output=True,
    text=True,
    cwd=tmp_path,
    env=os.environ | {"PYTHONPATH": str(PROJECT)},
    timeout=300,
  )
  assert done.returncode == 0, done.stderr
  (kernels, temporaries), (none, of_scores) = json.loads(done.stdout.splitlines()[-1]).values()
  assert kernels == 3 and none == 0  # forward, and two backward
  assert temporaries < of_scores / 4
