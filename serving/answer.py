"""One answer as it grows: its tokens, its text up to a stop, and the text that may be sent."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from tasks.tokenizers.tokenizer import Tokenizer

_HALF = "\N{REPLACEMENT CHARACTER}"  # how a tokenizer of bytes decodes half a character


@dataclasses.dataclass
class Answer:
  """The answer of number `index` to a request; `finish_reason` is "" while it grows."""

  index: int
  tokenizer: Tokenizer
  max_tokens: int
  stop: tuple[str, ...]
  tokens: list[int] = dataclasses.field(default_factory=list)  # with the end, if it was drawn
  logps: list[float] = dataclasses.field(default_factory=list)  # at the request's temperature
  drawn_logps: list[float] = dataclasses.field(default_factory=list)  # of what was drawn from
  text: str = ""
  finish_reason: str = ""
  _sent: int = 0  # characters of the text
  _told: int = 0  # tokens of which log-probs were sent

  @property
  def is_cut(self) -> bool:
    """Whether a stop ended it, so that its tokens spell more than its text."""
    return self.text != self.tokenizer.decode(self.tokens)

  @property
  def is_whole(self) -> bool:
    """Whether the policy itself ended it."""
    return bool(self.tokens) and self.tokens[-1] in self.tokenizer.eos_ids

  def feed(self, tokens: Sequence[int], logps: Sequence[float], drawn: Sequence[float]) -> None:
    """Takes the tokens drawn next, up to an end, the limit or a stop; what follows is dropped."""
    if self.finish_reason:
      return
    for token, logp, drawn_logp in zip(tokens, logps, drawn, strict=True):
      self.tokens.append(int(token))
      self.logps.append(float(logp))
      self.drawn_logps.append(float(drawn_logp))
      if self.is_whole:
        self.finish_reason = "stop"
      elif len(self.tokens) == self.max_tokens:
        self.finish_reason = "length"
      if self.stop:
        self._spell()
      if self.finish_reason:
        break
    self._spell()

  def piece(self) -> str:
    """The text that was not sent yet, without an end of it that may still become something else."""
    ready = len(self.text)
    if not self.finish_reason:
      ready -= max((_begun(self.text, one) for one in (*self.stop, _HALF * 4)), default=0)
    piece, self._sent = self.text[self._sent : ready], max(ready, self._sent)
    return piece

  def log_probs(self) -> list[dict[str, Any]]:
    """OpenAI's entries of the tokens that were not told yet; the end is none of them."""
    shown = len(self.tokens) - self.is_whole
    entries = []
    for token, logp in zip(self.tokens[self._told : shown], self.logps[self._told :], strict=False):
      text = self.tokenizer.spelled([token])
      about = {"token": text, "logprob": logp, "bytes": list(text.encode())}
      entries.append(about | {"top_logprobs": []})
    self._told = max(shown, self._told)
    return entries

  def _spell(self) -> None:
    text = self.tokenizer.decode(self.tokens)
    places = [at for one in self.stop if (at := text.find(one)) >= 0]
    if places:
      self.finish_reason = "stop"
    self.text = text[: min(places)] if places else text


def _begun(text: str, stop: str) -> int:
  """How many of the text's last characters may be the beginning of this stop."""
  longest = min(len(stop), len(text))
  return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
