import inspect
import sys
from typing import Literal, get_args, get_origin

import pytest

import algorithms
from algorithms import shapes
from training.checking import loss_signatures
from training.errors import UserError

LOSSES = '''
from functools import partial
from typing import Literal

from algorithms import dpo, shapes
from algorithms.shapes import Beta, Positive as Above0
from .kinds import Kind

Level = Literal["token", "sequence"]
Share = Literal["all", "none"]  # also the name of a range: this is another
DEFAULT = 0.5

def tempered(logps, ref_logps, rewards, mask, old_logps=None, *, beta: float = 1, kind="soft"):
  """Mine.

  Args:
    beta: how close to the reference,
      in 1/nats.
    kind, unknown: "soft" or "hard".
  """

def named_default(logps, mask, *, tau=DEFAULT):
  """Its default is no literal, so the module is imported."""

partially = partial(tempered, kind="hard")
all_pairs = partial(dpo, pairs="all")

def with_limits(
  logps, mask, *,
  beta: Beta = 1, tau: Above0 = 1, weight: shapes.Weight = 1, ddof: shapes.Ddof = 0,
  level: Level = "token", kind: Kind = "soft", share: Share = "all", scale: float = 1,
):
  """Mine."""

def imported_with_limits(logps, mask, *, beta: Beta = DEFAULT, level: Level = "token"):
  """Mine."""

def misnamed(log_probs, mask): ...
def no_star(logps, mask, beta=0.1): ...
def no_default(logps, mask, *, tau): ...
def starred(logps, *arrays): ...
'''


@pytest.fixture(autouse=True)
def my_losses(tmp_path, monkeypatch):
  """A user's folder with mylab/losses.py, where the command is typed."""
  (tmp_path / "mylab").mkdir()
  (tmp_path / "mylab" / "losses.py").write_text(LOSSES)
  kinds = 'from typing import Literal\nKind = Literal["soft", "hard"]\n'
  (tmp_path / "mylab" / "kinds.py").write_text(kinds)
  (tmp_path / "mylab" / "broken.py").write_text("import not_there\nloss = not_there.loss\n")
  (tmp_path / "mylab" / "typo.py").write_text("def loss(logps:\n")
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(sys, "path", list(sys.path))
  yield
  for name in [name for name in sys.modules if name.partition(".")[0] == "mylab"]:
    del sys.modules[name]


def test_the_names_are_those_of_the_table():
  assert loss_signatures.names() == list(algorithms.LOSSES)


def test_the_vocabulary_is_that_of_the_losses():
  assert loss_signatures.vocabulary() == shapes.VOCABULARY


@pytest.mark.parametrize("name", algorithms.LOSSES)
def test_what_is_read_from_the_source_is_what_python_sees(name):
  parameters = inspect.signature(algorithms.LOSSES[name]).parameters.values()
  signature = loss_signatures.read(name)
  empty, keyword = inspect.Parameter.empty, inspect.Parameter.KEYWORD_ONLY
  arrays = [p for p in parameters if p.kind != keyword]
  assert signature.arrays == tuple(p.name for p in arrays if p.default is empty)
  assert signature.optional_arrays == tuple(p.name for p in arrays if p.default is None)
  assert signature.hyperparameters == {p.name: p.default for p in parameters if p.kind == keyword}
  assert signature.comments.keys() == signature.hyperparameters.keys()  # each is documented
  assert signature.load() is algorithms.LOSSES[name]


def test_a_loss_of_ones_own_is_read_without_importing_it():
  signature = loss_signatures.read("mylab.losses:tempered")
  assert signature.arrays == ("logps", "ref_logps", "rewards", "mask")
  assert signature.optional_arrays == ("old_logps",)
  assert signature.hyperparameters == {"beta": 1.0, "kind": "soft"}
  assert isinstance(signature.hyperparameters["beta"], float)  # it is annotated so
  assert signature.comments["beta"] == "how close to the reference, in 1/nats."
  assert signature.comments["kind"] == '"soft" or "hard".'
  assert "mylab.losses" not in sys.modules
  assert signature.load().__name__ == "tempered"


