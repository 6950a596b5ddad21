"""A file of Python as a fingerprint sees it: which statements bind a name, and what they name.

Comments, layout, docstrings and annotations are left out: none changes what a function returns. (A
loss's types say which hyperparameters are refused, not what comes of the others.) In the body of a
class annotations stay, because they make the fields of a dataclass. Imports are left out of the
text, too: what a name stands for counts, not which file it comes from.
"""

import ast
import functools
import symtable
from collections.abc import Iterator
from typing import Any, NamedTuple

from tasks.code import files

Chain = tuple[str, ...]  # ("jnp", "exp") of `jnp.exp`

_NOT_CODE = ("returns", "kind", "type_comment", "type_params", "ctx")
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.GeneratorExp)
_SCOPES += (ast.ListComp, ast.SetComp, ast.DictComp)
_CHANGES = ("add", "append", "extend", "insert", "register", "setdefault", "update", "__setitem__")


class Target(NamedTuple):
  """The target of an import: a module, or a name in it."""

  module: str
  name: str | None = None


class Statement:
  """Statements at the top of a module that count together: mostly one, or `all_of` the module."""

  def __init__(self, code: "Code", nodes: list[ast.stmt], all_of: bool = False):
    self.code, self._nodes, self._all_of = code, nodes, all_of

  @functools.cached_property
  def _reader(self) -> "_Reader":
    return _Reader(self._nodes)

  @property
  def text(self) -> str:
    """Equal for statements that do the same in other words."""
    return self._reader.text

  @functools.cached_property
  def imports(self) -> dict[str, list[Target]]:
    """Name -> what it stands for, of what is imported inside."""
    found: dict[str, list[Target]] = {}
    for node in self._reader.imports:
      for name, target in _aliases(node, self.code.package):
        found.setdefault(name, []).append(target)
    return found

  @property
  def loads(self) -> list[Target]:
    """The imports inside, whatever they are called there."""
    return [t for node in self._reader.imports for t in _loads(node, self.code.package)]

  @functools.cached_property
  def names(self) -> tuple[Chain, ...]:
    """The names that it takes from outside, its own arguments and variables left out."""
    outside = {name for node in self._nodes for name in _globals(node, self.code.file)}
    outside |= self.imports.keys()
    used = tuple(chain for chain in self._reader.chains if chain[0] in outside)
    return used + tuple((name,) for name in self.imports) if self._all_of else used

  @property
  def changes_its_module(self) -> bool:
    """Whether it writes to something outside, as a decorator does that fills a table."""
    outside = {chain[0] for chain in self.names}
    return bool(self._reader.assigns_globals or self._reader.changed & outside)


class Code:
  """The names that a module's file binds, and what it does besides.

  statements  name -> those that bind it, or add to it (`TABLE["x"] = f`, `@f.register`)
  imports     name -> what it stands for
  stars       modules of which all names are imported
  loads       all that importing the module imports
  effects     statements that bind nothing: what they do may matter to all of the module
  decorated   (decorator, statement): effects, if the decorator fills a table
  whole       all statements as one
  """

  def __init__(self, module: str, file: files.File):
    self.module, self.file = module, file
    self.is_package = file.path.endswith("__init__.py")
    self.package = module if self.is_package else module.rpartition(".")[0]
    self.statements: dict[str, list[Statement]] = {}
    self.imports: dict[str, list[Target]] = {}
    self.stars: list[str] = []
    self.loads: list[Target] = []
    self.effects: list[Statement] = []
    self.decorated: list[tuple[Chain, Statement]] = []
    nodes = [node for node in file.tree.body if _is_run(node)]
    self.whole = Statement(self, nodes, all_of=True)
    pieces = [Statement(self, [node]) for node in nodes]
    for node, piece in zip(nodes, pieces, strict=True):
      self._bind(node, piece)
    for node, piece in zip(nodes, pieces, strict=True):
      self._follow_up(node, piece)

  def _bind(self, node: ast.stmt, piece: Statement) -> None:
    for part in _module_level(node):
      if isinstance(part, ast.Import | ast.ImportFrom):
        self.loads += _loads(part, self.package)
        for name, target in _aliases(part, self.package):
          if name == "*":
            self.stars.append(target.module)
            continue
          self.imports.setdefault(name, []).append(target)
          if part is not node:  # the condition under which it is imported counts as well
            self._add(self.statements.setdefault(name, []), piece)
      else:
        for name in _bound(part):
          self._add(self.statements.setdefault(name, []), piece)

  def _follow_up(self, node: ast.stmt, piece: Statement) -> None:
    """A statement that changes what another has bound belongs to that one."""
    for part in _module_level(node):
      root = _done_by(part)
      if root in self.statements:
        self._add(self.statements[root], piece)
      elif root:
        self._add(self.effects, piece)
      for decorator in getattr(part, "decorator_list", ()):
        chain = _chain(decorator.func if isinstance(decorator, ast.Call) else decorator)
        if chain and chain[1:] and chain[0] in self.statements:
          self._add(self.statements[chain[0]], piece)
        elif chain:
          self.decorated.append((chain, piece))

  @staticmethod
  def _add(pieces: list[Statement], piece: Statement) -> None:
    if piece not in pieces:
      pieces.append(piece)


def of_module(module: str) -> Code | None:
  """None if the module has no file that can be read. SyntaxError of the file."""
  file = files.of_module(module)
  return _code(module, file) if file else None


@functools.cache
def _code(module: str, file: files.File) -> Code:
  return Code(module, file)


