"""Rewards that look at the response alone."""

import functools
import re

_NO_TAG = r"(?:(?!</?(?:think|answer)>).)*"
_THOUGHTS_AND_ANSWER = rf"<think>{_NO_TAG}</think>\s*<answer>{_NO_TAG}</answer>"


def whole_match(completion: str, *, pattern: str = _THOUGHTS_AND_ANSWER):
  """1 if all of the response has this form, else 0; "." matches line ends too.

  The default is that of DeepSeek-R1 (Guo et al., 2025): thoughts, then the answer, in their tags,
  each tag once.
  """
  return float(re.fullmatch(pattern, completion.strip(), re.DOTALL) is not None)


def match_somewhere(completion: str, *, pattern: str):
  """1 if the pattern is found somewhere in the response, else 0; ^ and $ are ends of lines."""
  return float(re.search(pattern, completion, re.MULTILINE) is not None)


def length(completion: str, *, max: int, min: int = 0) -> float:
  """1 for a response of `min` to `max` characters, else 0."""
  return float(min <= len(completion) <= max)


def vader(completion: str) -> float:
  """From 0, gloomy, over 0.5, neutral, to 1, cheerful: (VADER's compound score + 1) / 2.

  VADER (Hutto & Gilbert, 2014) is a list of words with weights: "happy happy happy" has it.
  """
  return (_analyzer().polarity_scores(completion)["compound"] + 1) / 2


def unscored(completion: str) -> None:
  """No reward: of tasks that only have responses which came with scores."""


@functools.cache
def _analyzer():
  from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

  return SentimentIntensityAnalyzer()
