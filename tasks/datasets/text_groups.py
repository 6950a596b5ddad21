"""Groups of texts as groups of tokens: what is cut, what is padded, and what was too long.

prompt     longer than the limit: a bad row (cutting it would ask something else)
response   longer than the limit: cut there, without an end; its score stands
           two that are alike after the cut and have unequal scores are unscored
K          a larger group is cut to its best, worst, second best, second worst ... response (by
           score; among equals, and for the unscored, the earlier); a smaller one is filled up
           with responses of no tokens and no score, which take part in nothing
"""

import dataclasses
import json
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from tasks.rows.row import Problem, Row
from tasks.tokenizers.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True)
class TextGroups:
  """N groups of K responses of at most T tokens, and the rows that they are."""

  rows: tuple[Row, ...]
  prompts: tuple[list[int], ...]  # tokens
  responses: Int[np.ndarray, "N K T"]  # right-padded, the end included unless it was cut off
  mask: Bool[np.ndarray, "N K T"]
  finished: Bool[np.ndarray, "N K"]  # False: cut off
  rewards: Float[np.ndarray, "N K"]  # NaN: unscored
  logps: Float[np.ndarray, "N K T"]  # of the policy that wrote the responses, where `known`
  known: Bool[np.ndarray, " N"]  # does the row say its log-probs?

  def __len__(self) -> int:
    return len(self.rows)

  def take(self, groups: Sequence[int] | Int[np.ndarray, " n"]) -> "TextGroups":
    """Some of them, in this order."""
    arrays = (self.responses, self.mask, self.finished, self.rewards, self.logps, self.known)
    return TextGroups(
      tuple(self.rows[n] for n in groups),
      tuple(self.prompts[n] for n in groups),
      *(array[np.array(groups, int)] for array in arrays),
    )


def tokenize(
  rows: Sequence[Row],
  tokenizer: Tokenizer,
  *,
  group_size: int,
  max_tokens: int,
  max_prompt_tokens: int,
) -> tuple[TextGroups, list[Problem]]:
  """The rows in tokens, and what is wrong with those left out.

  Args:
    max_tokens: T, of a response, its end included.
  """
  good, prompts, responses, problems = [], [], [], []
  for row in rows:
    try:
      prompt = tokenizer.encode_prompt(row.prompt)
      encoded = [[*tokenizer.encode(text), tokenizer.eos_id] for text in row.responses]
    except ValueError as error:  # no tokens for a character, no chat template for a conversation
      problems.append(Problem(row.where, str(error)))
      continue
    wrong = _wrong_lengths(row, len(prompt), [len(one) for one in encoded], max_prompt_tokens)
    wrong += _ends_within(encoded, frozenset(tokenizer.eos_ids))
    problems += [Problem(row.where, what) for what in wrong]
    if not wrong:
      good.append(row)
      prompts.append(prompt)
      responses.append(encoded)
  return _padded(good, prompts, responses, tokenizer.pad_id, group_size, max_tokens), problems


def kept_responses(scores: Sequence[float | None], k: int) -> list[int]:
  """The places of the K responses that are kept: of the best, the worst, the second best, ..."""
  scored = [(score, i) for i, score in enumerate(scores) if score is not None]
  best, worst = sorted(scored, key=lambda s: (-s[0], s[1])), sorted(scored)
  turns = [i for pair in zip(best, worst, strict=True) for _, i in pair]
  unscored = [i for i, score in enumerate(scores) if score is None]
  return sorted(list(dict.fromkeys([*turns, *unscored]))[:k])


def _ends_within(responses: list[list[int]], ends: frozenset[int]) -> list[str]:
  """An end that a text spells would be trained on beside the one that comes after it."""
  wrong = []
  for i, tokens in enumerate(responses):
    if not ends.isdisjoint(tokens[:-1]):
      at = next(n for n, token in enumerate(tokens) if token in ends) + 1
      wrong.append(
        f"response {i + 1} spells an end token of this run's tokenizer (its token {at} of "
        f"{len(tokens) - 1}): leave it out, the end is added to each response"
      )
  return wrong


def _wrong_lengths(row: Row, prompt: int, responses: list[int], limit: int) -> list[str]:
  wrong = []
  if prompt > limit:
    wrong.append(f"the prompt has {prompt:,} tokens, more than data.max_prompt_tokens={limit:,}")
  for i, (logps, tokens) in enumerate(zip(row.logps or (), responses, strict=False)):
    if len(logps) != tokens:
      wrong.append(
        f"response {i + 1} has {len(logps)} log-probs, and {tokens} tokens with its end "
        "(of this run's tokenizer)"
      )
  return wrong


