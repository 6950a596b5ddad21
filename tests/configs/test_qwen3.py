"""configs/models/qwen3.py: the sizes are those of their names, and every mesh is of its chips."""

import pytest

from benchmarks.weak_scaling import shape_of
from configs import common
from configs.models import qwen3
from training import flops
from training.targets import chips


# Without norms; an untied head is a second table.
@pytest.mark.parametrize(
  "size, billions", [("0.6b", 0.596), ("4b", 4.02), ("8b", 8.19), ("32b", 32.76)]
)
def test_a_size_has_the_parameters_that_are_published(size, billions):
  shape = shape_of(size)
  head = 0 if qwen3.SIZES[size]["tied"] else shape.vocab_size * shape.d_model
  assert (flops.parameters(shape) + head) / 1e9 == pytest.approx(billions, rel=2e-3)


@pytest.mark.parametrize("name", qwen3.CHIPS)
@pytest.mark.parametrize("algorithm", ["grpo", "dpo"])
def test_the_mesh_is_of_the_chips_and_divides_the_batch(name, algorithm):
  config = qwen3.get_config(f"chips={name},algorithm={algorithm}")
  mesh = config.mesh.to_dict()
  chips.check_mesh(chips.find(name), mesh)
  assert config.batch_prompts % (config.micro_batches * mesh["fsdp"] * mesh["data"]) == 0
  assert config.task.eval_prompts % mesh["fsdp"] == 0
  assert config.model.dtype == "auto" and config.group_size == {"grpo": 8, "dpo": 2}[algorithm]


def test_a_size_or_chips_that_are_not_there_are_answered_with_the_list():
  with pytest.raises(common.ArgumentError, match="size=7b: choose one of 0.6b, 4b, 8b, 32b"):
    qwen3.get_config("size=7b")
  with pytest.raises(common.ArgumentError, match="chips=a100: choose one of h100-1"):
    qwen3.get_config("chips=a100")
