import pytest

from configs import hyper


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


def test_sample_draws_the_same_values_whenever_it_is_planned():
  rates = hyper.sample("optimizer.learning_rate", hyper.log_uniform(1e-5, 1e-3), n=400, seed=1)
  again = hyper.sample("optimizer.learning_rate", hyper.log_uniform(1e-5, 1e-3), n=8, seed=1)
  assert rates[:8] == again
  assert hyper.sample("optimizer.learning_rate", hyper.log_uniform(1e-5, 1e-3), n=8) != again
  values = [item["optimizer.learning_rate"] for item in rates]
  assert all(1e-5 <= value <= 1e-3 for value in values)
  assert 160 < sum(value < 1e-4 for value in values) < 240  # half of them below the middle decade


def test_sample_of_an_interval_or_of_values():
  values = [item["x"] for item in hyper.sample("x", hyper.interval(2.0, 4.0), n=400)]
  assert 2 <= min(values) and max(values) <= 4 and 2.9 < sum(values) / 400 < 3.1
  assert {item["k"] for item in hyper.sample("k", [2, 4], n=20)} == {2, 4}


def test_two_axes_of_one_seed_are_not_one():
  xs, ys = (hyper.sample(name, hyper.interval(0, 1), n=8) for name in "xy")
  assert [item["x"] for item in xs] != [item["y"] for item in ys]


def test_an_empty_interval_is_refused():
  with pytest.raises(ValueError, match="below the second"):
    hyper.interval(2, 1)
  with pytest.raises(ValueError, match="above 0"):
    hyper.log_uniform(0, 1)


def test_a_file_written_for_googles_module_draws_as_many_as_it_asks_for():
  def get_hyper(hyper):
    drawn = hyper.zipit(
      [
        hyper.loguniform("config.lr", hyper.interval(1e-3, 0.1)),
        hyper.uniform("config.decay", hyper.discrete([1e-3, 1e-2])),
        hyper.fixed("config.p", 6, length=4),
      ],
      length=4,
    )
    return hyper.product([hyper.sweep("seed", range(2)), drawn])

  items = get_hyper(hyper)
  assert len(items) == 8 and items[:4] != items[4:]
  assert [set(item) for item in items] == [{"seed", "config.lr", "config.decay", "config.p"}] * 8


def test_draws_without_a_length_are_refused_rather_than_endless():
  for combine in (hyper.product, hyper.chain, hyper.zipit):
    with pytest.raises(ValueError, match="lr is drawn without end; put it into zipit"):
      combine([hyper.loguniform("lr", hyper.interval(1e-3, 0.1))])
  with pytest.raises(ValueError, match="length=3.*the sweep of seed is shorter"):
    hyper.zipit([hyper.sweep("seed", range(2))], length=3)
