"""Functions that a config names as "module:function", read from their source: nothing is imported.

A signature is thereby known in milliseconds, whatever the module would import.
"""

import ast
import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

from tasks.code import files
from tasks.rewards.function import imported
from tasks.slips import did_you_mean, nearest
from training.errors import UserError


def split(name: str, example: str) -> tuple[str, str]:
  """("module", "function"). UserError, with what to write, when `name` is none such."""
  module, _, function = name.partition(":")
  if not function or not re.fullmatch(r"\w+(\.\w+)*", module) or module.endswith(".py"):
    example_module, _, example_function = example.partition(":")
    hint = module.removesuffix(".py").strip("./").replace("/", ".") or example_module
    raise UserError(
      f"{name!r} is not module.path:function, such as {hint}:{function or example_function}"
    )
  return module, function


def signature(module: str, function: str) -> tuple[inspect.Signature, str]:
  """Its signature and docstring; the module is imported if its source does not say enough.

  UserError if there is no such function.
  """
  return _from_source(module, function) or _from_import(module, function)


def _from_source(module: str, function: str) -> tuple[inspect.Signature, str] | None:
  """None if the loss is not a plain `def` with literal defaults in a file that can be found."""
  path = files.path_of(module)
  if path is None or not path.endswith(".py"):
    return None
  tree = parse(path)
  definitions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
  if function in definitions:
    definition = definitions[function]
    try:
      return _signature(definition.args), ast.get_docstring(definition) or ""
    except ValueError:  # a default is not a literal
      return None
  if function not in re.findall(r"\w+", ast.unparse(tree)):
    hint = did_you_mean(nearest(function, definitions)) or f" It defines {', '.join(definitions)}."
    raise UserError(f"no function {function!r} in {path}.{hint}")
  return None


def _signature(arguments: ast.arguments) -> inspect.Signature:
  """Raises ValueError for a default that is not a literal."""

  def parameter(argument: ast.arg, kind: Any, default: ast.expr | None = None) -> inspect.Parameter:
    annotation = ast.unparse(argument.annotation) if argument.annotation else ""
    value = inspect.Parameter.empty if default is None else ast.literal_eval(default)
    return inspect.Parameter(argument.arg, kind, default=value, annotation=annotation)

  positional = [*arguments.posonlyargs, *arguments.args]
  defaults = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
  kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
  parameters = [parameter(a, kind, d) for a, d in zip(positional, defaults, strict=True)]
  if arguments.vararg:
    parameters.append(parameter(arguments.vararg, inspect.Parameter.VAR_POSITIONAL))
  kind = inspect.Parameter.KEYWORD_ONLY
  keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
  parameters += [parameter(a, kind, d) for a, d in keywords]
  if arguments.kwarg:
    parameters.append(parameter(arguments.kwarg, inspect.Parameter.VAR_KEYWORD))
  return inspect.Signature(parameters)


def _from_import(module: str, function: str) -> tuple[inspect.Signature, str]:
  loss = load(module, function)
  signature = inspect.signature(loss)
  written = loss
  while isinstance(written, functools.partial):
    written = written.func
  types = inspect.get_annotations(inspect.unwrap(written))  # @loss_function's signature has none
  parameters = signature.parameters.values()
  typed = [p.replace(annotation=types.get(p.name, p.annotation)) for p in parameters]
  return signature.replace(parameters=typed), inspect.getdoc(loss) or ""


def load(module: str, function: str) -> Callable:
  """The function itself. UserError when it cannot be imported."""
  try:
    return imported(f"{module}:{function}")
  except ValueError as error:
    raise UserError(str(error)) from error


def parse(path: str) -> ast.Module:
  """The file's tree. UserError for a syntax error."""
  try:
    return files.read(path).tree
  except SyntaxError as error:
    raise not_python(error) from error


def not_python(error: SyntaxError) -> UserError:
  """The message for a file with a syntax error."""
  return UserError(f"{error.filename} line {error.lineno}: {error.msg}")


def module_tree(module: str) -> ast.Module | None:
  """The tree of the module's file; None if it has none that can be read."""
  path = files.path_of(module)
  return parse(path) if path and path.endswith(".py") else None
