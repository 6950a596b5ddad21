"""config.model.pretrained: what its files say, found without importing jax.

Such a model's shape and tokenizer come from its files. The fields of config.model that describe a
shape are then filled in from there, so that a run's config.json says what was trained; giving one
of them another value is an error.
"""

import functools
import glob
import hashlib
import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from configs import common
from models.pretrained import checkpoint_files, pretrained_names
from models.pretrained.checkpoint_files import CheckpointFiles
from models.pretrained.stored_tensors import CheckpointError
from training.checking import validate_mesh
from training.errors import UserError

if TYPE_CHECKING:
  from tasks.tokenizers.pretrained_tokenizer import PretrainedTokenizer

_KIND = ("*.json", "*.jinja", "*.safetensors")  # the files of a folder that make a model
# The fields of config.model that say how a model of any shape computes and what of it is trained.
COMPUTE = ("dtype", "attention", "logits_at_once", "remat", "lora_rank", "lora_alpha")
_SAMPLES, _SAMPLE_BYTES = 64, 4096


@functools.cache
def files(name: str) -> CheckpointFiles:
  """The checkpoint of this name: a folder, a .gguf file, a name that is known, a hub's model.

  A folder may be without weights: its shape and its tokens are known all the same.

  Raises:
    UserError: there is none, or it cannot be used.
  """
  try:
    return checkpoint_files.describe(pretrained_names.find(name))
  except CheckpointError as error:
    raise UserError(f"model.pretrained={name!r}: {error}") from None


def problems(config: ConfigDict, *, weights: bool = True) -> Iterator[str]:
  """Problems of config.model.pretrained and the fields beside it; `weights`: that it has none."""
  name = config.model.pretrained
  if not name:
    return
  try:
    found = files(name)
  except UserError as error:
    yield str(error)
    return
  model = found.model
  if weights and not found.tensors:
    yield (
      f"model.pretrained={name!r}: {found.path}: no model.safetensors, nor "
      "model.safetensors.index.json"
    )
  shape, defaults = SimpleNamespace(**model), common.defaults("").model
  yield from validate_mesh.problems(config.mesh.fsdp, config.mesh.tensor, shape)
  for field in config.model:
    value = config.model[field]
    if field in model and value not in (defaults[field], model[field]):
      yield (
        f"model.{field}={value}: the files of model.pretrained say {model[field]}; leave this out"
      )


def fill(config: ConfigDict) -> None:
  """Sets the shape's fields of config.model to what the files of a pretrained model say."""
  if config.model.pretrained:
    model = files(config.model.pretrained).model
    config.model.update({field: model[field] for field in config.model if field in model})


def tokenizer_of(config: ConfigDict) -> "PretrainedTokenizer | None":
  """The tokenizer of a pretrained model; None without one. TokenizerError if it cannot be used."""
  if not config.model.pretrained:
    return None
  from tasks.tokenizers import (
    pretrained_tokenizer,  # a command that is mistyped need not wait for it
  )

  found = files(config.model.pretrained)
  return pretrained_tokenizer.load(
    found.path,
    embeddings=found.model["vocab_size"],
    eos_ids=found.eos_ids,
    bos_id=found.bos_id,
    pad_id=found.pad_id,
  )


@functools.cache
def fingerprint(name: str) -> str:
  """Hex digits that differ when the model does: of names, sizes, and bytes from all over the files.

  Small files are read whole; of large ones samples, which no two trainings have in common. So it is
  quick, and the same wherever and whenever the files were downloaded.
  """
  path = files(name).path
  found = [path]
  if os.path.isdir(path):
    found = sorted(file for kind in _KIND for file in glob.glob(os.path.join(path, kind)))
  digest = hashlib.sha256()
  for file in found:
    size = os.path.getsize(file)
    digest.update(f"{os.path.basename(file)} {size}".encode())
    with open(file, "rb") as content:
      if size <= _SAMPLES * _SAMPLE_BYTES:
        digest.update(content.read())
      else:
        for i in range(_SAMPLES):
          content.seek(i * (size - _SAMPLE_BYTES) // (_SAMPLES - 1))
          digest.update(content.read(_SAMPLE_BYTES))
  return digest.hexdigest()
