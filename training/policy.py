"""A trained policy to use: it answers prompts, scores responses, and is evaluated."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial

import jax
import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from models.groups import Groups
from models.transformer import Params
from tasks.rows.row import Prompt, prompt_of
from tasks.task import Task
from tasks.tokenizers.tokenizer import left_pad, right_pad
from training import base_policy
from training.build import parts_of
from training.checking import config_files, digests
from training.compiled import compiled_log_probs
from training.drawing import draw
from training.evaluation import Evaluated, evaluated, measure
from training.parts import Parts
from training.records.checkpoints import loaded
from training.records.run_folder import RunFolder
from training.sources.order import key_for
from training.start import starting_state

ONE_DEVICE = {"data": 1, "fsdp": 1, "tensor": 1}  # as config.mesh has it
Messages = Sequence[dict[str, str]]  # {"role", "content"}, of a conversation


@dataclasses.dataclass(frozen=True, eq=False)
class Policy:
  """Parameters, those of the reference, and the parts of the run that they came from."""

  parts: Parts
  params: Params
  reference: Params | None  # the base policy, against which the KL is measured; None: it is that
  step: int

  @classmethod
  def of_run(
    cls,
    files: RunFolder,
    root: str,
    step: int | None = None,
    mesh: Mapping[str, int] = ONE_DEVICE,
  ) -> "Policy":
    """The checkpoint at `step` of the run in this folder (None: the latest), on this mesh."""
    digests.check_pretrained(files)
    config = config_files.of_record(files.read_config()["config"])
    config.mesh.update(mesh)  # whatever the run was trained on
    parts = parts_of(config)
    reference = base_policy.starting_params(config, parts, root, lambda row: None)
    state = loaded(files, partial(starting_state, parts), reference, parts.mesh, step)
    return cls(parts, state.params, reference, int(state.step))

  @classmethod
  def pretrained(cls, config: ConfigDict) -> "Policy":
    """The model of config.model.pretrained as it is, to answer the config's task."""
    parts = parts_of(config)
    return cls(parts, base_policy.untrained(parts), None, 0)

  def sample(
    self,
    prompts: Sequence[str | Messages],
    n: int = 1,
    *,
    temperature: float = 1.0,
    greedy: bool = False,
    seed: int = 0,
  ) -> list[list[str]]:
    """n responses to each prompt, as texts; at most sampling.max_tokens of the run's config.

    The same seed draws the same responses. A prompt is a text, or the messages of a conversation
    where the model chats.
    """
    tokens, mask = self._prompts(prompts)
    sampler, key = self.parts.sampler(n, greedy=greedy), key_for("policy", seed, 0)
    drawn = draw(self.parts, sampler, self.params, tokens, mask, key, float(temperature))
    decode = self.parts.task.tokenizer.decode
    return [[decode(response) for response in of_prompt] for of_prompt in drawn.responses]

  def groups(
    self,
    prompts: Sequence[str | Messages],
    responses: Sequence[Sequence[str]],
    rewards: Float[np.ndarray, "B K"] | None = None,
  ) -> Groups:
    """Texts as groups of this policy's tokens: K responses to each prompt, each with its end.

    `rewards` are 0 if they are not given. ValueError unless all prompts have as many responses.
    """
    sizes = {len(of_prompt) for of_prompt in responses}
    if len(sizes) != 1 or len(responses) != len(prompts):
      raise ValueError(
        f"{len(prompts)} prompts with {sorted(sizes)} responses: K must be one number"
      )
    tokenizer, k = self.parts.task.tokenizer, sizes.pop()
    encoded = [[*tokenizer.encode(text), tokenizer.eos_id] for texts in responses for text in texts]
    longest = max(map(len, encoded))
    tokens, mask = (
      x.reshape(len(prompts), k, longest) for x in right_pad(encoded, longest, tokenizer.pad_id)
    )
    if rewards is None:
      rewards = np.zeros((len(prompts), k))
    return Groups(*self._prompts(prompts), tokens, mask, np.asarray(rewards, np.float32))

  def log_probs(self, groups: Groups, temperature: float = 1.0) -> Float[np.ndarray, "B K T"]:
    """log pi of each token of the responses, in nats; 0 at padding."""
    compute = compiled_log_probs(self.parts.model, self.parts.mesh)
    logps = jax.device_get(compute(self.params, groups, float(temperature))[0])
    return np.where(groups.mask, logps, np.float32(0.0))

  def evaluate(self, samples: int = 16) -> Evaluated:
    """On the held-out prompts of its task; see `Run.evaluate`."""
    measured = measure(self.parts, self.params, self.reference, self.step, samples)
    return evaluated(self.parts, measured, self.step)

  def with_task(self, task: Task) -> "Policy":
    """The same policy, to be evaluated on another task."""
    return dataclasses.replace(self, parts=dataclasses.replace(self.parts, task=task))

  def with_config(self, config: ConfigDict) -> "Policy":
    """The same policy, to be evaluated by another config; its mesh stays."""
    config = config.copy_and_resolve_references()
    config.mesh.update(self.parts.config.mesh)
    parts = dataclasses.replace(self.parts, config=config)
    return dataclasses.replace(self, parts=parts).with_task(parts_of(config).task)

  def _prompts(self, prompts: Sequence[str | Messages]) -> tuple[np.ndarray, np.ndarray]:
    encode = self.parts.task.tokenizer.encode_prompt
    if isinstance(prompts, str):
      raise ValueError(f"prompts are a list, such as [{prompts!r}], and this is one text")
    asked: list[Prompt] = [p if isinstance(p, str) else prompt_of(p) for p in prompts]
    encoded = [encode(prompt) for prompt in asked]
    return left_pad(encoded, max(map(len, encoded)), self.parts.task.tokenizer.pad_id)
