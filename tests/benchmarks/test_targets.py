"""Compiled for chips that are not here: the tables of docs/scaling.md are what the files say."""

from benchmarks import target_case, targets, weak_scaling
from benchmarks.targets import PAGE
from training import flops


def test_the_page_has_the_table_of_the_rows_that_were_compiled():
  assert targets.BEGIN + targets.table() + targets.END in PAGE.read_text()
  known = {(case, name) for case in targets.cases() for name in targets.programs(case)}
  assert {(row["case"], row["program"]) for row in targets.rows()} <= known


def test_a_row_says_what_bounds_a_program_and_whether_it_fits():
  row = {"program": "sampler", "memory": 2**31, "estimated": 2**30, "fits": False}
  assert list(targets.cells(row)) == ["2.0 GiB, 0.50: does not fit", "", "", "", ""]
  row |= {"compute": 1.0, "traffic": 2.0, "network": 0, "share_of_peak": 0.1}
  row |= {"share_of_rate": 0.625, "flops_over_by_hand": 1.25, "not_counted": 3}
  times = "1.00 s, 2.00 s, none: traffic"
  assert list(targets.cells(row))[1:] == [times, "", "62%", "1.25, kernels apart"]


def test_the_page_has_the_table_of_weak_scaling():
  assert weak_scaling.BEGIN + weak_scaling.table() + weak_scaling.END in PAGE.read_text()


def test_exchanges_by_hand():
  """Of fsdp the weights three times and the head's stretches; nothing over an axis of one."""
  found = weak_scaling.exchanged(1, 4, 1)
  assert found["data"] == found["tensor"] == 0
  weights, head = 2 * flops.layer_weights(weak_scaling.MODEL), 2 * 151936 * 4096
  tokens = 256 + 8 * 1791
  assert found["fsdp"] == 3 * weights + 3 * 9 * head + 2 * (2 * tokens * 4096)
  assert found == weak_scaling.exchanged(1, 1024, 1)
  assert weak_scaling.seconds(1, 4, 8)["compute"] == weak_scaling.seconds(1, 4, 1)["compute"] / 8


def test_a_mesh_that_is_given_makes_a_target_of_as_many_chips():
  assert target_case.target_of("h100-8", {}).devices == 8
  found = target_case.target_of("h100-8", {"mesh.data": "4", "mesh.fsdp": "4", "mesh.tensor": "1"})
  assert found.devices == 16 and found.chip.name == "NVIDIA H100 SXM"