def _padded(
  rows: list[Row],
  prompts: list[list[int]],
  responses: list[list[list[int]]],
  pad_id: int,
  k: int,
  t: int,
) -> TextGroups:
  shape = (len(rows), k, t)
  tokens, mask = np.full(shape, pad_id, np.int32), np.zeros(shape, bool)
  finished, rewards = np.ones(shape[:2], bool), np.full(shape[:2], np.nan, np.float32)
  logps = np.zeros(shape, np.float32)
  for n, (row, encoded) in enumerate(zip(rows, responses, strict=True)):
    for place, i in enumerate(kept_responses(row.scores, k)):
      kept = encoded[i][:t]
      tokens[n, place, : len(kept)], mask[n, place, : len(kept)] = kept, True
      finished[n, place] = len(encoded[i]) <= t
      score = row.scores[i]
      rewards[n, place] = np.nan if score is None else score
      if row.logps is not None:
        logps[n, place, : len(kept)] = row.logps[i][:t]
    if not finished[n].all():
      rewards[n, _alike(tokens[n], rewards[n])] = np.nan
  known = np.array([row.logps is not None for row in rows], bool)
  return TextGroups(tuple(rows), tuple(prompts), tokens, mask, finished, rewards, logps, known)


def _alike(tokens: Int[np.ndarray, "K T"], rewards: Float[np.ndarray, " K"]):
  """Which responses have the tokens of another, and not its score."""
  same = (tokens[:, None] == tokens[None, :]).all(axis=-1)
  return (same & (rewards[:, None] != rewards[None, :]) & _is_scored(rewards)).any(axis=1)


def _is_scored(rewards: Float[np.ndarray, " K"]) -> Bool[np.ndarray, "K K"]:
  scored = ~np.isnan(rewards)
  return scored[:, None] & scored[None, :]


def describe(groups: TextGroups, max_tokens: int) -> list[str]:
  """Lines to read before training on them: lengths, and the counts of what was cut or padded."""
  k = groups.rewards.shape[1]
  sizes = np.array([len(row.responses) for row in groups.rows])
  held = groups.mask.any(axis=-1)
  cut = int((~groups.finished).sum())
  spread = np.nan_to_num(groups.rewards, nan=-np.inf).max(axis=1) > np.nan_to_num(
    groups.rewards, nan=np.inf
  ).min(axis=1)
  lines = [
    f"prompts: {_lengths([len(prompt) for prompt in groups.prompts])}",
    f"responses: {_lengths(groups.mask.sum(axis=-1)[held])}; {cut:,} of {int(held.sum()):,} cut to "
    f"sampling.max_tokens={max_tokens}",
  ]
  if (sizes != k).any():
    larger, smaller = int((sizes > k).sum()), int((sizes < k).sum())
    lines.append(
      f"{larger:,} groups of more than {k} responses cut, {smaller:,} of fewer filled up"
    )
  alike = _lost_scores(groups)
  if alike.any():
    lines.append(
      f"{int(alike.sum()):,} groups with responses that are alike after the cut to "
      f"sampling.max_tokens={max_tokens}: unscored, as nothing tells them apart"
    )
  single = sizes == 1
  if single.any():
    lines.append(f"{int(single.sum()):,} groups of one response, of which no pair is made")
  equal = ~spread & ~single & ~alike
  if equal.any():
    lines.append(f"{int(equal.sum()):,} groups of equal scores, which teach most losses nothing")
  return lines


def as_seen(groups: TextGroups, n: int, tokenizer: Tokenizer) -> list[str]:
  """Lines that show a group as a model sees it: its tokens as text, and which of them count."""
  row, prompt = groups.rows[n], groups.prompts[n]
  lines = [f"{row.where or 'the first row'}, as the model sees it:"]
  lines.append(f"  {len(prompt)} tokens, not trained on: {_shown(tokenizer.spelled(prompt))}")
  for ids, mask, reward in zip(groups.responses[n], groups.mask[n], groups.rewards[n], strict=True):
    count, score = int(mask.sum()), "no score" if np.isnan(reward) else f"score {reward:g}"
    if count:
      lines.append(f"  {count} tokens, {score}: {_shown(tokenizer.spelled(ids[mask]))}")
  return lines


def _shown(text: str, width: int = 160) -> str:
  """In one line, its beginning and its end."""
  line = json.dumps(text, ensure_ascii=False)
  return line if len(line) <= width else f"{line[: width // 2]} … {line[-width // 2 :]}"


def _lost_scores(groups: TextGroups) -> Bool[np.ndarray, " N"]:
  """In which groups responses are unscored that the row has scores of."""
  k = groups.rewards.shape[1]
  kept = [min(k, sum(score is not None for score in row.scores)) for row in groups.rows]
  return (~np.isnan(groups.rewards)).sum(axis=1) < np.array(kept, int)


def _lengths(tokens) -> str:
  middle, most, longest = (int(x) for x in np.percentile(tokens, [50, 95, 100]))
  return f"{middle:,} tokens in the middle, 95 % up to {most:,}, the longest {longest:,}"
