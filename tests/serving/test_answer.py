"""An answer ends where it should, and no text is sent that a stop might still take back."""

import pytest

from serving.answer import Answer
from tasks.tokenizers.tokenizer import CHARACTER_TOKENIZER as TOKENIZER
from tasks.tokenizers.tokenizer import CharTokenizer


def grown(text, stop=(), max_tokens=100, end=True, at_once=3):
  """The answer, and the pieces that were sent while it grew by `at_once` tokens."""
  answer, pieces = Answer(0, TOKENIZER, max_tokens, stop), []
  tokens = [*TOKENIZER.encode(text), *([TOKENIZER.eos_id] if end else [])]
  for start in range(0, len(tokens), at_once):
    some = tokens[start : start + at_once]
    answer.feed(some, [-1.0] * len(some), [-2.0] * len(some))
    pieces.append(answer.piece())
  return answer, pieces


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
  ("text", "stop", "kept", "reason"),
  [
    ("hello world", (), "hello world", "stop"),
    ("hello world", ("o w",), "hell", "stop"),
    ("hello world", ("world", "lo"), "hel", "stop"),
    ("ababac", ("abac",), "ab", "stop"),
    ("hello wor", ("world",), "hello wor", "stop"),
    ("hello", ("h",), "", "stop"),
  ],
)
def test_pieces_are_the_text_up_to_a_stop(text, stop, kept, reason, at_once):
  answer, pieces = grown(text, stop, at_once=at_once)
  assert answer.text == "".join(pieces) == kept and answer.finish_reason == reason


def test_the_limit_and_the_end_say_how_it_ended():
  cut, _ = grown("hello", max_tokens=3)
  assert (cut.text, cut.finish_reason, cut.is_whole) == ("hel", "length", False)
  just, _ = grown("hello", max_tokens=6)
  assert (just.finish_reason, just.is_whole, len(just.tokens)) == ("stop", True, 6)
  growing, _ = grown("hello", end=False)
  assert growing.finish_reason == ""


def test_what_comes_after_the_end_is_dropped():
  answer, _ = grown("hello", at_once=100)
  answer.feed(TOKENIZER.encode("more"), [0.0] * 4, [0.0] * 4)
  assert answer.text == "hello" and len(answer.tokens) == len(answer.logps) == 6


def test_log_probs_are_told_once_and_not_of_the_end():
  answer, _ = grown("hi")
  told = answer.log_probs()
  assert [one["token"] for one in told] == ["h", "i"] and told[0]["bytes"] == [104]
  assert {one["logprob"] for one in told} == {-1.0} and answer.log_probs() == []


def test_only_a_stop_makes_tokens_spell_more_than_the_text():
  assert not grown("hello")[0].is_cut and not grown("hello", max_tokens=2)[0].is_cut
  assert grown("hello", ("lo",))[0].is_cut


class Bytes(CharTokenizer):
  """A tokenizer of bytes, whose tokens may be half a character."""

  eos_ids = (256,)

  def decode(self, ids):
    return bytes(i for i in ids if i < 256).decode(errors="replace")

  def spelled(self, ids):
    return self.decode(ids)


def test_half_a_character_is_not_sent():
  answer, pieces = Answer(0, Bytes(), 100, ()), []
  for byte in "a€b".encode():
    answer.feed([byte], [0.0], [0.0])
    pieces.append(answer.piece())
  assert pieces == ["a", "", "", "€", "b"]
