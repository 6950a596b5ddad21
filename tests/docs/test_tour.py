"""docs/tour.ipynb runs from its first cell to its last, and shows what it would show again."""

import contextlib
import io
import json
import sys

import pytest

from tests.docs import pages

NOTEBOOK = pages.PROJECT / "docs" / "tour.ipynb"
CELLS = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
ON_THREE_NUMBERS = 1  # the cell whose numbers are the same on every machine


def printed(cell) -> str:
  """What the committed cell printed."""
  streams = [output for output in cell["outputs"] if output["output_type"] == "stream"]
  return "".join(line for output in streams for line in output["text"])


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
  """What the cells leave behind, run in order in an empty folder; and what each printed."""
  names, texts = {"__name__": "tour"}, []
  with pytest.MonkeyPatch.context() as patch:
    patch.chdir(tmp_path_factory.mktemp("tour"))
    patch.setattr(sys, "path", list(sys.path))
    for number, cell in enumerate(CELLS):
      out = io.StringIO()
      with contextlib.redirect_stdout(out):
        exec(compile("".join(cell["source"]), f"tour.ipynb, code cell {number}", "exec"), names)
      texts.append(out.getvalue())
  return names, texts


def test_its_runs_finish_and_its_curves_are_drawn(ran):
  names, _ = ran
  assert names["run"].state == names["mine"].state == "finished"
  assert [line.name for line in names["figure"].data] == ["grpo", "lenient"]
  assert all(len(line.y) > 3 for line in names["figure"].data)


def test_its_losses_have_the_numbers_that_it_shows(ran):
  _, texts = ran
  assert "dpo" in texts[ON_THREE_NUMBERS]
  assert texts[ON_THREE_NUMBERS] == printed(CELLS[ON_THREE_NUMBERS])


def test_it_is_committed_as_it_ran():
  assert [cell["execution_count"] for cell in CELLS] == [*range(1, len(CELLS) + 1)]
  kinds = {output["output_type"] for cell in CELLS for output in cell["outputs"]}
  assert kinds == {"stream", "display_data"}
  figures = [output for cell in CELLS for output in cell["outputs"] if "data" in output]
  assert len(figures) == 3
  assert all("application/vnd.plotly.v1+json" in output["data"] for output in figures)
