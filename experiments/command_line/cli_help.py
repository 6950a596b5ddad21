"""The text of --help: a command's flags and configs, or all fields of one config."""

import ast
import io
import re
import shutil
import textwrap
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from configs import config_values
from training.checking import config_files, config_modules, loss_signatures, optimizer_section


def overview(
  doc: str, flags: Mapping[str, tuple[Any, str]], configs: str | None, sweeps: bool = False
) -> str:
  """Returns the command's docstring, its flags, and the config files that it may be given."""
  rows, files = [], []
  if configs:
    rows = [
      ("--config=FILE[:ARG]", "one of the files below, or your own: it is code, and is run"),
      (
        "--config.FIELD=VALUE",
        "changes a field, such as --config.optimizer.learning_rate=1e-4",
      ),
    ]
    if sweeps:
      rows.append(("--sweep.FIELD=VALUE,VALUE", "a sweep over these values, with all others'"))
    files = config_modules.available(configs).items()
  for name, (default, text) in flags.items():
    if isinstance(default, tuple) and default:  # cli.OneOf
      flag = f"--{name}[={'|'.join(default[1:])}]"
    else:
      flag = f"--{name}" if isinstance(default, bool) else f"--{name}={default or '...'}"
    rows.append((flag, text))
  sections = [doc.strip(), "flags:\n" + _table(rows)]
  if files:
    sections.append(f"{configs}:\n" + _table(files))
    sections.append(
      "--config=FILE --help describes a file and lists its fields.\n"
      'A config file, and what a field names as "module:function", is run: give none that you'
      " would not run yourself."
    )
  return "\n\n".join(sections)


def fields(spec: str, overrides: Mapping[str, Any]) -> str:
  """Returns the docstring of a config file and the table of its fields: type, value, comment.

  Raises:
    UserError: when the file or the overrides do not load.
  """
  text = config_modules.read(spec.partition(":")[0])
  doc = ast.get_docstring(ast.parse(text)) or ""
  if "def get_config(" not in text:  # a sweep
    return f"{spec}: {doc}\n\n(--dry_run lists its runs)"
  config = config_files.load(spec, overrides)
  signature = loss_signatures.read(config.algorithm.loss)
  comments = field_comments(config_modules.read("configs/common.py")) | field_comments(text)
  comments |= {f"algorithm.{name}": comment for name, comment in signature.comments.items()}
  comments |= optimizer_section.comments(config)
  found = config_values.fields(config)
  ordered = [key for key in comments if key in found]
  sections = list(dict.fromkeys(map(_section, ordered)))
  ordered.sort(key=lambda key: sections.index(_section(key)))  # an optimizer's own numbers as well
  rows = [("field", "type", "value", "")]
  for key in [*ordered, *(key for key in found if key not in comments)]:
    kind, value = found[key]
    rows.append(
      (
        f"--config.{key}",
        kind.__name__,
        str(value) or "''",
        comments.get(key, ""),
      )
    )
  return f"{spec}: {doc}\n\n{_table(rows)}"


def field_comments(text: str) -> dict[str, str]:
  """Reads {"mesh.data": "devices ..."} from lines such as `config.mesh.data = 1  # devices ...`."""
  comments = {}
  for token in tokenize.generate_tokens(io.StringIO(text).readline):
    target = re.match(r" *\w+\.([\w.]+) = ", token.line)
    if token.type == tokenize.COMMENT and target:
      comments[target[1]] = token.string.lstrip("# ")
  return comments


def _section(key: str) -> str:
  return key.partition(".")[0]


def _table(rows: Iterable[Sequence[str]]) -> str:
  """Aligns columns, and wraps the last one to the terminal."""
  rows = list(rows)
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
  indent = sum(widths) + 2 * len(widths) + 2
  room = max(shutil.get_terminal_size((100, 24)).columns - indent, 30)
  lines = []
  for *cells, last in rows:
    start = "".join(f"  {cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
    wrapped = textwrap.wrap(last, room) or [""]
    lines += [
      f"{start}  {wrapped[0]}".rstrip(),
      *(" " * indent + line for line in wrapped[1:]),
    ]
  return "\n".join(lines)
