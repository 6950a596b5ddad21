"""`help(dpo)` is for a person; the types stay where programs look for them."""

import inspect
import pydoc

import pytest

from algorithms import LOSSES, dpo
from algorithms.shapes import Beta, PerToken


def test_help_shows_the_arguments_and_their_defaults():
  assert str(inspect.signature(dpo)) == (
    "(logps, ref_logps, rewards, mask, *, beta=0.1, label_smoothing=0.0, pairs='best_worst', "
    "divergence='reverse_kl', alpha=0.5)"
  )
  assert "(logps, ref_logps, rewards, mask, *, beta=0.1," in pydoc.render_doc(dpo)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_every_signature_can_be_read(loss):
  shown = str(inspect.signature(loss))
  assert shown.startswith("(") and len(shown) < 400
  assert not [word for word in ("Annotated", "jaxtyping", "Float", "Range") if word in shown]


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_names_kinds_and_defaults_are_those_of_the_function_as_written(loss):
  shown, written = inspect.signature(loss), inspect.signature(inspect.unwrap(loss))
  assert [(p.name, p.kind, p.default) for p in shown.parameters.values()] == [
    (p.name, p.kind, p.default) for p in written.parameters.values()
  ]


def test_the_types_are_still_there():
  types = inspect.get_annotations(dpo)
  assert types["beta"] == Beta and types["logps"] == PerToken
