"""Pretrained weights give the logits of `transformers` (hf/make_fixtures.py), also exported."""

import dataclasses
import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.groups import Groups
from models.log_probs import token_log_probs
from models.partitioning import make_mesh
from models.pretrained import loading
from models.pretrained.checkpoint_files import CheckpointError, describe
from models.pretrained.loading import config_of, export, load
from models.transformer import bind, init
from tests.models.tiny import TINY

HERE = pathlib.Path(__file__).parent / "hf"
FAMILIES = ("llama3", "mistral", "qwen2", "qwen3", "smollm2")
every_family = pytest.mark.parametrize("family", FAMILIES)


def fixture(family):
  """What transformers computed: tokens [3, 12], mask [3, 12], logits [3, 12, 32]."""
  return np.load(HERE / family / "logits.npz")


def loaded(path):
  files = describe(str(path))
  return config_of(files), load(files, make_mesh())


@functools.partial(jax.jit, static_argnums=0)
def prefill_logits(config, params, tokens, mask):
  decoder = bind(config, params)
  return decoder.logits(decoder.read(tokens, mask))


score = jax.jit(token_log_probs, static_argnums=0)


def our_logits(config, params, tokens, mask):
  return np.asarray(prefill_logits(config, params, jnp.asarray(tokens), jnp.asarray(mask)))


def assert_same_bits(tree, other):
  jax.tree.map(np.testing.assert_array_equal, tree, other)


@every_family
def test_logits_are_those_of_transformers_whatever_the_padding(family):
  theirs = fixture(family)
  ours = our_logits(*loaded(HERE / family), theirs["tokens"], theirs["mask"])
  there = theirs["mask"]
  assert there.sum() == 12 + 7 + 8 and np.abs(theirs["logits"][there]).max() > 3
  np.testing.assert_allclose(ours[there], theirs["logits"][there], atol=1e-5, rtol=0)


@every_family
def test_log_probs_of_a_response_are_those_of_transformers(family):
  config, params = loaded(HERE / family)
  theirs, rows = fixture(family), slice(0, 2)  # the whole row and the left-padded one
  tokens, prompt = jnp.asarray(theirs["tokens"][rows], jnp.int32), 8
  responses = tokens[:, None, prompt:]
  mask = jnp.asarray(theirs["mask"][rows])[:, :prompt]
  rewards = jnp.zeros(responses.shape[:2])
  groups = Groups(tokens[:, :prompt], mask, responses, jnp.ones(responses.shape, bool), rewards)
  log_p = jax.nn.log_softmax(jnp.asarray(theirs["logits"][rows, prompt - 1 : -1]), axis=-1)
  expected = jnp.take_along_axis(log_p[:, None], responses[..., None], axis=-1)[..., 0]
  logps, _ = score(config, params, groups)
  np.testing.assert_allclose(logps, expected, atol=1e-5)


def test_config_says_what_the_files_say():
  files = describe(str(HERE / "llama3"))
  config = config_of(files, "bfloat16")
  assert (config.layers, config.heads, config.kv_heads, config.head_dim) == (2, 4, 2, 8)
  assert config.dtype == "bfloat16" and not config.tied
  assert config.rope_scaling is not None and config.rope_scaling.factor == 8.0
  assert (files.eos_ids, files.bos_id, files.pad_id) == ((2,), 1, 0)
  assert files.context_length == 512


def test_loaded_tree_is_the_one_that_init_makes():
  config, params = loaded(HERE / "qwen2")
  expected = jax.eval_shape(lambda: init(config, jax.random.key(0)))
  assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, expected)
  assert {x.dtype for x in jax.tree.leaves(params)} == {np.dtype("float32")}


def test_every_device_gets_its_part():
  files = describe(str(HERE / "qwen2"))
  whole = load(files, make_mesh())
  parts = load(files, make_mesh(data=2, fsdp=2, tensor=2))
  jax.tree.map(np.testing.assert_array_equal, whole, parts)
  assert parts["layers"]["up"].addressable_shards[0].data.shape == (2, 16 // 2, 24 // 2)


# --- export -------------------------------------------------------------------------------------


@every_family
def test_exported_folder_has_the_same_model_bit_for_bit(family, tmp_path):
  files, (config, params) = describe(str(HERE / family)), loaded(HERE / family)
  export(params, config, str(tmp_path / "new"), tokenizer_from=str(HERE / family))
  back = describe(str(tmp_path / "new"))
  for field in ("model", "eos_ids", "bos_id", "pad_id", "context_length"):
    assert getattr(back, field) == getattr(files, field), field
  assert_same_bits(load(back, make_mesh()), params)


def test_export_splits_large_models_over_files(tmp_path, monkeypatch):
  monkeypatch.setattr(loading, "SHARD_BYTES", 10_000)
  config, params = loaded(HERE / "qwen3")
  export(params, config, str(tmp_path / "new"))
  names = sorted(path.name for path in (tmp_path / "new").glob("*.safetensors"))
  assert names[0] == "model-00001-of-00003.safetensors" and len(names) == 3
  index = json.loads((tmp_path / "new" / "model.safetensors.index.json").read_text())
  assert index["metadata"]["total_size"] == 4 * sum(x.size for x in jax.tree.leaves(params))
  assert_same_bits(loaded(tmp_path / "new")[1], params)


def test_export_merges_low_rank_adapters(tmp_path):
  config = dataclasses.replace(TINY, qk_norm=False, attention_bias=True, lora_rank=2)
  rng = np.random.default_rng(0)
  shapes = jax.eval_shape(lambda: init(config, jax.random.key(0)))
  params = jax.tree.map(lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype), shapes)
  export(params, config, str(tmp_path / "new"))
  tokens = np.arange(12).reshape(1, 12)
  merged_config, merged = loaded(tmp_path / "new")
  assert merged_config == dataclasses.replace(config, lora_rank=0)
  expected = our_logits(config, params, tokens, tokens >= 0)
  np.testing.assert_allclose(
    our_logits(merged_config, merged, tokens, tokens >= 0), expected, atol=2e-5
  )


def test_export_takes_the_tokenizer_along(tmp_path):
  source = tmp_path / "source"
  config, params = loaded(HERE / "smollm2")
  export(params, config, str(source), tokenizer_from=str(HERE / "smollm2"))
  (source / "tokenizer.json").write_text("{}")
  export(params, config, str(tmp_path / "new"), tokenizer_from=str(source))
  assert (tmp_path / "new" / "tokenizer.json").read_text() == "{}"


def test_export_overwrites_nothing(tmp_path):
  config, params = loaded(HERE / "smollm2")
  (tmp_path / "precious.txt").write_text("mine")
  with pytest.raises(CheckpointError, match="not empty"):
    export(params, config, str(tmp_path))
  assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_export_refuses_a_decoder_that_no_architecture_describes(tmp_path):
  config = dataclasses.replace(TINY, attention_bias=True)  # beside its q/k-norm
  with pytest.raises(CheckpointError, match="qk_norm and attention_bias"):
    export({}, config, str(tmp_path / "new"))
  assert not (tmp_path / "new").exists()
