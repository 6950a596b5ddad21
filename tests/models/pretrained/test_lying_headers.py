"""Files of weights that say what cannot be: refused in a line, and nothing is allocated for it."""

import json
import pathlib
import shutil
import struct
import tracemalloc

import pytest

from models.pretrained import gguf_files, safetensors_files, strict_json
from models.pretrained.checkpoint_files import CheckpointError, describe

HERE = pathlib.Path(__file__).parent / "hf"
FEW = 8 << 20  # bytes


@pytest.fixture(autouse=True)
def few_bytes():
  """No refusal costs memory."""
  tracemalloc.start()
  yield
  _, most = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert most < FEW


def refused(read, path):
  with pytest.raises(CheckpointError) as error:
    read(str(path))
  assert "\n" not in str(error.value) and len(str(error.value)) < 500
  return str(error.value)


# --- safetensors ----------------------------------------------------------------------------------


def of_header(header, data=b"x" * 8, length=None):
  text = header if isinstance(header, bytes) else json.dumps(header).encode()
  return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(**words):
  return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | words


@pytest.mark.parametrize(
  ("file", "message"),
  [
    (b"", "truncated within its header"),
    (of_header(b"{}", length=2**63), "truncated within its header"),
    (of_header(b"{}", length=2**64 - 1), "truncated within its header"),
    (of_header([1]), "its header: no object"),
    (of_header(b"[" * 100_000), "nested too deeply"),
    (of_header(b'{"a":' * 100_000), "nested too deeply"),
    (of_header(b'{"a": ' + b"9" * 100_000 + b"}"), "Exceeds the limit"),
    (of_header(b'{"a": NaN}'), "NaN is no JSON"),
    (of_header(b'{"a": 1, "a": 2}'), "the key 'a' is there twice"),
    (of_header(b"\xff\xfe{}"), "not a safetensors file"),
    (of_header({"a": [1]}), "does not say where it lies"),
    (of_header({"a": {"dtype": "F32", "shape": [2]}}), "does not say where it lies"),
    (of_header({"a": entry(data_offsets=[-8, 0])}), "does not say where it lies"),
    (of_header({"a": entry(data_offsets=["0", "8"])}), "does not say where it lies"),
    (of_header({"a": entry(data_offsets=[0, 8, 9])}), "does not say where it lies"),
    (of_header({"a": entry(data_offsets=[2**63, 2**63 + 8])}), "does not say where it lies"),
    (of_header({"a": entry(data_offsets=[2**40, 2**40 + 8])}), "truncated"),
    (of_header({"a": entry(shape=[-1, -2])}), "is no shape"),
    (of_header({"a": entry(shape=[2.0])}), "is no shape"),
    (of_header({"a": entry(shape=[True, 2])}), "is no shape"),
    (of_header({"a": entry(shape="ab")}), "is no shape"),
    (of_header({"a": entry(shape=[])}), "is no shape"),
    (of_header({"a": entry(shape=[2**62, 2**62])}), "is no shape"),
    (of_header({"a": entry(shape=[2**40, 2**40])}), "the header gives it 8"),
    (of_header({"a": entry(shape=[1] * 10_000)}), "is no shape"),
    (of_header({"a": entry(dtype="I8")}), "is of type I8"),
    (of_header({"a": entry(dtype=["F32"])}), "does not say where it lies"),
    (of_header({"a": entry(), "b": entry()}), "'b' shares bytes with 'a'"),
    (of_header({"a": entry(), "b": entry(data_offsets=[4, 12])}, b"x" * 12), "shares bytes"),
    (of_header({"a": entry(), "b": entry(data_offsets=[16, 24])}, b"x" * 24), "not what its"),
    (of_header({"a": entry()}, b"x" * 4), "truncated"),
    (of_header({"a": entry()}, b"x" * 12), "not what its header says"),
  ],
)
def test_a_safetensors_header_that_lies(file, message, tmp_path):
  path = tmp_path / "model.safetensors"
  path.write_bytes(file)
  assert message in refused(safetensors_files.read_header, path)


# --- GGUF -----------------------------------------------------------------------------------------


def text(value):
  return struct.pack("<Q", len(value)) + value.encode()


def many(kind, count, content=b""):
  return struct.pack("<IQ", kind, count) + content


def key(name, kind, content):
  return text(name) + struct.pack("<I", kind) + content


def tensor(name, shape, kind=0, offset=0, axes=None):
  sizes = struct.pack(f"<I{len(shape)}Q", len(shape) if axes is None else axes, *shape)
  return text(name) + sizes + struct.pack("<IQ", kind, offset)


def gguf(keys=(), tensors=(), key_count=None, tensor_count=None):
  counts = (
    len(tensors) if tensor_count is None else tensor_count,
    len(keys) if key_count is None else key_count,
  )
  file = b"GGUF" + struct.pack("<IQQ", 3, *counts) + b"".join((*keys, *tensors))
  return file + b"\0" * (-len(file) % 32) + b"x" * 64