def test_a_loss_that_is_no_plain_def_is_imported():
  assert loss_signatures.read("mylab.losses:named_default").hyperparameters == {"tau": 0.5}
  assert loss_signatures.read("mylab.losses:partially").hyperparameters["kind"] == "hard"


@pytest.mark.parametrize(
  "name, message",
  [
    ("grpoo", "no loss 'grpoo'. Did you mean grpo?"),
    ("zzz", "The losses are listed in algorithms/__init__.py, "),
    ("mylab/losses.py:tempered", "not module.path:function, such as mylab.losses:tempered"),
    ("mylab.losses:temperd", "no function 'temperd' in .*Did you mean tempered?"),
    ("mylab.nothing:loss", "cannot import mylab.nothing:loss from .*No module named"),
    ("mylab.broken:loss", "cannot import mylab.broken:loss from .*No module named 'not_there'"),
    ("mylab.typo:loss", "typo.py line 1: "),
    ("mylab.losses:misnamed", "'log_probs' is no array that the trainer has. Did you mean .*logps"),
    ("mylab.losses:no_star", "'beta' is no array.*\n.*hyperparameters go after a `\\*`"),
    ("mylab.losses:no_default", "give tau a default"),
    ("mylab.losses:starred", "takes \\*arrays"),
  ],
)
def test_what_the_trainer_cannot_use_is_refused_in_words(name, message):
  with pytest.raises(UserError, match=message):
    loss_signatures.read(name)


@pytest.mark.parametrize("name", loss_signatures.names())
def test_the_limits_read_from_the_source_are_those_of_the_annotations(name):
  """What the command line checks and what the loss itself checks are the same."""
  signature = loss_signatures.read(name)
  types = inspect.get_annotations(signature.load())
  for option in signature.hyperparameters:
    annotation = types[option]
    ranges = [str(limit) for limit in getattr(annotation, "__metadata__", ())]
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    found = signature.limits.get(option, ())
    assert ranges == ([] if isinstance(found, tuple) else [str(found)]), option
    assert choices == (found if isinstance(found, tuple) else ()), option


def test_every_float_and_text_of_our_losses_has_a_limit_or_is_free_for_a_reason():
  # Any number is a divergence, or a reward.
  free = {"alpha", "threshold", "baseline_shift"}
  for name in loss_signatures.names():
    signature = loss_signatures.read(name)
    for option, default in signature.hyperparameters.items():
      if isinstance(default, float | str) and option not in free:
        assert option in signature.limits, f"{name}: {option}"


def test_a_loss_of_ones_own_may_use_the_limits_and_set_its_own():
  signature = loss_signatures.read("mylab.losses:with_limits")
  assert "mylab.losses" not in sys.modules
  limits = {name: str(limit) for name, limit in signature.limits.items()}
  assert limits == {
    "beta": "above 0",
    "tau": "above 0",
    "weight": "at least 0",
    "ddof": "at least 0 and at most 1",
    "level": "('token', 'sequence')",
    "kind": "('soft', 'hard')",
    "share": "('all', 'none')",
  }
  types = {name: type(default) for name, default in signature.hyperparameters.items()}
  assert {name for name, kind in types.items() if kind is float} == {
    "beta",
    "tau",
    "weight",
    "scale",
  }
  assert types["ddof"] is int


def test_one_of_ours_with_another_default_has_its_limits_and_arguments():
  changed, ours = (loss_signatures.read(name) for name in ("mylab.losses:all_pairs", "dpo"))
  assert changed.arrays == ours.arrays
  assert changed.hyperparameters == ours.hyperparameters | {"pairs": "all"}
  for name, limit in ours.limits.items():
    assert str(changed.limits[name]) == str(limit)


def test_a_loss_that_is_imported_has_its_limits_too():
  limits = loss_signatures.read("mylab.losses:imported_with_limits").limits
  assert str(limits["beta"]) == "above 0"
  assert limits["level"] == ("token", "sequence")
