"""A tiny pretrained model, with its tokenizer, through a config."""

import json
import shutil

import jax
import numpy as np
import pytest

from models.pretrained import exporting
from models.transformer import ModelConfig, init
from tasks.rows.row import text_of
from tests.experiments.test_honesty import written
from tests.tasks.tokenizers.tiny_tokenizer import BOS, CHATML, END, PAD, TOKENS, folder
from training import base_policy, offline_data
from training.build import parts_of
from training.checking import config_files, digests, pretrained_model, validate
from training.errors import UserError
from training.evaluation import PolicyEvaluation
from training.scoring import Scorer
from training.sources.online import Online

MODEL = ModelConfig(
  vocab_size=len(TOKENS) + 7,  # rows that make the number round
  layers=2,
  d_model=16,
  heads=2,
  kv_heads=1,
  head_dim=8,
  ff_dim=24,
  qk_norm=False,
)
SMALL = {
  "task.train_prompts": 64,
  "task.eval_prompts": 8,
  "batch_prompts": 8,
  "group_size": 2,
  "sampling.max_tokens": 6,
  "steps": 2,
  "eval.every": 2,
  "eval.samples": 2,
}


@pytest.fixture(scope="module")
def params():
  return jax.jit(init, static_argnums=0)(MODEL, jax.random.key(0))


@pytest.fixture(scope="module")
def place(tmp_path_factory, params):
  """The folder of a model that chats."""
  path = tmp_path_factory.mktemp("pretrained") / "model"
  exporting.export(params, MODEL, str(path))
  generation = {"eos_token_id": [2, END], "pad_token_id": PAD}
  (path / "generation_config.json").write_text(json.dumps(generation))
  return folder(path, chat_template=CHATML)


def config(place, **overrides):
  """GRPO on the sentiment task, checked and filled as the commands do it."""
  spec = "configs/models/stories260k.py"
  found = config_files.load(spec, SMALL | {"model.pretrained": place} | overrides)
  validate.check(found)
  pretrained_model.fill(found)
  return found


def test_the_files_say_what_the_model_and_its_tokenizer_are(place, params):
  found = config(place)
  assert (found.model.layers, found.model.d_model, found.model.qk_norm) == (2, 16, False)
  parts = parts_of(found)
  assert parts.model == MODEL
  sampler = parts.sampler(4)
  assert (sampler.eos_ids[0], sampler.pad_id) == (END, PAD)
  assert text_of(parts.task.train[0].prompt).startswith("Continue this story: Once upon a time")
  start = base_policy.starting_params(found, parts, "nowhere", print)
  jax.tree.map(np.testing.assert_array_equal, start, params)


def test_a_question_of_reasoning_gym_goes_through_the_chat_template(place):
  found = config(
    place, **{"task.name": "chain_sum", "task.reward": "exact", "sampling.max_tokens": 8}
  )
  task = parts_of(found).task
  ids, mask = (array[0] for array in task.train_prompts)
  text = task.tokenizer.decode(ids[mask])
  assert text.startswith("[user]State the final answer to the following")  # up to the turn's end
  assert BOS not in ids and (ids == END).sum() == 1


@pytest.mark.parametrize(
  "overrides, message",
  [
    ({"model.pretrained": "/not/there"}, "model.pretrained='/not/there': /not/there: no such"),
    ({"model.layers": 6}, "model.layers=6: the files of model.pretrained say 2; leave this out"),
    ({"mesh.fsdp": 3}, "mesh.fsdp=3: does not divide model.d_model=16; try 1 or 2 or 4 or 8 or 16"),
    ({"task.reward": "exact"}, "task.reward='exact': sentiment has no answers for 'exact'; try"),
    ({"task.options": "a=1"}, "task.options='a=1': sentiment has none"),
    (
      {"task.name": "chain_sum", "task.reward": "vader"},
      "task.reward='vader': looks at no answer, and chain_sum has answers; this task's is 'exact'",
    ),
    ({"base.steps": 5}, "base.steps=5: sentiment has no answers to learn to write; set it to 0"),
    ({"source": "demonstrations"}, "source='demonstrations': sentiment has no answers"),
  ],
)
def test_what_cannot_be_is_said_before_jax_is_imported(place, overrides, message):
  with pytest.raises(UserError) as error:
    config(place, **overrides)
  assert message in str(error.value)


