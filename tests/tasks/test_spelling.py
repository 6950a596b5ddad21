import pytest

from tasks.spelling import Term, labels, parse


def test_a_sum_with_weights_options_and_functions_of_ones_own():
  assert parse(
    "numeric + 0.2*format - 1e-1 * length(max=200, min=3)+mylab.rewards:polite(strict=true)"
  ) == (
    Term("numeric"),
    Term("format", 0.2),
    Term("length", -0.1, (("max", 200), ("min", 3))),
    Term("mylab.rewards:polite", 1.0, (("strict", True),)),
  )


@pytest.mark.parametrize("pattern", [r"\d+\.", "a+(b)", "x, y=z", "it's", "", r"\bend$"])
def test_a_quoted_pattern_is_taken_as_it_stands(pattern):
  (term,) = parse(f'regex("{pattern}")')
  assert term.options == (("", pattern),)


@pytest.mark.parametrize(
  "text, message",
  [
    ("", "names nothing; write it like numeric + 0.2*format"),
    ("  ", "names nothing"),
    ("exact +", "cannot read '+'"),
    ("exact numeric", "cannot read 'numeric'"),
    ("exact*0.2", "cannot read '*0.2': write it like numeric + 0.2*format"),
    ("0.2format", "cannot read '0.2format'"),
    ("length(max=200", "cannot read '(max=200'"),
    ("length(max=)", "cannot read the option 'max='"),
    ("length(1, 2)", "cannot read the option '2': write name=value"),
    ("regex(abc)", "'abc' is no number; a text goes in quotes: 'abc'"),
    ("mylab/rewards.py:polite", "cannot read '/rewards.py:polite'"),
  ],
)
def test_what_cannot_be_read_is_pointed_at(text, message):
  with pytest.raises(ValueError) as error:
    parse(text)
  assert message in str(error.value)


def test_each_reward_has_a_label_of_its_own():
  terms = parse("regex('a') + regex('b') + lab:regex + exact")
  assert labels(terms) == ("regex", "regex_2", "regex_3", "exact")
