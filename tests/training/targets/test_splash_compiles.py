"""Splash attention compiled for a TPU that is not here, forward and backward."""

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
import dataclasses
import json
from training.targets import chips, compilers

target = chips.find("v5e-4")
compilers.prepare(target)
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from models import packing
from models.groups import Groups
from models.log_probs import token_log_probs
from models.model_config import ModelConfig
from models.partitioning import BY_PROMPTS, make_mesh, on_mesh
from models.transformer import init
from training.devices import multiply_in_full

multiply_in_full()
model = ModelConfig(
  vocab_size=256, layers=1, d_model=256, heads=8, kv_heads=4, head_dim=128, ff_dim=512,
  attention="auto", dtype="bfloat16",
)
with compilers.alone(target, print):
  mesh = make_mesh(1, 4, 1, devices=compilers.devices(target))
  b, k, p, t = 4, 8, 256, 512
  arrays = (b, p, "int32"), (b, p, "bool"), (b, k, t, "int32"), (b, k, t, "bool"), (b, k, "float32")
  whole = Groups(*(jax.ShapeDtypeStruct(size, dtype) for *size, dtype in arrays))
  layout = packing.lay_out(np.full(b, 200), np.full((b, k), 400), p, t, chunks=4)
  found = {}
  for name, groups in ("whole", whole), ("packed", dataclasses.replace(whole, layout=layout)):
    groups = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=NamedSharding(mesh, BY_PROMPTS)),
      groups,
    )
    for attention in ("auto", "plain"):
      one = dataclasses.replace(model, attention=attention)

      def total(params, groups, one=one):
        return token_log_probs(one, params, groups)[0].sum()

      params = jax.eval_shape(lambda: init(one, jax.random.key(0)))
      compiled = jax.jit(on_mesh(mesh, jax.grad(total))).lower(params, groups).compile()
      kernels = compiled.as_text().count('custom_call_target="tpu_custom_call"')
      found.setdefault(name, []).append((kernels, compiled.memory_analysis().temp_size_in_bytes))
print(json.dumps(found))
"""


@pytest.mark.slow
def test_on_a_tpu_attention_has_kernels_that_hold_no_scores(tmp_path):
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
    timeout=1800,
  )
  assert done.returncode == 0, done.stderr
  for (kernels, temporaries), (none, of_scores) in json.loads(
    done.stdout.splitlines()[-1]
  ).values():
    assert kernels >= 3 and none == 0  # forward, perhaps twice, and two backward
    assert temporaries < of_scores / 3
