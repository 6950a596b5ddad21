"""The floating-point operations of a step, counted by hand, and the bytes that sampling must read.

The counts are of what the mathematics needs, whatever the program does: a matrix product
[m, k] @ [k, n] is 2mkn; a query attends to the keys before it and no others; a prompt is read once
a group; nothing is computed twice to save memory. Norms, softmax, rotations and the optimizer are
left out: they are no matrix products. A backward pass makes two products of each one of the forward
pass: the gradient in its input and that in its weights.

A program that computes what it then masks, reads prompts K times or recomputes activations does
more, and so shows a lower share of the machine's rate.
"""

import dataclasses
from typing import Any

Shape = Any  # a ModelConfig, or another record of a decoder's numbers in its names
BACKWARD = 2  # products in the backward pass for each one of the forward pass


@dataclasses.dataclass(frozen=True)
class Batch:
  """B prompts of P tokens, K responses of T tokens to each."""

  prompts: int
  group_size: int
  prompt_tokens: int
  response_tokens: int

  @property
  def responses(self) -> int:
    return self.prompts * self.group_size

  @property
  def tokens(self) -> int:
    """The tokens of the prompts, each once, and of all responses."""
    return self.prompts * self.prompt_tokens + self.responses * self.response_tokens


def layer_weights(m: Shape) -> int:
  """Counts the weights of all layers that a token is multiplied with."""
  attention = m.d_model * m.head_dim * (2 * m.heads + 2 * m.kv_heads)
  return m.layers * (attention + 3 * m.d_model * m.ff_dim)


def parameters(m: Shape) -> int:
  """Counts all parameters but the norms' scales."""
  return layer_weights(m) + m.vocab_size * m.d_model


def forward(m: Shape, batch: Batch, heads: int) -> int:
  """FLOPs of reading the prompts, and all but the last token of each response.

  Nothing is predicted from a response's last token. Logits are computed at `heads` tokens.
  """
  p, read = batch.prompt_tokens, batch.response_tokens - 1
  tokens = batch.prompts * p + batch.responses * read
  # (query, key) pairs: a prompt's triangle; each response's with its prompt, and its own triangle.
  pairs = batch.prompts * p * (p + 1) // 2
  pairs += batch.responses * (read * p + read * (read + 1) // 2)
  linear = 2 * layer_weights(m) * tokens
  attention = 2 * 2 * m.layers * m.heads * m.head_dim * pairs  # scores, and the sum of values
  return linear + attention + 2 * m.vocab_size * m.d_model * heads


def score(m: Shape, batch: Batch) -> int:
  """FLOPs of the log-probs of every response token, such as the reference's."""
  return forward(m, batch, heads=batch.responses * batch.response_tokens)


def update(m: Shape, batch: Batch) -> int:
  """FLOPs of the log-probs and of their gradient in the parameters."""
  return (1 + BACKWARD) * score(m, batch)


def sample(m: Shape, batch: Batch) -> int:
  """FLOPs of sampling the responses. A group's first logits are computed once, for its prompt."""
  return forward(m, batch, heads=batch.prompts + batch.responses * (batch.response_tokens - 1))


def sample_bytes(m: Shape, batch: Batch, width: int) -> int:
  """Bytes that sampling must read, at `width` bytes a number: weights and cache for each token.

  A prompt's cache is read once a token for the whole group, and each response's as far as it has
  grown.
  """
  steps = batch.response_tokens - 1  # the first token comes from reading the prompt
  a_token = 2 * m.layers * m.kv_heads * m.head_dim  # keys and values
  prompts = steps * batch.prompts * batch.prompt_tokens * a_token
  responses = batch.responses * a_token * steps * (steps + 1) // 2
  return width * (steps * parameters(m) + prompts + responses)