@pytest.mark.parametrize(
  ("file", "message"),
  [
    (b"", "not a GGUF file"),
    (b"GGUF", "truncated or damaged"),
    (gguf(key_count=2**63), "truncated or damaged"),
    (gguf(tensor_count=2**63), "truncated or damaged"),
    (gguf([struct.pack("<Q", 2**64 - 1)]), "truncated or damaged"),
    (gguf([key("a", 9, many(4, 2**63))]), "truncated or damaged"),
    (gguf([key("a", 9, many(0, 2**24) + b"\0" * 2**24)]), "truncated or damaged"),
    (gguf([key("a", 9, many(9, 1) * 100_000)]), "truncated or damaged"),
    (gguf([key("a", 9, many(9, 2**63) + many(0, 0) * 1000)]), "truncated or damaged"),
    (gguf([key("a", 99, b"")]), "truncated or damaged"),
    (gguf([key("general.alignment", 4, struct.pack("<I", 0))]), "alignment 0"),
    (gguf([key("general.alignment", 5, struct.pack("<i", -7))]), "alignment -7"),
    (gguf([key("general.alignment", 8, text("x"))]), "alignment x"),
    (gguf([key("general.alignment", 10, struct.pack("<Q", 2**63))]), "alignment 92233"),
    (gguf(tensors=[tensor("a", [2], axes=2**32 - 1)]), "truncated or damaged"),
    (gguf(tensors=[tensor("a", [])]), "is no shape"),
    (gguf(tensors=[tensor("a", [2**63, 2**63])]), "is no shape"),
    (gguf(tensors=[tensor("a", [2**40, 2**40])]), "truncated"),
    (gguf(tensors=[tensor("a", [2], offset=2**63)]), "truncated"),
    (gguf(tensors=[tensor("a", [33], kind=2)]), "is no shape of type Q4_0"),
    (gguf(tensors=[tensor("a", [2], kind=99)]), "GGUF type 99"),
    (gguf(tensors=[tensor("a", [2]), tensor("b", [2])]), "'b' shares bytes with 'a'"),
    (gguf(tensors=[tensor("a", [2]), tensor("a", [2], offset=32)]), "two tensors of one name"),
  ],
)
def test_a_gguf_header_that_lies(file, message, tmp_path):
  path = tmp_path / "model.gguf"
  path.write_bytes(file)
  tracemalloc.reset_peak()
  assert message in refused(gguf_files.read_header, path)


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("block_count", 2**32 - 1),
    ("attention.head_count", 0),
    ("embedding_length", 0),
    ("attention.key_length", 0),
    ("attention.layer_norm_rms_epsilon", 7),
  ],
)
def test_numbers_of_gguf_that_no_model_has(name, value, tmp_path):
  words = {"block_count": 1, "attention.head_count": 2, "embedding_length": 8}
  words |= {"feed_forward_length": 8, "attention.layer_norm_rms_epsilon": 0, name: value}
  keys = [key("general.architecture", 8, text("llama"))]
  keys += [key(f"llama.{word}", 4, struct.pack("<I", number)) for word, number in words.items()]
  path = tmp_path / "model.gguf"
  path.write_bytes(gguf(keys))
  assert f"llama.{name} is {value}, expected" in refused(describe, path)


# --- config.json and the rest of a folder ---------------------------------------------------------


@pytest.mark.parametrize(
  ("file", "words"),
  [
    ("config.json", {"num_hidden_layers": 2**62}),
    ("config.json", {"num_hidden_layers": 10**6}),
    ("config.json", {"num_attention_heads": True}),
    ("config.json", {"num_key_value_heads": "two"}),
    ("config.json", {"rms_norm_eps": [1]}),
    ("config.json", {"rms_norm_eps": "1" * 5000}),
    ("config.json", {"rope_parameters": [1]}),
    ("config.json", {"architectures": 3}),
    ("config.json", {"model_type": ["llama"]}),
    ("generation_config.json", {"eos_token_id": {"a": 1}}),
    ("generation_config.json", {"eos_token_id": [[1]]}),
    ("config.json", {"max_position_embeddings": "long"}),
    ("generation_config.json", {"bos_token_id": "one"}),
    ("model.safetensors.index.json", {"weight_map": {"a": "../../model.safetensors"}}),
    ("model.safetensors.index.json", {"weight_map": {"a": "/etc/passwd"}}),
    ("model.safetensors.index.json", {"weight_map": [1]}),
  ],
)
def test_words_of_a_folder_that_no_model_has(file, words, tmp_path):
  folder = shutil.copytree(HERE / "smollm2", tmp_path / "model")
  path = folder / file
  before = json.loads(path.read_text()) if path.exists() else {}
  path.write_text(json.dumps(before | words))
  refused(describe, folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"[" * 100_000, b"\xff", b'{"a": Infinity}'])
def test_a_config_that_is_no_object(content, tmp_path):
  folder = shutil.copytree(HERE / "smollm2", tmp_path / "model")
  (folder / "config.json").write_bytes(content)
  assert "config.json" in refused(describe, folder)


def test_a_folder_in_the_place_of_a_file(tmp_path):
  folder = shutil.copytree(HERE / "smollm2", tmp_path / "model")
  (folder / "model.safetensors").unlink()
  (folder / "model.safetensors").mkdir()
  assert "Is a directory" in refused(describe, folder)


def test_json_that_is_read_is_what_it_says():
  assert strict_json.parsed(b'{"a": {"b": [1, 2.5, null]}}') == {"a": {"b": [1, 2.5, None]}}