def test_a_mesh_is_checked_with_the_files_shape_alone(place):
  assert config(place, **{"mesh.fsdp": 16, "batch_prompts": 16, "task.eval_prompts": 16})
  with pytest.raises(UserError, match="model.d_model=128"):  # the default shape, where it is meant
    config("", **{"mesh.fsdp": 3})


def test_a_tokenizer_that_does_not_fit_the_model_is_an_error(place, tmp_path):
  path = str(shutil.copytree(place, tmp_path / "other"))
  added = json.loads((tmp_path / "other" / "tokenizer.json").read_text())
  extra = {"content": "<x>", "single_word": False, "lstrip": False, "rstrip": False}
  extra |= {"normalized": False, "special": True}
  names = [f"<x{i}>" for i in range(8)]
  added["added_tokens"] += [
    extra | {"id": len(TOKENS) + i, "content": name} for i, name in enumerate(names)
  ]
  (tmp_path / "other" / "tokenizer.json").write_text(json.dumps(added))
  with pytest.raises(UserError, match="tokenizer has 273 tokens and the model embeds only 272"):
    parts_of(config(path))


def test_a_response_beyond_the_models_context_is_an_error(place, tmp_path):
  path = str(shutil.copytree(place, tmp_path / "other"))
  about = json.loads((tmp_path / "other" / "config.json").read_text())
  (tmp_path / "other" / "config.json").write_text(
    json.dumps(about | {"max_position_embeddings": 180})
  )
  with pytest.raises(UserError, match="sampling.max_tokens=100: after the longest prompt of senti"):
    parts_of(config(path, **{"sampling.max_tokens": 100}))


def test_the_digest_is_of_the_weights_and_not_of_where_they_lie(place, params, tmp_path):
  copy, other = str(shutil.copytree(place, tmp_path / "copy")), str(tmp_path / "other")
  changed = params | {"final_norm": params["final_norm"] * 1.01}
  exporting.export(changed, MODEL, other)
  assert pretrained_model.fingerprint(copy) == pretrained_model.fingerprint(place)
  assert pretrained_model.fingerprint(other) != pretrained_model.fingerprint(place)
  found = config(place)
  digest = digests.of_run(found)["digest"]
  found.model.pretrained = other
  assert digests.of_run(found)["digest"] != digest


def test_a_data_set_of_another_tokenizer_is_refused(place, tmp_path):
  parts = parts_of(config(place, source="offline", **{"algorithm.loss": "off_policy_grpo"}))
  path = written(tmp_path, parts.task.train[:8])
  with pytest.raises(UserError, match="the tokens of model.pretrained=''; this config has"):
    offline_data.load(parts, path, Scorer(parts))


def test_a_continuation_without_an_end_keeps_its_reward(place, params):
  parts = parts_of(config(place))
  drawn = Online(parts, Scorer(parts)).collect(0, params).scored
  assert not drawn.finished.all()
  np.testing.assert_array_equal(drawn.groups.rewards, drawn.task_rewards)
  assert (drawn.groups.rewards[~drawn.finished] > 0.2).all()  # noise is neutral, not gloomy
  strict = parts_of(config(place, **{"scoring.unfinished": -1.0}))
  drawn = Online(strict, Scorer(strict)).collect(0, params).scored
  assert (drawn.groups.rewards[~drawn.finished] == -1).all()


def test_the_reference_is_the_pretrained_model(place, params):
  parts = parts_of(config(place))
  start = base_policy.starting_params(parts.config, parts, "nowhere", print)
  metrics, completions, _ = PolicyEvaluation(parts, params)(start, 0)
  assert metrics["eval/kl"] == 0
  assert completions[0]["prompt"] == parts.task.evaluation[0].prompt
