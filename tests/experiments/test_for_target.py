"""`--target`: the smallest run compiled for chips that are not here, and what is refused at once.

A target's compiler lasts as long as its process, so each test that compiles has one of its own.
"""

import os
import pathlib
import re
import subprocess
import sys
import time

import pytest

from experiments import train
from tests.experiments import commands
from training.errors import UserError
from training.targets import chips, compilers

PROJECT = pathlib.Path(__file__).parent.parent.parent
SMALL = """
  batch_prompts=8 group_size=2 task.train_prompts=128 task.eval_prompts=16 mesh.fsdp=2 mesh.tensor=2
  model.layers=2 model.d_model=32 model.heads=2 model.kv_heads=2 model.head_dim=16 model.ff_dim=64
  model.dtype=bfloat16 sampling.max_tokens=4 source=online
""".split()


def words_of(target, *settings, config="configs/dpo.py"):
  fields = [f"--config.{setting}" for setting in (*SMALL, *settings)]
  return [f"--config={config}", *fields, f"--target={target}"]


def compiled(place, target, *settings, command="train", more=(), **of_config):
  """The command in a process of its own; skipped where the target's compiler is not installed."""
  try:
    compilers.check_installed(chips.find(target))
  except UserError:
    pytest.skip(compilers.EXTRA)
  words = words_of(target, *settings, **of_config)
  words = [sys.executable, "-m", f"experiments.{command}", *words, *more]
  python_path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
  environment = os.environ | {"PYTHONPATH": python_path}
  return subprocess.run(
    words, capture_output=True, text=True, cwd=place, env=environment, timeout=1800
  )


def check_page(page):
  """What a page says of every program, whatever the chip."""
  for name in ("update", "sampler", "log-probs"):
    paragraph = page.partition(f"\n{name}  (compiled in ")[2].partition("\n\n")[0]
    for row in ("memory ", "FLOPs a device", "memory traffic", "network", "time, at least"):
      assert f"\n  {row}" in paragraph
    assert re.search(r" over (fsdp|tensor|fsdp x tensor|.*tensor): ", paragraph)
    assert re.search(r"at most +[\d,]+ tokens/s, \d+% of the peak rate", paragraph)
  assert "\nAn estimate, and a bound from above" in page


@pytest.mark.slow
def test_a_run_is_compiled_for_a_tpu_that_is_not_here(tmp_path):
  done = compiled(tmp_path, "v5e-4")
  assert done.returncode == 0, done.stderr
  assert "target v5e-4: 4 x TPU v5e (2 x 2), 16 GiB of memory each; mesh data 1 x fsdp 2" in (
    done.stdout
  )
  check_page(done.stdout)
  assert not os.listdir(tmp_path)  # no run, no cache


@pytest.mark.slow
def test_a_run_is_compiled_for_gpus_that_are_not_here(tmp_path):
  done = compiled(tmp_path, "h100-4")
  assert done.returncode == 0, done.stderr
  check_page(done.stdout)
  # Attention is chosen for the chip that is compiled for, not for the one that compiles.
  assert "calls of the kernel __cudnn$fmha" in done.stdout


@pytest.mark.slow
def test_of_a_sweep_one_run_of_each_kind_is_compiled(tmp_path):
  swept = "--sweep.algorithm.loss=grpo,rloo", "--sweep.algorithm.beta=0.1,0.2"
  done = compiled(tmp_path, "h100-4", command="sweep", more=swept, config="configs/grpo.py")
  assert done.returncode == 0, done.stderr
  assert done.stdout.count("target h100-4: ") == 2  # numbers compile nothing
  table = done.stdout.partition("\nprogram ")[2].splitlines()[1:7]
  assert [row.split()[0] for row in table] == ["update", "sampler", "log-probs"] * 2
  assert all(re.search(r" \d+%  .*s0 .*s0", row) for row in table)


@pytest.mark.slow
def test_what_does_not_fit_ends_with_2_and_the_fields_to_change(tmp_path):
  done = compiled(tmp_path, "v5e-4", "model.d_model=8192", "model.ff_dim=65536", "model.layers=8")
  assert done.returncode == 2, done.stdout + done.stderr
  assert "DOES NOT FIT" in done.stdout and "micro_batches (now 1)" in done.stdout


@pytest.mark.parametrize(
  "target, said",
  [("v5e4", "Did you mean"), ("v5e-8", "--config.mesh.fsdp=4"), ("gpu", "choose one of")],
)
def test_a_slip_is_refused_at_once(tmp_path, target, said):
  started = time.monotonic()
  done = commands.run(train.main, *words_of(target), place=tmp_path)
  assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
  assert time.monotonic() - started < 5
