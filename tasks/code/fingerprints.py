"""Fingerprints of code: equal for functions that do the same, however they are written down.

of("algorithms.dpo:dpo") is a hash of the function and of all that it names, in whatever file of its
own package, of the folder that this lies in, or of this project: functions, classes, constants,
decorators, defaults. Not of comments, layout, docstrings and annotations, of functions beside it,
of the file that something lies in, or of packages that are installed (env.json has their versions).

Names are followed as Python binds them. Where that cannot be told from the text (a module handed on
as a value, `globals()`, a name that no statement binds), the whole module counts.
"""

import contextlib
import contextvars
import hashlib
from collections.abc import Callable, Iterator

from tasks.code import files, statements
from tasks.code.statements import Chain, Code, Statement, Target

# Names with which a function may reach all that is in its module.
_DYNAMIC = (("globals",), ("vars",), ("eval",), ("exec",), ("sys", "modules"))

Found = Statement | str  # a statement to follow, or what is installed, by its dotted name


_Kept = dict[tuple[object, ...], str]
_kept: contextvars.ContextVar[_Kept | None] = contextvars.ContextVar("_kept", default=None)


@contextlib.contextmanager
def each_once() -> Iterator[None]:
  """In here a function's code is read when it is first asked for, and taken to stay as it is."""
  token = _kept.set({})
  try:
    yield
  finally:
    _kept.reset(token)


def _once(key: tuple[object, ...], find: Callable[[], str]) -> str:
  kept = _kept.get()
  if kept is None:
    return find()
  if key not in kept:
    kept[key] = find()
  return kept[key]


def of(*places: str) -> str:
  """16 hex digits of functions given as "module:function". SyntaxError of a file among them."""
  return _once((of, *places), lambda: _of(*places))


def _of(*places: str) -> str:
  walk = _Walk([place.partition(":")[0] for place in places])
  for place in places:
    module, _, function = place.partition(":")
    walk.start(Target(module, function or None))
  return hashlib.sha256("\n".join(walk.lines()).encode()).hexdigest()[:16]


def file_of(place: str) -> str:
  """Where the function is defined, "algorithms/dpo.py"; "" if that cannot be read."""
  return _once((file_of, place), lambda: _file_of(place))


def _file_of(place: str) -> str:
  module, _, function = place.partition(":")
  found = _Walk([module]).follow(Target(module, function), ())
  return next((files.short(one.code.module) for one in found if isinstance(one, Statement)), "")


class _Walk:
  """From some functions to all that they name. Statements are numbered in the order of discovery.

  Not by where they lie: what moves to another file stays the same.
  """

  def __init__(self, modules: list[str]):
    self._own = {module.partition(".")[0]: True for module in modules}  # installed or not
    self._homes = {files.ROOT, *map(files.home, self._own)} - {""}
    self._codes: dict[str, Code | None] = {}
    self._imported: list[str] = []
    self._statements: list[Statement] = []
    self._numbers: dict[Statement, int] = {}
    self._roots: list[str] = []
    self._memory: dict[tuple[str, Chain], list[Found]] = {}

  def start(self, target: Target) -> None:
    self._roots.append(self._edge("", self.follow(target, ())))

  def lines(self) -> Iterator[str]:
    """All that counts, a line each: what was started from, then the statements."""
    yield from self._roots
    done = 0
    while self._run_imports() or done < len(self._statements):
      for statement in self._statements[done:]:
        for target in statement.loads:
          self._load(target)
        edges = [
          self._edge(".".join(name), self._named_by(statement, name)) for name in statement.names
        ]
        yield f"{done} {statement.text} {' '.join(edges)}"
        done += 1

  def follow(self, target: Target, rest: Chain) -> list[Found]:
    """The code that an import stands for; `rest` are the attributes that are taken of it."""
    code = self._code(target.module)
    names = (target.name, *rest) if target.name else rest
    if not self._is_own(target.module):
      return [".".join((target.module, *names))]
    if not names:
      return [code.whole] if code else [target.module]
    if found := self._resolve(target.module, names):
      return found
    inside = f"{target.module}.{names[0]}"
    if files.path_of(inside) or not code:
      return self.follow(Target(inside), names[1:])
    return [code.whole]

  def _named_by(self, statement: Statement, name: Chain) -> list[Found]:
    found = [one for t in statement.imports.get(name[0], ()) for one in self.follow(t, name[1:])]
    if name[0] not in statement.imports:
      found = self._resolve(statement.code.module, name)
    if not found and any(name[: len(dynamic)] == dynamic for dynamic in _DYNAMIC):
      return [statement.code.whole]
    return found

  def _resolve(self, module: str, name: Chain) -> list[Found]:
    """The code that a name stands for in a module; [] if nothing there binds it (a builtin)."""
    key = module, name
    if key not in self._memory:
      self._memory[key] = []  # where modules import from each other in a circle
      code = self._code(module)
      if code:
        found: list[Found] = [*code.statements.get(name[0], ())]
        for target in code.imports.get(name[0], ()):
          found += self.follow(target, name[1:])
        for star in code.stars:
          found += self._resolve(star, name) if self._is_own(star) else ()
        self._memory[key] = found
    return self._memory[key]

  def _edge(self, name: str, found: list[Found]) -> str:
    ends = [one if isinstance(one, str) else self._number(one) for one in found]
    return f"{name}={','.join(map(str, ends))}" if ends else ""

  def _number(self, statement: Statement) -> int:
    if statement not in self._numbers:
      self._numbers[statement] = len(self._statements)
      self._statements.append(statement)
    return self._numbers[statement]

  def _is_own(self, module: str) -> bool:
    top = module.partition(".")[0]
    if top not in self._own:
      self._own[top] = files.home(top) in self._homes
    return self._own[top]

  def _code(self, module: str) -> Code | None:
    """The code of an own module. What importing it does counts from now on."""
    if module not in self._codes:
      self._codes[module] = statements.of_module(module) if self._is_own(module) else None
      self._imported.append(module)
    return self._codes[module]

  def _run_imports(self) -> bool:
    """Follows what the modules do that were imported since; whether there were any."""
    imported, self._imported = self._imported, []
    for module in imported:
      if "." in module:
        self._code(module.rpartition(".")[0])
      if code := self._codes[module]:
        for decorator, statement in code.decorated:
          found = self._resolve(module, decorator)
          if any(isinstance(one, Statement) and one.changes_its_module for one in found):
            self._number(statement)
        for statement in code.effects:
          self._number(statement)
        for target in code.loads:
          self._load(target)
    return bool(imported)

  def _load(self, target: Target) -> None:
    code = self._code(target.module)
    if target.name and (code.is_package if code else self._is_own(target.module)):
      self._code(f"{target.module}.{target.name}")
