"""The README and docs/ list what there is, link to what is there, and quote what was measured."""

import ast
import json
import re

import pytest

from algorithms import LOSSES
from docs.results import write
from models.pretrained.families import FAMILIES
from tasks import TASKS
from tasks.rewards import REWARDS
from tests.docs import pages
from training.checking import config_files, validate
from training.errors import UserError
from training.optimizer import OPTIMIZERS, SCHEDULES

NAME = re.compile(r"`(\w+)`")
# --- form ---------------------------------------------------------------------------------------


def test_the_readme_is_a_front_door():
  readme = pages.text(pages.README)
  assert len(readme.splitlines()) <= 160
  assert len(readme.encode()) <= 12 * 1024


@pytest.mark.parametrize("page", pages.DOCS)
def test_a_page_begins_with_what_it_is_for(page):
  assert re.match(r"# .+\n\nAfter this page you ", pages.text(page))


@pytest.mark.parametrize("page", pages.PAGES)
def test_a_block_says_what_it_is(page):
  for block in pages.blocks(page):
    assert block.language in ("bash", "python", "json", "text")
    if block.language == "json":
      assert all(json.loads(line) for line in block.text.splitlines())


def test_every_page_is_reached_from_the_readme():
  seen, to_read = set(), [pages.README]
  while to_read:
    page = to_read.pop()
    seen.add(page)
    to_read += [file for file, _ in links(page) if file in pages.PAGES and file not in seen]
  assert seen == set(pages.PAGES)


# --- links --------------------------------------------------------------------------------------


def links(page):
  """(file, anchor) of every link that stays in the project."""
  targets = re.findall(r"\]\(([^)\s]+)\)", pages.text(page))
  for target in targets:
    if "://" not in target:
      path, _, anchor = target.partition("#")
      found = (pages.PROJECT / page).parent / path if path else pages.PROJECT / page
      yield str(found.resolve().relative_to(pages.PROJECT.resolve())), anchor


def anchors(page):
  headings = re.findall(r"^#+ (.+)$", pages.text(page), re.M)
  return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages.PAGES)
def test_a_link_leads_somewhere(page):
  for file, anchor in links(page):
    assert (pages.PROJECT / file).exists(), file
    assert not anchor or anchor in anchors(file), f"{file}#{anchor}"


# --- numbers ------------------------------------------------------------------------------------


def test_what_is_quoted_is_what_came_out():
  """Of every archive in docs/results: the tables and texts, and the sweep files' docstrings."""
  for path, text in write.texts():
    assert text == pages.text(path), f"{path}: python -m docs.results.write"


def test_a_result_whose_sweep_file_has_changed_is_refused_by_name(tmp_path, monkeypatch):
  archive = json.loads((pages.RESULTS / "quick.json").read_text())
  archive["config"]["steps"] += 1
  (tmp_path / "quick.json").write_text(json.dumps(archive))
  monkeypatch.setattr(write, "HERE", str(tmp_path))
  with pytest.raises(
    UserError, match=r"quick\.json: .*quick\.py has another dpo-offline-s0 by now"
  ):
    write.read("quick")


# --- lists --------------------------------------------------------------------------------------

TABLES_OF_LOSSES = (
  "## Twelve to know first",
  "## More preference losses",
  "## More policy gradients",
  "## Trust regions, and data of an older policy",
  "## Other advantages and objectives",
  "## Between DPO and GRPO",
  "## A teacher",
)
ROWS = [
  row for title in TABLES_OF_LOSSES for row in pages.table(pages.section("docs/losses.md", title))
]
LISTED = {
  name: row["config"]
  for row in ROWS
  if row["loss"].startswith("`")
  for name in NAME.findall(row["loss"])
}


def test_every_loss_has_its_row_and_every_row_its_loss():
  assert LISTED.keys() == LOSSES.keys()


def test_the_readme_names_the_losses_to_know_first():
  rows = pages.table(pages.section("docs/losses.md", TABLES_OF_LOSSES[0]))
  first = [name for row in rows for name in NAME.findall(row["loss"])]
  section, _, _ = pages.section(pages.README, "## Losses").partition("> **Verified**")
  assert NAME.findall(section) == first and len(first) == 12


@pytest.mark.parametrize("name", LISTED)
def test_the_config_of_the_row_trains_this_loss(name):
  config = f"configs/{LISTED[name].rstrip('*')}.py"
  overrides = {"algorithm.loss": name} if LISTED[name].endswith("*") else {}
  loaded = config_files.load(config, overrides)
  if name == "on_policy_distillation":  # it needs a run to learn from
    with pytest.raises(UserError, match="reference.run=FOLDER"):
      validate.check(loaded)
  else:
    validate.check(loaded)
  assert loaded.algorithm.loss == name


def test_every_reward_has_its_row():
  rows = pages.table(pages.section("docs/rewards.md", "## Sums of rewards"))
  listed = [re.findall(r"^`(\w+)[`(]", row["reward"]) for row in rows]
  assert [name for names in listed for name in names] == list(REWARDS)


@pytest.mark.parametrize(
  "page, title, column, table",
  [
    ("docs/regimes.md", "## Optimizers and schedules", "`optimizer.name`", OPTIMIZERS),
    ("docs/regimes.md", "## Optimizers and schedules", "`optimizer.schedule`", SCHEDULES),
    ("docs/tasks.md", "# Tasks", "`task.name`", TASKS),
    ("docs/models.md", "## Families", "`model_type` of config.json", FAMILIES),
  ],
)
def test_a_table_of_the_docs_is_that_of_the_code(page, title, column, table):
  section = pages.section(page, title)
  rows = pages.table(section[section.index(f"| {column}") :])
  assert [name for row in rows for name in NAME.findall(row[column])] == list(table)


def test_every_config_of_an_algorithm_is_on_the_page_of_the_losses():
  page = pages.text("docs/losses.md")
  others = {"common", "config_values", "hyper", "rounds"}
  names = {path.stem for path in (pages.PROJECT / "configs").glob("[!_]*.py")} - others
  assert names == {row["config"].rstrip("*") for row in ROWS} | {
    *re.findall(r"`configs/(\w+)\.py` is", page)
  }


def test_every_sweep_file_has_its_row():
  rows = pages.table(pages.section("docs/sweeps.md", "## The sweeps that are here"))
  listed = {name for row in rows for name in re.findall(r"`(\w+\.py)`", row["configs/sweeps/"])}
  files = {path.name for path in (pages.PROJECT / "configs" / "sweeps").glob("[!_]*.py")}
  assert listed == files


def test_metrics_are_those_that_the_code_writes():
  rows = pages.table(pages.section("docs/metrics.md", "## Metrics"))
  listed = [name for row in rows for name in re.findall(r"`([^`]+)`", row["metric"])]
  names = [name for group in listed for name in spelled_out(group)]
  written = metric_names()
  unknown = [name for name in names if not {name, name.removeprefix("train/")} & written]
  assert len(names) > 40 and unknown == []


def spelled_out(name):
  """train/rewards/{chosen,rejected} is two metrics; of train/rewards/NAME the beginning is ours."""
  beginning, _, several = re.sub(r"(NAME|\*)$|(?<=@)[nk]$", "", name).partition("{")
  return [beginning + end for end in several.rstrip("}").split(",")]


def metric_names():
  """All texts of training/, algorithms/ and their beginnings up to a slash or an @."""
  found = set()
  for folder in ("algorithms", "training"):
    for path in (pages.PROJECT / folder).rglob("*.py"):
      for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
          found |= {node.value, *re.findall(r"^[\w/]+[/@]", node.value)}
  return found
