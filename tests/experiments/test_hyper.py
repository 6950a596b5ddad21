import pytest

from experiments import hyper


def test_product_takes_every_combination_and_the_last_varies_fastest():
  betas, seeds = hyper.sweep("algorithm.beta", [0.1, 0.2]), hyper.sweep("seed", range(2))
  assert hyper.product([betas, seeds]) == [
    {"algorithm.beta": 0.1, "seed": 0},
    {"algorithm.beta": 0.1, "seed": 1},
    {"algorithm.beta": 0.2, "seed": 0},
    {"algorithm.beta": 0.2, "seed": 1},
  ]


def test_zipit_pairs_items_of_equally_long_sweeps():
  ks, prompts = hyper.sweep("group_size", [2, 8]), hyper.sweep("batch_prompts", [128, 32])
  assert hyper.zipit([ks, prompts]) == [
    {"group_size": 2, "batch_prompts": 128},
    {"group_size": 8, "batch_prompts": 32},
  ]
  with pytest.raises(ValueError):
    hyper.zipit([ks, hyper.sweep("seed", range(3))])


def test_chain_puts_one_sweep_after_the_other():
  assert hyper.chain([hyper.fixed("seed", 7, 2), hyper.fixed("steps", 9)]) == [
    {"seed": 7},
    {"seed": 7},
    {"steps": 9},
  ]


def test_a_field_set_by_two_combined_sweeps_is_refused():
  with pytest.raises(ValueError, match="seed is set by two"):
    hyper.product([hyper.sweep("seed", [1]), hyper.sweep("seed", [2])])


def test_googles_names_are_there():
  items = hyper.chainit([hyper.sweep("config.x", hyper.categorical(["a", "b"]))])
  assert items == hyper.sweep("config.x", hyper.discrete(["a", "b"]))
