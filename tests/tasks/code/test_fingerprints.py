"""A fingerprint changes with what a function does, and not with how, or beside what, it is written.

Every test is a function `f` of mylab/losses.py, among the files that a user may have.
"""

import os
import textwrap

import pytest

from tasks.code import fingerprints


@pytest.fixture
def of(tmp_path, monkeypatch):
  """The fingerprint of mylab.losses:f, with these files: of(losses="...", helpers="...")."""
  monkeypatch.chdir(tmp_path)
  (tmp_path / "mylab" / "tables").mkdir(parents=True)

  def fingerprint(losses: str, **files: str) -> str:
    for name, text in {"losses": losses, **files}.items():
      path = tmp_path / "mylab" / (name.replace("__", "/", 1) + ".py")
      path.write_text(textwrap.dedent(text))
      os.utime(path, ns=(clock := next(CLOCK), clock))  # the file system's ticks are coarse
    return fingerprints.of("mylab.losses:f")

  return fingerprint


CLOCK = iter(range(10**18, 2 * 10**18, 10**9))

PLAIN = """
import jax.numpy as jnp

SCALE = 2.0

def f(logps, mask, *, beta=0.1):
  return (logps * mask).sum() * beta * SCALE
"""
SAME = {
  "a docstring": PLAIN.replace("0.1):", '0.1):\n  """Mine."""'),
  "a comment": PLAIN.replace("SCALE =", "# Why 2.\nSCALE ="),
  "the module's docstring": '"""My losses."""' + PLAIN,
  "layout": PLAIN.replace("logps, mask, *, beta=0.1", "\n  logps,\n  mask,\n  *,\n  beta=.1"),
  "annotations": PLAIN.replace("logps, mask, *, beta", "logps: int, mask: 'x', *, beta: float"),
  "an annotated constant": PLAIN.replace("SCALE =", "SCALE: float ="),
  "a function beside it": PLAIN + "def g(logps): return logps",
  "a constant beside it": PLAIN + "OTHER = 3",
  "a use of it": PLAIN + "TABLE = {'f': f}",
  "an import beside it": "import math" + PLAIN,
  "what is run as a command": PLAIN + "if __name__ == '__main__':\n  print(f(1, 2))",
  "what the type checker reads": "from typing import TYPE_CHECKING\n"
  + "if TYPE_CHECKING:\n  from mylab.nowhere import Scalar"
  + PLAIN,
}


@pytest.mark.parametrize("way", SAME)
def test_good_manners_change_nothing(of, way):
  assert of(PLAIN) == of(SAME[way])


@pytest.mark.parametrize(
  "other",
  [
    PLAIN.replace("sum", "mean"),
    PLAIN.replace("0.1", "0.2"),
    PLAIN.replace("2.0", "2"),
    PLAIN.replace("def f", "import functools\n@functools.cache\ndef f"),
    PLAIN.replace("*, beta", "beta"),
  ],
)
def test_what_a_function_does_changes_it(of, other):
  assert of(PLAIN) != of(other)


