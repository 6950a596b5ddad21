"""A run's checkpoint as a Hugging Face folder; and checkpoints that hold adapters alone."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from experiments import export
from models.partitioning import make_mesh
from models.pretrained import loading
from models.pretrained.checkpoint_files import describe
from tasks.tokenizers import tokenizer_files
from tests.models.pretrained.test_loading import our_logits
from tests.training.checking.test_pretrained_model import END, MODEL, PAD, SMALL, params, place  # noqa: F401
from training import assembly, base_policy
from training.build import parts_of
from training.checking import config_files, pretrained_model
from training.records.checkpoints import Checkpoints
from training.records.run_folder import RunFolder
from training.start import starting_state
from training.state import random_params

SMALL = {
  **SMALL,
  **{"checkpoint.every": 1, "optimizer.learning_rate": 1e-2, "group_size": 4},
  "task.reward": "length(max=5)",  # which tells the responses of random weights apart
}


def trained(folder, place, steps=2, **overrides):  # noqa: F811
  """A finished run in this folder, of GRPO on sentiment from the model at `place`."""
  config = config_files.load(
    "configs/models/stories260k.py", SMALL | {"model.pretrained": place} | overrides
  )
  pretrained_model.fill(config)
  with config.unlocked():
    config.steps = steps
  found = RunFolder(str(folder))
  found.create(config.to_dict(), digest="x", config_file="configs/models/stories260k.py")
  assembly.train(config, found, str(folder / "root"), lambda row: None)
  return found, config


def policy(folder, config, step=None):
  """Returns the run's checkpoint as evaluation loads it."""
  parts = parts_of(config)
  start = base_policy.starting_params(config, parts, "nowhere", print)
  with Checkpoints(folder) as checkpoints:
    return parts.model, checkpoints.load(step, starting_state(parts, start)).params


def loaded(path):
  files = describe(str(path))
  return loading.config_of(files), loading.load(files, make_mesh())


@pytest.fixture(scope="module")
def full(tmp_path_factory, place):  # noqa: F811
  return trained(tmp_path_factory.mktemp("full") / "run", place, steps=1)


@pytest.fixture(scope="module")
def adapted(tmp_path_factory, place):  # noqa: F811
  folder = tmp_path_factory.mktemp("adapted") / "run"
  return trained(folder, place, **{"model.lora_rank": 1, "reference.every": 1})


def test_what_is_exported_has_the_logits_of_what_was_trained(full, place, tmp_path, capsys):  # noqa: F811
  folder, config = full
  out = tmp_path / "out"
  assert export.main([folder.path, str(out)]) == 0
  assert f"copied from {place}" in capsys.readouterr().out
  model, exported = loaded(out)
  expected_model, expected = policy(folder, config)
  assert model == expected_model
  jax.tree.map(np.testing.assert_array_equal, exported, expected)
  start = loaded(place)[1]
  assert (np.asarray(exported["embedding"]) != np.asarray(start["embedding"])).any()
  with open(os.path.join(place, "tokenizer.json")) as theirs:
    assert (out / "tokenizer.json").read_text() == theirs.read()
  generation = json.loads((out / "generation_config.json").read_text())
  assert generation == {"eos_token_id": [2, END], "pad_token_id": PAD}
  with_tokenizer = tokenizer_files.read_folder(str(out))
  assert with_tokenizer.special_tokens == tokenizer_files.read_folder(place).special_tokens


def test_adapters_are_merged_when_they_are_exported(adapted, tmp_path):
  folder, config = adapted
  assert export.main([folder.path, str(tmp_path / "out")]) == 0
  model, exported = loaded(tmp_path / "out")
  trained_model, trained_params = policy(folder, config)
  assert (model.lora_rank, trained_model.lora_rank) == (0, 1)
  tokens = np.arange(5, 17).reshape(1, 12)
  expected = our_logits(trained_model, trained_params, tokens, tokens >= 0)
  found = our_logits(model, exported, tokens, tokens >= 0)
  np.testing.assert_allclose(found, expected, atol=2e-5)
  assert (
    np.abs(found - our_logits(model, loaded(config.model.pretrained)[1], tokens, tokens >= 0)).max()
    > 1e-3
  )


def test_a_run_starts_from_one_with_adapters_as_they_ended(adapted, tmp_path):
  folder, config = adapted
  assert export.main([folder.path, str(tmp_path / "out")]) == 0
  after = config.copy_and_resolve_references()
  with after.unlocked():
    after.model.lora_rank, after.base.run = 0, folder.path
  start = base_policy.starting_params(after, parts_of(after), str(tmp_path), print)
  jax.tree.map(np.testing.assert_array_equal, start, loaded(tmp_path / "out")[1])


