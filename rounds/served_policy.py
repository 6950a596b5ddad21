"""The policy that people talk to: writes two responses to a conversation, with their log-probs."""

import os
import secrets
import threading
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from models.transformer import Params
from rounds import answering
from rounds.feedback_store import Messages, Refused
from tasks.rows.row import prompt_of
from tasks.tokenizers.tokenizer import left_pad
from training.drawing import draw

TRIES = 4  # draws until the two responses differ and neither is empty
SHORTEST = 32  # tokens: prompts are padded to 32, 64, 128, ..., each of which compiles once


class ServedPolicy:
  """Answers with a config's policy. `in_service()` names the run to serve; "": the base policy.

  It is called before every answer, so that a policy deployed meanwhile takes over.
  """

  def __init__(self, config: ConfigDict, root: str, in_service: Callable[[], str]):
    self._config, self._root, self._in_service = config, root, in_service
    self._parts = answering.parts_of(config)
    self._tokenizer = self._parts.task.tokenizer
    self._longest = answering.context_of(config) - config.sampling.max_tokens
    self._lock, self._key = threading.Lock(), jax.random.key(secrets.randbits(63))
    self._name: str | None = None
    self._params: Params = None

  @property
  def chats(self) -> bool:
    """Whether it reads conversations; otherwise it reads single texts."""
    return self._tokenizer.chats

  def warm_up(self) -> None:
    """Loads the policy and compiles for short conversations, so that nobody waits for it later."""
    pad = np.full((1, SHORTEST), self._tokenizer.pad_id, np.int32)
    with self._lock:
      self._take_over()
      self._draw(pad, np.ones_like(pad, bool))

  def answer(self, messages: Messages) -> dict[str, Any]:
    """Writes two responses to the last message of a user.

    Returns responses, tokens, logps, finished (two of each), policy (the name of the one that wrote
    them), and comparable: False if in all TRIES both were the same, or one was empty. Raises
    Refused if the policy cannot read the messages.
    """
    ids = self._encoded(messages)
    length = SHORTEST
    while length < len(ids):
      length *= 2
    prompt = left_pad([ids], length, self._tokenizer.pad_id)
    with self._lock:
      self._take_over()
      for _ in range(TRIES):
        found = self._draw(*prompt)
        first, second = (text.strip() for text in found["responses"])
        comparable = bool(first and second and first != second)
        if comparable:
          break
      found |= {"comparable": comparable}
      return found | {"policy": os.path.relpath(self._name) if self._name else "base policy"}

  def _encoded(self, messages: Messages) -> list[int]:
    try:
      ids = self._tokenizer.encode_prompt(prompt_of(messages))
    except ValueError as error:
      raise Refused(422, f"The model cannot read this: {error}") from None
    if len(ids) > self._longest:
      raise Refused(
        413, f"Too long: {len(ids):,} tokens, and the model reads {self._longest:,}. Ask anew."
      )
    return ids

  def _draw(self, prompt: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
    sampling = self._config.sampling
    options = self._parts.sampler(2, top_k=sampling.top_k, top_p=sampling.top_p)
    self._key, key = jax.random.split(self._key)
    temperature = float(sampling.temperature)
    drawn = draw(self._parts, options, self._params, prompt, mask, key, temperature)
    kept = drawn.mask[0]
    return {
      "responses": [self._tokenizer.decode(drawn.responses[0, k]) for k in range(2)],
      "tokens": [drawn.responses[0, k][kept[k]].tolist() for k in range(2)],
      "logps": [drawn.logps[0, k][kept[k]].tolist() for k in range(2)],
      "finished": drawn.finished[0].tolist(),
    }

  def _take_over(self) -> None:
    """Loads the policy in service, if it is another one than the last time."""
    name = self._in_service()
    if name == self._name:
      return
    self._params = answering.params_of(name, self._config, self._parts, self._root)
    self._name = name
