"""Pretrained weights give the logits of `transformers` (hf/make_fixtures.py)."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.groups import Groups
from models.log_probs import token_log_probs
from models.partitioning import make_mesh
from models.pretrained.checkpoint_files import describe
from models.pretrained.loading import config_of, load
from models.transformer import bind, init

HERE = pathlib.Path(__file__).parent / "hf"
FAMILIES = ("llama3", "mistral", "qwen2", "qwen3", "smollm2", "olmo2", "olmo3", "gemma3")
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


@every_family
def test_loaded_tree_is_the_one_that_init_makes(family):
  config, params = loaded(HERE / family)
  expected = jax.eval_shape(lambda: init(config, jax.random.key(0)))
  assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, expected)
  assert {x.dtype for x in jax.tree.leaves(params)} == {np.dtype("float32")}


def test_every_device_gets_its_part():
  files = describe(str(HERE / "qwen2"))
  whole = load(files, make_mesh())
  parts = load(files, make_mesh(data=2, fsdp=2, tensor=2))
  jax.tree.map(np.testing.assert_array_equal, whole, parts)
  assert parts["layers"]["up"].addressable_shards[0].data.shape == (2, 16 // 2, 24 // 2)