def test_a_checkpoint_of_adapters_holds_them_alone(adapted):
  folder, config = adapted
  with ocp.training.Checkpointer(folder.checkpoints) as checkpoints:
    saved = checkpoints.load(2)
  for network in ("params", "reference"):  # the reference moves, and its adapters with it
    layers = saved[network].pop("layers")
    assert not jax.tree.leaves(saved[network])
    assert {name[-2:] for name, leaf in layers.items() if leaf is not None} == {"_a", "_b"}
  _, found = policy(folder, config)
  frozen = loaded(config.model.pretrained)[1]
  np.testing.assert_array_equal(found["embedding"], frozen["embedding"])
  np.testing.assert_array_equal(found["layers"]["query_b"], layers["query_b"])
  assert np.asarray(layers["query_b"]).any()


def test_a_run_with_adapters_resumes_with_the_same_bits(adapted, tmp_path, place):  # noqa: F811
  whole, config = adapted
  half, _ = trained(
    tmp_path / "run", place, steps=1, **{"model.lora_rank": 1, "reference.every": 1}
  )
  assembly.train(config, half, str(tmp_path / "root"), lambda row: None)  # to step 2
  _, resumed = policy(half, config)
  _, never_stopped = policy(whole, config)
  jax.tree.map(np.testing.assert_array_equal, resumed, never_stopped)


def test_a_model_of_characters_says_that_it_has_no_tokenizer(tmp_path, capsys):
  overrides = {"model.layers": 1, "model.d_model": 16, "model.head_dim": 8, "model.ff_dim": 16}
  overrides |= {"base.steps": 0, "task.train_prompts": 32, "task.eval_prompts": 4}
  config = config_files.load("configs/grpo.py", overrides)
  folder = RunFolder(str(tmp_path / "run"))
  folder.create(config.to_dict(), digest="x", config_file="configs/grpo.py")
  parts = parts_of(config)
  state = starting_state(parts, random_params(parts.model, parts.mesh, seed=7))
  with Checkpoints(folder) as checkpoints:
    checkpoints.save(1, state, best_by=0.5)
  out = str(tmp_path / "out")
  assert export.main([folder.path, out, "--dry_run"]) == 0
  assert not os.path.exists(out)
  assert export.main([folder.path, out]) == 0
  assert "one token a character" in capsys.readouterr().out
  about = json.loads((tmp_path / "out" / "config.json").read_text())
  assert (about["eos_token_id"], about["pad_token_id"], about["vocab_size"]) == (1, 0, 98)
  jax.tree.map(np.testing.assert_array_equal, loaded(out)[1], state.params)


# --- errors -------------------------------------------------------------------------------------


def written(tmp_path, steps=(), loss="grpo", rows=()):
  folder = RunFolder(str(tmp_path / "run"))
  config = config_files.load("configs/grpo.py", {}).to_dict()
  config["algorithm"]["loss"] = loss
  folder.create(config, digest="x", config_file="configs/grpo.py")
  for step in steps:
    os.makedirs(os.path.join(folder.checkpoints, str(step)))
  for row in rows:
    folder.append_metrics(row)
  return folder


@pytest.mark.parametrize(
  "steps, loss, arguments, message",
  [
    ((), "grpo", [], "run: no checkpoint; there: none yet"),
    ((2, 4), "grpo", ["--step=3"], "run: no checkpoint 3; there: 2, 4"),
    ((2, 4), "grpo", ["--step=4", "--best"], "--best and --step: give one of them"),
    ((2, 4), "grpo", ["--best"], "run: no checkpoint with an evaluation; there: [2, 4]"),
    ((2,), "bradley_terry", [], "run is a reward model: transformers has no such model"),
  ],
)
def test_what_cannot_be_exported_is_said(tmp_path, capsys, steps, loss, arguments, message):
  folder = written(tmp_path, steps, loss)
  assert export.main([folder.path, str(tmp_path / "out"), *arguments]) == 2
  assert message in capsys.readouterr().err


def test_nothing_is_overwritten(tmp_path, capsys):
  folder = written(tmp_path, (2,))
  assert export.main([folder.path, folder.path]) == 2
  assert "not empty; nothing was written" in capsys.readouterr().err
  assert export.main([str(tmp_path / "none"), "out"]) == 2
  assert "is no run's folder (it would hold config.json)" in capsys.readouterr().err


@pytest.mark.parametrize(
  "judged_by", ["eval/reward_sampled", "eval/accuracy", "eval/implied_accuracy"]
)
def test_the_best_checkpoint_is_the_one_with_the_best_evaluation(tmp_path, judged_by):
  rows = [{"step": 2, judged_by: 0.5}, {"step": 3, judged_by: 0.9}, {"step": 4}]
  folder = written(tmp_path, (2, 4), rows=rows)
  assert export.chosen_step(folder, None, best=True) == 2
  assert export.chosen_step(folder, None, best=False) == 4


def test_errors_come_before_jax_is_imported(tmp_path):
  code = "import sys; from experiments import export; export.main(['none', 'out']);"
  code += "sys.exit('jax' in sys.modules)"
  assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
