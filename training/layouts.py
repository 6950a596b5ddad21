"""Batches on the mesh, laid out as the network reads them: packed, where that is less work."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Int

from models import packing
from models.groups import Groups
from models.packing import Layout
from models.transformer import ModelConfig
from training import hosts
from training.parts import Parts
from training.population.membership import member_here

WORTH = 0.75  # packed if it is at most this share of the work: attention over rows is less regular


@dataclasses.dataclass(frozen=True)
class Lengths:
  """Tokens of the prompts and responses of a whole batch, on every host."""

  prompts: Int[np.ndarray, " B"]
  responses: Int[np.ndarray, "B K"]

  @classmethod
  def of(cls, parts: Parts, groups: Groups) -> "Lengths":
    """Of this process's groups, and those of the others."""
    own = np.asarray(groups.prompt_mask).sum(axis=-1), _ends(np.asarray(groups.mask))
    return cls(*hosts.gather(parts.mesh, own))

  def take(self, rows: Int[np.ndarray, " b"]) -> "Lengths":
    return Lengths(self.prompts[rows], self.responses[rows])


def placed(parts: Parts, groups: Groups) -> Groups:
  """This process's groups as arrays over all devices, laid out to be read once."""
  lengths = Lengths.of(parts, groups)
  return laid_out(parts, hosts.to_global(parts.mesh, groups), lengths)


def laid_out(parts: Parts, groups: Groups, lengths: Lengths, micro_batches: int = 1) -> Groups:
  """Groups over all devices, packed where that is less work.

  In a population never: its members read their batches together, in one shape.
  """
  p, t = groups.prompts.shape[-1], groups.responses.shape[-1]
  chunks = parts.mesh.shape["data"] * parts.mesh.shape["fsdp"] * micro_batches
  if member_here() or not _may_save(lengths, p, t):
    return dataclasses.replace(groups, layout=None)
  layout = packing.lay_out(lengths.prompts, lengths.responses, p, t, chunks)
  if _work_packed(parts.model, layout) > WORTH * _work(parts.model, lengths.responses.shape, p, t):
    return dataclasses.replace(groups, layout=None)
  own = hosts.mine(parts.mesh, layout)
  return dataclasses.replace(groups, layout=hosts.to_global(parts.mesh, own))


def _ends(mask: Bool[np.ndarray, "B K T"]) -> Int[np.ndarray, "B K"]:
  """Where the last token that counts is, from 1; 0 if none does."""
  ends = mask.shape[-1] - np.argmax(mask[..., ::-1], axis=-1)
  return np.where(mask.any(axis=-1), ends, 0)


def _may_save(lengths: Lengths, p: int, t: int) -> bool:
  """Whether the tokens that are there are few enough; a layout takes a moment to make."""
  b, k = lengths.responses.shape
  return bool(lengths.prompts.sum() + lengths.responses.sum() <= WORTH * b * (p + k * t))


def _work(model: ModelConfig, shape: tuple[int, int], p: int, t: int) -> int:
  (b, k) = shape
  prompts, responses = b * p, b * k * t
  return _layers(model, prompts, p) + _layers(model, responses, p + t) + _logits(model, responses)


def _work_packed(model: ModelConfig, layout: Layout) -> int:
  slots = layout.source.size
  return _layers(model, slots, layout.source.shape[-1]) + _logits(model, layout.predicted.size)


def _layers(model: ModelConfig, tokens: int, seen: int) -> int:
  """Multiplications of the layers forward, in which each token attends to so many."""
  heads = (model.heads + model.kv_heads) * 2 * model.head_dim
  linear = model.d_model * (heads + 3 * model.ff_dim)
  return model.layers * tokens * (linear + 2 * seen * model.heads * model.head_dim)


def _logits(model: ModelConfig, tokens: int) -> int:
  return tokens * model.d_model * model.vocab_size