def _aliases(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, Target]]:
  """(name, what it stands for); "*" for all names of a module."""
  for alias, target in zip(node.names, _loads(node, package), strict=True):
    if isinstance(node, ast.Import) and not alias.asname:
      target = Target(alias.name.partition(".")[0])
    yield alias.asname or target.name or target.module, target


def _loads(node: ast.Import | ast.ImportFrom, package: str) -> list[Target]:
  if isinstance(node, ast.Import):
    return [Target(alias.name) for alias in node.names]
  parts = package.split(".") if node.level else []
  parts = parts[: len(parts) + 1 - node.level] + (node.module.split(".") if node.module else [])
  return [Target(".".join(parts), alias.name) for alias in node.names]


class _Reader:
  """One walk over statements: their text, and what is in them."""

  def __init__(self, nodes: list[ast.stmt]):
    self.chains: dict[Chain, None] = {}
    self.imports: list[ast.Import | ast.ImportFrom] = []
    self.changed: set[str] = set()
    self.assigns_globals = False
    self.text = repr(self._plain(nodes, False))

  def _plain(self, node: Any, in_class: bool) -> Any:
    if isinstance(node, list):
      return [self._plain(x, in_class) for x in node if not self._left_out(x, in_class)]
    if not isinstance(node, ast.AST):
      return node
    self.assigns_globals |= isinstance(node, ast.Global)
    self.changed.add(_changed(node))
    if chain := _chain(node):
      if not isinstance(node, ast.Name) or isinstance(node.ctx, ast.Load):
        self.chains[chain] = None
      return ".".join(chain)
    if isinstance(node, ast.AnnAssign) and node.value and not in_class:
      return self._plain(ast.Assign([node.target], node.value), in_class)
    in_class &= not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    in_class |= isinstance(node, ast.ClassDef)
    fields = {key: value for key, value in ast.iter_fields(node) if key not in _NOT_CODE}
    if isinstance(node, ast.arg):
      fields.pop("annotation", None)
    plain = [(k, self._plain(v, in_class)) for k, v in fields.items() if v is not None and v != []]
    return type(node).__name__, plain

  def _left_out(self, node: Any, in_class: bool) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
      self.imports.append(node)
    does_nothing = isinstance(node, ast.Pass | ast.Import | ast.ImportFrom) or (
      isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )
    return does_nothing or isinstance(node, ast.AnnAssign) and not (node.value or in_class)


def _chain(node: ast.AST) -> Chain | None:
  """("a", "b", "c") of `a.b.c`; None of all else."""
  names = []
  while isinstance(node, ast.Attribute):
    names.append(node.attr)
    node = node.value
  return (node.id, *reversed(names)) if isinstance(node, ast.Name) else None


def _changed(node: ast.AST) -> str:
  """ "TABLE" of `TABLE["x"] = 1`, `TABLE.x = 1`, `TABLE.append(x)`; "" of what changes nothing."""
  if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
    return _root(node) if node.func.attr in _CHANGES else ""
  is_place = isinstance(node, ast.Subscript | ast.Attribute)
  return _root(node) if is_place and not isinstance(node.ctx, ast.Load) else ""


def _root(node: ast.AST) -> str:
  """ "a" of `a.b[c].d(e)`, "?" where it is no name."""
  while isinstance(node, ast.Subscript | ast.Attribute | ast.Call):
    node = node.func if isinstance(node, ast.Call) else node.value
  return node.id if isinstance(node, ast.Name) else "?"


def _done_by(node: ast.AST) -> str:
  """As `_changed`, and "TABLE" of the statement `TABLE.f(x)`, "?" of `f(x)`."""
  if not isinstance(node, ast.Expr) or isinstance(node.value, ast.Constant):
    return _changed(node)
  call = node.value
  is_method = isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
  return _root(call) if is_method else "?"


def _is_run(node: ast.stmt) -> bool:
  """Not so of what is for the type checker, or of the file as a command."""
  if isinstance(node, ast.ImportFrom) and node.module == "__future__":
    return False
  if not isinstance(node, ast.If) or node.orelse:
    return True
  test = ast.unparse(node.test)
  return test.rpartition(".")[2] != "TYPE_CHECKING" and "__name__ ==" not in test


def _module_level(node: ast.AST) -> Iterator[ast.AST]:
  """The node and what is in it, but for the insides of functions, classes and comprehensions."""
  yield node
  if not isinstance(node, (*_SCOPES, ast.Import, ast.ImportFrom)):
    for child in ast.iter_child_nodes(node):
      yield from _module_level(child)


def _bound(node: ast.AST) -> list[str]:
  if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
    return [node.name]
  if isinstance(node, ast.Name):
    return [] if isinstance(node.ctx, ast.Load) else [node.id]
  name = getattr(node, "name", None) or getattr(node, "rest", None)  # of handlers and patterns
  return [name] if isinstance(name, str) else []


def _globals(node: ast.stmt, file: files.File) -> set[str]:
  """The names that a statement at the top of a module reads from the module."""
  text = "\n" * (node.lineno - 1) + file.text_of(node)  # so that an error names the line
  top = symtable.symtable(text, file.path, "exec")
  tables, found = [top], set()
  while tables:
    table = tables.pop()
    tables += table.get_children()
    anywhere = table is top or table.get_type() == "class"
    found |= {
      symbol.get_name()
      for symbol in table.get_symbols()
      if symbol.is_global() or (anywhere and symbol.is_referenced())
    }
  decorators = getattr(node, "decorator_list", ())  # not in the segment
  return found | {n.id for d in decorators for n in ast.walk(d) if isinstance(n, ast.Name)}