# How `f` of mylab/losses.py may come to what is in mylab/helpers.py.
WAYS = """
--- from import
from mylab.helpers import helper
def f(x): return helper(x)
--- from import as
from mylab.helpers import helper as h
def f(x): return h(x)
--- module alias
import mylab.helpers as z
def f(x): return z.helper(x)
--- dotted module
import mylab.helpers
def f(x): return mylab.helpers.helper(x)
--- from package
from mylab import helpers
def f(x): return helpers.helper(x)
--- from dot
from . import helpers
def f(x): return helpers.helper(x)
--- from dot module
from .helpers import helper
def f(x): return helper(x)
--- star
from mylab.helpers import *
def f(x): return helper(x)
--- import inside
def f(x):
  from mylab.helpers import helper
  return helper(x)
--- import inside as
def f(x):
  import mylab.helpers as z
  return z.helper(x)
--- conditional import
try:
  from mylab.helpers import helper
except ImportError:
  helper = None
def f(x): return helper(x)
--- conditional module
try:
  import mylab.helpers as z
except ImportError:
  z = None
def f(x): return z.helper(x)
--- getattr
from mylab import helpers
def f(x): return getattr(helpers, 'hel' + 'per')(x)
--- lambda
from mylab.helpers import helper
step = lambda x: helper(x)
def f(x): return step(x)
--- nested function
from mylab.helpers import helper
def f(x):
  def g(helper_of):
    return helper(helper_of)
  return g(x)
--- partial
import functools
from mylab.helpers import helper
step = functools.partial(helper)
def f(x): return step(x)
--- f is a partial
import functools
from mylab.helpers import helper
f = functools.partial(helper)
--- table
from mylab.helpers import helper
TABLE = {'a': helper}
def f(x): return TABLE['a'](x)
--- table filled later
from mylab.helpers import helper
TABLE = {}
TABLE['a'] = helper
def f(x): return TABLE['a'](x)
--- table updated
from mylab.helpers import helper
TABLE = {}
TABLE.update(a=helper)
def f(x): return TABLE['a'](x)
--- table filled in a loop
from mylab.helpers import helper
TABLE = {}
for name in 'ab':
  TABLE[name] = helper
def f(x): return TABLE['a'](x)
--- method
from mylab.helpers import helper
class Loss:
  def of(self, x): return helper(x)
def f(x): return Loss().of(x)
--- base class
from mylab import helpers
class Loss(helpers.Base): pass
def f(x): return Loss().of(x)
--- decorator
from mylab.helpers import decorator
@decorator
def f(x): return x
--- decorator with arguments
from mylab import helpers
@helpers.decorating(1)
def f(x): return x
--- default
from mylab.helpers import CONSTANT
def f(x, *, y=CONSTANT): return x
--- default of the same name
from mylab.helpers import CONSTANT
def f(x, *, CONSTANT=CONSTANT): return x
--- constant
from mylab.helpers import CONSTANT
def f(x): return x * CONSTANT
--- constant of a constant
from mylab.helpers import CONSTANT
TWICE = 2 * CONSTANT
def f(x): return x * TWICE
--- class attribute
from mylab.helpers import CONSTANT
class Loss:
  CONSTANT = CONSTANT
def f(x): return x * Loss.CONSTANT
--- dataclass field
import dataclasses
from mylab.helpers import Kind
@dataclasses.dataclass
class Loss:
  kind: Kind
def f(x): return Loss(x)
--- comprehension
from mylab.helpers import helper
def f(x): return [helper(y) for y in x]
--- tuple assignment
from mylab.helpers import helper
a, b = helper, 1
def f(x): return a(x)
--- global
from mylab.helpers import CONSTANT
STATE = 0
def fill():
  global STATE
  STATE = CONSTANT
def f(x):
  fill()
  return STATE
--- another's other
from mylab.between import helper
def f(x): return helper(x)
--- re-exported
from mylab.tables import helper
def f(x): return helper(x)
--- re-exported module
from mylab.tables import h
def f(x): return h.helper(x)
--- f is re-exported
from mylab.tables import helper as f
--- globals
from mylab.helpers import helper
def f(x): return globals()['helper'](x)
--- registered
from mylab.helpers import helper
TABLE = {}
def register(g):
  TABLE[g.__name__] = g
  return g
@register
def a(x): return helper(x)
def f(x): return TABLE['a'](x)
--- registered by a method
from mylab.helpers import helper
from functools import singledispatch
@singledispatch
def f(x): return x
@f.register(int)
def _(x): return helper(x)
--- done when imported
import mylab.helpers
mylab.helpers.helper(1)
def f(x): return x
--- imported to be done
import mylab.acts
def f(x): return x
--- walrus
from mylab.helpers import helper
def f(x): return (y := helper)(x)
--- if at the top
import sys
from mylab.helpers import helper
if sys.version_info > (3,):
  def g(x): return helper(x)
else:
  g = None
def f(x): return g(x)
"""
WAYS = {w.partition("\n")[0]: w.partition("\n")[2] for w in WAYS.strip("\n- ").split("\n--- ")}
FILES = {
  "helpers": """
    CONSTANT = 1
    Kind = 'kind', CONSTANT

    class Base:
      def of(self, x): return helper(x)

    def helper(x): return x + CONSTANT

    def decorator(g): return lambda x: helper(g(x))

    def decorating(n): return decorator

    def unrelated(x): return x
    """,
  "between": "from mylab.helpers import *\nfrom mylab.helpers import helper",
  "tables____init__": "from mylab import helpers as h\nfrom mylab.between import helper",
  "acts": "from mylab.helpers import helper\nhelper(1)",
}
# In some ways all of the other module can be reached, so all of it counts.
WHOLE = ("getattr",)


