"""What a step needs: floating-point operations by hand, and the bytes that decoding must read.

Counted is what the mathematics asks for, whatever the program does: a matrix product
[m, k] @ [k, n] is 2mkn; a query attends to the keys before it and no others; a prompt is read once
a group; nothing is computed twice to save memory. Norms, softmax, rotations and the optimizer are
left out: they are no matrix products. A backward pass makes two products of each one of the forward
pass: the gradient in its input and that in its weights.

A program that masks what it need not compute, reads prompts K times or recomputes activations
spends more, and so shows a lower share of the machine's rate.
"""

import dataclasses

from benchmarks.sizes import Shape

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
    """Prompts once, and all responses."""
    return self.prompts * self.prompt_tokens + self.responses * self.response_tokens


def layer_weights(m: Shape) -> int:
  """Weights of all layers that a token is multiplied with."""
  attention = m.d_model * m.head_dim * (2 * m.heads + 2 * m.kv_heads)
  return m.layers * (attention + 3 * m.d_model * m.ff_dim)


def parameters(m: Shape) -> int:
  """All but the norms' scales."""
  return layer_weights(m) + m.vocab_size * m.d_model


def forward(m: Shape, batch: Batch, heads: int) -> int:
  """Reads the prompts and of each response all but the last token; `heads` of them give logits.

  Nothing is predicted from a response's last token, so it need not be read.
  """
  p, read = batch.prompt_tokens, batch.response_tokens - 1
  tokens = batch.prompts * p + batch.responses * read
  # (query, key) pairs: a prompt's own triangle; of a response the prompt and its own triangle.
  pairs = batch.prompts * p * (p + 1) // 2
  pairs += batch.responses * (read * p + read * (read + 1) // 2)
  linear = 2 * layer_weights(m) * tokens
  attention = 2 * 2 * m.layers * m.heads * m.head_dim * pairs  # scores, and the sum of values
  return linear + attention + 2 * m.vocab_size * m.d_model * heads


def score(m: Shape, batch: Batch) -> int:
  """Log-probs of every response token, as the reference gives them."""
  return forward(m, batch, heads=batch.responses * batch.response_tokens)


def update(m: Shape, batch: Batch) -> int:
  """Log-probs and their gradient in the parameters."""
  return (1 + BACKWARD) * score(m, batch)


def sample(m: Shape, batch: Batch) -> int:
  """Drawing the responses. The first logits are the prompt's, one for the whole group."""
  return forward(m, batch, heads=batch.prompts + batch.responses * (batch.response_tokens - 1))


def sample_bytes(m: Shape, batch: Batch, width: int) -> int:
  """What drawing must read, at `width` bytes a number: for each token all weights, and the cache.

  The cache of a prompt is read once a step for the whole group, those of the responses as long as
  they have grown.
  """
  steps = batch.response_tokens - 1  # the first token comes of reading the prompt
  a_token = 2 * m.layers * m.kv_heads * m.head_dim  # keys and values
  prompts = steps * batch.prompts * batch.prompt_tokens * a_token
  responses = batch.responses * a_token * steps * (steps + 1) // 2
  return width * (steps * parameters(m) + prompts + responses)
