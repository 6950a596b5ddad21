"""The comparison with peers: the same work on all sides, and ratios by hand. Runs no peer."""

import dataclasses
import pathlib
import sys

import pytest

from benchmarks.sizes import SIZES
from benchmarks.works import WORKS

PEERS = pathlib.Path(__file__).parent.parent.parent / "benchmarks" / "peers"


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
  """The folder's modules import each other as scripts do; other tests shall not see them."""
  monkeypatch.syspath_prepend(str(PEERS))
  yield
  for name in ("environments", "run", "shapes", "table"):
    sys.modules.pop(name, None)


def rounds(*medians, first=1.0, peak=1e9):
  return [
    {"steps": [m, m], "first_step_seconds": first, "peak_bytes": peak, "versions": {"x": "1"}}
    for m in medians
  ]


def test_the_peers_do_the_work_of_size_tiny():
  import shapes

  tiny = SIZES["tiny"]
  assert dataclasses.astuple(tiny.model) == (
    *(shapes.VOCABULARY, shapes.LAYERS, shapes.WIDTH, shapes.HEADS, shapes.KV_HEADS),
    *(shapes.HEAD_DIM, shapes.FF_DIM, True, shapes.ROPE_THETA),
  )
  assert (tiny.prompt_tokens, tiny.response_tokens) == (shapes.PROMPT, shapes.RESPONSE)
  assert (tiny.pairs, tiny.rollouts) == (shapes.PAIRS, shapes.ROLLOUTS)


def test_the_driver_knows_every_work_with_our_group_sizes_and_betas():
  import run
  import shapes

  assert run.WORKS.keys() == WORKS.keys()
  assert shapes.GROUP_SIZES == {n: w.group_size for n, w in WORKS.items() if w.samples}
  assert shapes.BETAS == {n: w.beta for n, w in WORKS.items() if w.beta is not None}


def test_random_ids_are_words_and_the_seeds_differ():
  import shapes

  ids = shapes.random_ids(4, 5, seed=0)
  assert [len(row) for row in ids] == [5] * 4
  assert all(shapes.EOS < i < shapes.VOCABULARY for row in ids for i in row)
  assert ids != shapes.random_ids(4, 5, seed=1)
  assert shapes.text([7, 12]) == "w7 w12"


def test_ratios_are_of_the_medians_of_a_round():
  import table

  found = {"counterpoint": rounds(1.0, 2.0, 4.0), "trl": rounds(3.0, 4.0, 20.0)}
  assert table.speed_ratios(found, "trl") == [3.0, 2.0, 5.0]
  assert table.speed_ratios(found, "tunix") == []


def test_the_table_in_markdown():
  import table

  found = {
    "counterpoint": rounds(1.0, 2.0, first=4.0),
    "trl": rounds(3.0, 4.0, first=10.0, peak=3e9),
    "tunix": rounds(1.5, 3.0),
  }
  found["counterpoint"][1]["first_step_seconds"] = 2.0  # its programs were compiled in round 1
  machine = {"processor": "P", "cores": 2, "python": "3.11", "commit": "abc", "load": 0.1}
  record = {"machine": machine, "rounds": 2, "steps": 2, "works": {"dpo": found}}
  text = table.markdown(record)
  assert (
    "P, 2 cores; Python 3.11; commit abc; x 1; load before the start 0.1. 2 rounds of 2 steps."
    in text
  )
  assert "| 1.50 (1.00) | 3.50 (3.00) | 2.25 (1.50) | **2.50** (2.00–3.00), target 2.0 |" in text
  assert "**1.50** (1.50–1.50), target 1.4 |" in text
  assert "| 1.00 | 3.00 (**3.00** of ours, target 1.0) | 1.00 |" in text
  assert "| 2.0 s | 10.0 s (**5.00** of ours, target 2.0) | 1.0 s | 4.0 s |" in text
  only_trl = {name: found[name] for name in ("counterpoint", "trl")}
  assert "Tunix" not in table.markdown(record | {"works": {"dpo": only_trl}})


def test_an_unknown_work_is_told_at_once(monkeypatch):
  import run

  monkeypatch.setattr(sys, "argv", ["run.py", "--works=dpo,gpro"])
  with pytest.raises(SystemExit, match="--works=gpro: choose from dpo,"):
    run.choose("works", run.parse().works, list(run.WORKS))


def test_real_lengths_are_of_the_distributions():
  import lengths

  drawn = lengths.drawn(lengths.PANDALM_PROMPTS, 4000, seed=0)
  assert min(drawn) >= 4 and max(drawn) <= 395 and 58 < sum(drawn) / 4000 < 68
  assert drawn == lengths.drawn(lengths.PANDALM_PROMPTS, 4000, seed=0)
  assert lengths.ends(8192) == 65 and 1 / lengths.GSM8K_MEAN_SOLUTION == pytest.approx(
    65 / 8192, rel=0.01
  )