@pytest.mark.parametrize("way", WAYS)
def test_what_a_function_names_counts_however_it_comes_to_it(of, way):
  before = of(WAYS[way], **FILES)
  helper = FILES["helpers"]
  edited = of(WAYS[way], **FILES | {"helpers": helper.replace("CONSTANT = 1", "CONSTANT = 2")})
  assert edited != before
  commented = helper.replace("CONSTANT = 1", "CONSTANT = 1  # one")
  assert of(WAYS[way], **FILES | {"helpers": commented}) == before
  beside = helper.replace("unrelated(x): return x", "unrelated(x): return -x")
  assert (of(WAYS[way], **FILES | {"helpers": beside}) == before) == (way not in WHOLE)


def test_a_helper_may_move_to_another_file(of):
  here = "C = 2\ndef helper(x): return x * C\ndef f(x): return helper(x)"
  there = "from mylab.helpers import helper\ndef f(x): return helper(x)"
  assert of(here) == of(there, helpers="C = 2\ndef helper(x): return x * C")


def test_names_that_are_exchanged_count(of):
  helpers = "def a(x): return x\ndef b(x): return -x"
  one = "from mylab.helpers import a, b\ndef f(x): return a(x) - 2 * b(x)"
  other = "from mylab.helpers import a as b, b as a\ndef f(x): return a(x) - 2 * b(x)"
  assert of(one, helpers=helpers) != of(other, helpers=helpers)


def test_a_variable_is_not_the_function_of_its_name_beside_it(of):
  code = (
    "def f(x, helper):\n  y = helper\n  return [y for y in x]\ndef helper(x): return {}\ny = {}"
  )
  assert of(code.format(1, 2)) == of(code.format(3, 4))


def test_another_package_under_the_same_name_counts(of):
  code = "import {} as np\ndef f(x): return np.exp(x)"
  assert of(code.format("numpy")) != of(code.format("jax.numpy"))


def test_functions_and_modules_that_name_each_other_end(of):
  losses = "from mylab.helpers import g\ndef f(x): return g(x) if x else {}"
  helpers = "from mylab.losses import f\nfrom mylab.losses import g as h\ndef g(x): return f(x - 1)"
  assert of(losses.format(1), helpers=helpers) != of(losses.format(2), helpers=helpers)


def test_an_entry_of_a_table_that_is_not_used_does_not_count(of):
  code = "TABLE = {}\ndef g(x): return x\nTABLE['g'] = g\ndef f(x): return x\n"
  assert of(code) == of(code.replace("def g(x): return x", "def g(x): return -x"))


def test_a_dictionary_that_takes_another_in_is_not_one_without(of):
  assert of("def f(a, b): return {**a, 1: b}") != of("def f(a, b): return {a: 1, **b}")


def test_a_module_without_such_a_function_counts_as_a_whole(of):
  code = "import mylab.helpers\nglobals()['f'] = print\nx = {}"
  assert of(code.format(1)) != of(code.format(2))


def test_a_file_that_is_no_python_is_named(of):
  with pytest.raises(SyntaxError) as error:
    of("from mylab.helpers import g\ndef f(x): return g(x)", helpers="def g(x:")
  assert error.value.filename and error.value.filename.endswith("mylab/helpers.py")


def test_a_function_without_a_text_has_a_fingerprint(of):
  assert fingerprints.of("math:sqrt") != fingerprints.of("math:exp")
  assert fingerprints.of("nowhere.at_all:f") == fingerprints.of("nowhere.at_all:f")


def test_where_the_command_is_typed_does_not_count(of, tmp_path, monkeypatch):
  (tmp_path / "beside.py").write_text("def helper(x): return x\n")
  here = of("from beside import helper\nimport numpy\ndef f(x): return helper(numpy.exp(x))")
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.chdir("/")
  assert fingerprints.of("mylab.losses:f") == here
  (tmp_path / "beside.py").write_text("def helper(x): return -x\n")
  assert fingerprints.of("mylab.losses:f") != here


def test_where_a_function_is_defined(of):
  of("from mylab.helpers import helper", **FILES)
  assert fingerprints.file_of("algorithms.dpo:dpo") == "algorithms/dpo.py"
  assert fingerprints.file_of("algorithms:dpo") == "algorithms/dpo.py"
  assert fingerprints.file_of("mylab.losses:helper") == "mylab/helpers.py"
  assert fingerprints.file_of("math:sqrt") == ""
