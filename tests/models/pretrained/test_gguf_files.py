"""GGUF files, written here by the `gguf` package as llama.cpp's converter writes them."""

import math
import pathlib

import gguf
import numpy as np
import pytest
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize, quantize

from models.partitioning import make_mesh
from models.pretrained import gguf_files
from models.pretrained.checkpoint_files import CheckpointError, describe
from models.pretrained.families import named
from models.pretrained.loading import load
from models.pretrained.stored_tensors import TYPES, StoredTensor
from tests.models.pretrained.test_loading import HERE, assert_same_bits


def permute(weights, heads):
  """llama.cpp's `LlamaModel.permute`: each head's pairs (i, i + D/2) become neighbours."""
  pairs = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
  return pairs.swapaxes(1, 2).reshape(weights.shape)


def convert(family, path, extra=(), metadata=()):
  """The fixture `family` as a GGUF file of float32."""
  files = describe(str(HERE / family))
  model, kind = files.model, family if family in ("qwen2", "qwen3", "olmo2") else "llama"
  writer = gguf.GGUFWriter(path, kind)
  writer.add_block_count(model["layers"])
  writer.add_embedding_length(model["d_model"])
  writer.add_feed_forward_length(model["ff_dim"])
  writer.add_head_count(model["heads"])
  writer.add_head_count_kv(model["kv_heads"])
  writer.add_key_length(model["head_dim"])
  writer.add_value_length(model["head_dim"])
  writer.add_layer_norm_rms_eps(model["norm_eps"])
  writer.add_rope_freq_base(model["rope_theta"])
  writer.add_context_length(512)
  writer.add_bos_token_id(1)
  writer.add_eos_token_id(2)
  writer.add_eot_token_id(7)
  writer.add_token_list(["<pad>", "<s>", "</s>"])
  for key, value in dict(metadata).items():
    (writer.add_string if isinstance(value, str) else writer.add_uint32)(key, value)
  for leaf, tensors in files.tensors.items():
    for i, tensor in enumerate(tensors):
      values = tensor.read()
      if kind == "llama" and leaf in ("layers/query", "layers/key"):
        heads = model["heads"] if leaf == "layers/query" else model["kv_heads"]
        values = permute(values, heads)
      assert tensor.name == named(kind).names[leaf].format(i)
      writer.add_tensor(named(kind).gguf[leaf].format(i), values)
  for name, values in dict(extra).items():
    writer.add_tensor(name, values)
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
  return str(path)


def refusal(path):
  with pytest.raises(CheckpointError) as error:
    describe(str(path))
  assert "\n" not in str(error.value)
  return str(error.value)


@pytest.mark.parametrize("family", ["smollm2", "mistral", "qwen2", "qwen3", "olmo2"])
def test_a_gguf_file_holds_the_same_model_as_the_folder(family, tmp_path):
  folder, file = describe(str(HERE / family)), describe(convert(family, tmp_path / "x.gguf"))
  eps, theta = folder.model["norm_eps"], folder.model["rope_theta"]  # float32 in GGUF
  assert file.model["norm_eps"] == pytest.approx(eps) and file.model["rope_theta"] == theta
  assert file.model | {"norm_eps": eps} == folder.model
  assert (file.eos_ids, file.bos_id, file.pad_id) == ((2, 7), 1, None)
  assert file.context_length == folder.context_length
  assert_same_bits(load(file, make_mesh()), load(folder, make_mesh()))


def test_types_are_those_of_the_gguf_package():
  assert set(gguf_files.TYPE_IDS.values()) == set(TYPES)
  for number, name in gguf_files.TYPE_IDS.items():
    assert GGMLQuantizationType(number).name == name
    assert GGML_QUANT_SIZES[GGMLQuantizationType(number)] == TYPES[name]


