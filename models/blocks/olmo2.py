"""The layer of Olmo 2 and Olmo 3 (OLMo 2, 2025): norms after, not before."""

from jaxtyping import Array, Float

from models.layer import Layer
from models.model_config import ModelConfig


class Olmo2Layer(Layer):
  """x + norm(attention(x)), then x + norm(feed_forward(x)).

  Queries and keys are normed over all heads together, before they are split.
  """

  @staticmethod
  def norms(c: ModelConfig) -> dict[str, int]:
    widths = {"attention_post_norm": c.d_model, "ff_post_norm": c.d_model}
    return widths | {"query_norm": c.heads * c.head_dim, "key_norm": c.kv_heads * c.head_dim}

  def heads(self, x: Float[Array, "B N M"]) -> list[Float[Array, "B N H G D"]]:
    q = self.norm("query_norm", self.linear("query", x))
    k = self.norm("key_norm", self.linear("key", x))
    return [self.split(y) for y in (q, k, self.linear("value", x))]

  def finish(self, x: Float[Array, "*n M"], attended: Float[Array, "*n HGD"]):
    x = x + self.norm("attention_post_norm", self.linear("output", attended))
    return x + self.norm("ff_post_norm", self.feed_forward(x))
