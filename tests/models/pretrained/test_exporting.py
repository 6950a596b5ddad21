"""Exported folders hold the same model, bit for bit."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.partitioning import make_mesh
from models.pretrained import exporting
from models.pretrained.checkpoint_files import CheckpointError, describe
from models.pretrained.exporting import export
from models.pretrained.loading import load
from models.transformer import init
from tests.models.pretrained.test_loading import (
  HERE,
  assert_same_bits,
  every_family,
  loaded,
  our_logits,
)
from tests.models.tiny import GEMMA3, OLMO3, TINY


@every_family
def test_exported_folder_has_the_same_model_bit_for_bit(family, tmp_path):
  files, (config, params) = describe(str(HERE / family)), loaded(HERE / family)
  export(params, config, str(tmp_path / "new"), tokenizer_from=str(HERE / family))
  back = describe(str(tmp_path / "new"))
  for field in ("model", "eos_ids", "bos_id", "pad_id", "context_length"):
    assert getattr(back, field) == getattr(files, field), field
  assert_same_bits(load(back, make_mesh()), params)


def test_export_splits_large_models_over_files(tmp_path, monkeypatch):
  monkeypatch.setattr(exporting, "SHARD_BYTES", 10_000)
  config, params = loaded(HERE / "qwen3")
  export(params, config, str(tmp_path / "new"))
  names = sorted(path.name for path in (tmp_path / "new").glob("*.safetensors"))
  assert names[0] == "model-00001-of-00003.safetensors" and len(names) == 3
  index = json.loads((tmp_path / "new" / "model.safetensors.index.json").read_text())
  assert index["metadata"]["total_size"] == 4 * sum(x.size for x in jax.tree.leaves(params))
  assert_same_bits(loaded(tmp_path / "new")[1], params)


@pytest.mark.parametrize(
  "model",
  [dataclasses.replace(TINY, qk_norm=False, attention_bias=True), OLMO3, GEMMA3],
  ids=["Qwen2", "Olmo 3", "Gemma 3"],
)
def test_export_merges_low_rank_adapters(model, tmp_path):
  config = dataclasses.replace(model, lora_rank=2)
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
  with pytest.raises(CheckpointError, match="has windows as"):  # windows of several sizes
    export({}, dataclasses.replace(OLMO3, windows=(3, 4)), str(tmp_path / "new"))
  assert not (tmp_path / "new").exists()