@pytest.mark.parametrize("interleaved", [0, 4])
@pytest.mark.parametrize("name", ["F32", "F16", "BF16", "Q8_0", "Q4_1"])
def test_any_part_of_a_tensor_can_be_read(name, interleaved, tmp_path):
  kind = GGMLQuantizationType[name]
  stored = quantize(np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32), kind)
  (tmp_path / "x").write_bytes(b"header" + stored.tobytes())
  tensor = StoredTensor(str(tmp_path / "x"), "x", name, (8, 64), 6, interleaved)
  assert tensor.end == (tmp_path / "x").stat().st_size
  whole = dequantize(stored, kind)
  if interleaved:
    whole = whole[[0, 2, 1, 3, 4, 6, 5, 7]]
  np.testing.assert_array_equal(tensor.read(), whole)
  part = tensor.read(slice(1, 6), slice(10, 30))
  assert part.dtype == np.float32
  np.testing.assert_array_equal(part, whole[1:6, 10:30])


def llama3_divisors(theta, head_dim, factor):
  """What llama.cpp's converter writes as rope_freqs.weight, by its formula of wavelengths."""
  divisors = []
  for i in range(0, head_dim, 2):
    wavelength = 2 * math.pi * theta ** (i / head_dim)
    smooth = (8192 / wavelength - 1.0) / (4.0 - 1.0)
    if wavelength < 8192 / 4.0:
      divisors.append(1.0)
    elif wavelength > 8192 / 1.0:
      divisors.append(factor)
    else:
      divisors.append(1 / ((1 - smooth) / factor + smooth))
  return np.array(divisors, np.float32)


def test_the_scaling_of_llama_3_is_recognised(tmp_path):
  theirs = llama3_divisors(500_000.0, 64, 32.0)
  path = tmp_path / "x"
  path.write_bytes(theirs.tobytes())
  stored = StoredTensor(str(path), gguf_files.ROPE_FREQUENCIES, "F32", (32,), 0)
  scaling = gguf_files.llama3_scaling(stored, 64, 500_000.0)
  assert scaling["factor"] == 32.0 and scaling["original_max_position_embeddings"] == 8192


def test_another_scaling_is_refused(tmp_path):
  divisors = np.array([1.0, 3.0], np.float32)
  path = convert("smollm2", tmp_path / "x.gguf", extra={gguf_files.ROPE_FREQUENCIES: divisors})
  assert "rope_freqs.weight is not the scaling of Llama 3" in refusal(path)


@pytest.mark.parametrize("kept", [2, 20, 300, -1])
def test_a_truncated_file_is_refused(kept, tmp_path):
  path = pathlib.Path(convert("smollm2", tmp_path / "x.gguf"))
  last = max(tensor.end for tensor in gguf_files.read_header(str(path)).tensors.values())
  path.write_bytes(path.read_bytes()[:last][:kept])
  assert ("truncated" if kept != 2 else "not a GGUF file") in refusal(path)


def test_an_unexpected_tensor_is_named(tmp_path):
  path = convert("qwen2", tmp_path / "x.gguf", extra={"blk.0.attn_output.bias": np.zeros(16, "f4")})
  assert "unexpected tensor blk.0.attn_output.bias [16]" in refusal(path)


@pytest.mark.parametrize(
  "metadata, message",
  [
    ({"llama.rope.scaling.type": "yarn"}, "rope type 'yarn' is not supported"),
    ({"llama.expert_count": 8}, "llama.expert_count 8 is not supported"),
    ({"llama.rope.dimension_count": 2}, "llama.rope.dimension_count 2 is not supported; 4 is"),
    ({"llama.attention.sliding_window": 64}, "llama.attention.sliding_window 64"),
  ],
)
def test_what_would_change_the_logits_is_refused(metadata, message, tmp_path):
  assert message in refusal(convert("smollm2", tmp_path / "x.gguf", metadata=metadata))


def test_windows_are_refused_where_the_family_may_have_some(tmp_path):
  path = convert("olmo2", tmp_path / "x.gguf", metadata={"olmo2.attention.sliding_window": 64})
  assert "olmo2.attention.sliding_window 64 is not supported; 0 is" in refusal(path)


def test_another_architecture_is_named(tmp_path):
  writer = gguf.GGUFWriter(tmp_path / "x.gguf", "gemma3")
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
  message = refusal(tmp_path / "x.gguf")
  assert "architecture gemma3 is not supported; these are: llama, qwen2, qwen3" in message
