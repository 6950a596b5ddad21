"""The benchmark: FLOPs against counts by hand, and a micro size from end to end. No times."""

import json

import pytest

from benchmarks import bench, processes, steps
from benchmarks.sizes import SIZES, Shape
from benchmarks.worker import Job, time_work
from benchmarks.works import WORKS
from tests.models.tiny import TINY, tiny_params
from training import flops
from training.errors import UserError
from training.flops import Batch
from training.scoring import Scorer
from training.sources.online import Online
from training.state import random_params

# Two layers of width 4: queries 4 x 6 (3 heads of 2), keys and values 4 x 2 (1 head), output 6 x 4,
# feed-forward 3 x (4 x 5); an embedding of 10 x 4.
SMALL = Shape(10, 2, 4, 3, 1, 2, 5, qk_norm=True, rope_theta=1e4)
A_LAYER = 24 + 8 + 8 + 24 + 60


def test_weights_by_hand():
  assert flops.layer_weights(SMALL) == 2 * A_LAYER
  assert flops.parameters(SMALL) == 2 * A_LAYER + 40


def test_parameters_are_those_of_the_network_without_its_norms():
  fields = {name: getattr(TINY, name) for name in Shape.__dataclass_fields__}
  params = tiny_params()
  matrices = [x for name, x in params["layers"].items() if not name.endswith("norm")]
  held = sum(x.size for x in [*matrices, params["embedding"]])
  assert flops.parameters(Shape(**fields)) == held


def test_forward_by_hand():
  """One prompt of 3 tokens, two responses of 2: each is read up to its first token."""
  batch = Batch(prompts=1, group_size=2, prompt_tokens=3, response_tokens=2)
  tokens = 3 + 2 * 1
  pairs = (1 + 2 + 3) + 2 * (3 + 1)  # within the prompt; a first token sees prompt and itself
  a_pair = 2 * 2 * (3 * 2)  # the score and the weighted sum, over 3 heads of 2 numbers
  layers = 2 * (2 * A_LAYER * tokens + a_pair * pairs)
  a_head = 2 * 4 * 10
  assert flops.score(SMALL, batch) == layers + 4 * a_head  # logits of all 2 x 2 response tokens
  assert flops.update(SMALL, batch) == 3 * flops.score(SMALL, batch)
  assert flops.sample(SMALL, batch) == layers + 3 * a_head  # the group's first logits are shared


def test_a_group_of_one_reads_its_prompt_once_a_response():
  alone = Batch(prompts=8, group_size=1, prompt_tokens=64, response_tokens=64)
  shared = Batch(prompts=1, group_size=8, prompt_tokens=64, response_tokens=64)
  again = 7 * (2 * flops.layer_weights(SMALL) * 64 + 2 * 4 * 6 * (64 * 65 // 2))
  assert flops.score(SMALL, alone) - flops.score(SMALL, shared) == again


def test_bytes_of_sampling_by_hand():
  """Two steps after the first token read all weights, the prompt, and 1, then 2 tokens a row."""
  batch = Batch(prompts=1, group_size=2, prompt_tokens=3, response_tokens=3)
  a_token = 2 * 2 * (1 * 2)  # keys and values of two layers
  numbers = 2 * flops.parameters(SMALL) + 2 * 3 * a_token + 2 * (1 + 2) * a_token
  assert flops.sample_bytes(SMALL, batch, width=4) == 4 * numbers


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_every_work_does_its_phases(work):
  found = time_work(Job(work.name, "micro", "float32", steps=2))
  assert [step.keys() for step in found["steps"]] == 2 * [work.flops(SIZES["micro"]).keys()]
  assert found["compile_seconds"] > 0 and found["peak_bytes"] > 1e6


def test_what_is_sampled_has_its_full_length():
  work, size = WORKS["grpo"], SIZES["micro"]
  parts = steps.parts_of(work, size, "float32")
  params = random_params(parts.model, parts.mesh, seed=0)
  drawn = Online(parts, Scorer(parts)).collect(0, params).scored
  batch = work.batch(size)
  assert drawn.groups.prompt_mask.sum() == batch.prompts * batch.prompt_tokens
  assert drawn.lengths.tolist() == [[batch.response_tokens] * 8] * batch.prompts


def test_numbers_to_read_of_a_works_seconds():
  job = Job("grpo", "micro", "float32", steps=3)
  timed = [{"collect": c, "update": 2.0} for c in (1.0, 4.0, 2.0)]
  machine = {"matmul": {"flops_per_second": 100.0}, "memory": {"bytes_per_second": 50.0}}
  found = processes.phases(job, timed, machine)
  needed = WORKS["grpo"].flops(SIZES["micro"])
  assert found["collect"]["median"] == 2.0 and found["collect"]["best"] == 1.0
  assert found["step"]["seconds"] == [3.0, 6.0, 4.0]
  assert found["step"]["flops"] == needed["collect"] + needed["update"]
  assert found["update"]["share_of_matmul_rate"] == needed["update"] / 2.0 / 100.0
  assert found["collect"]["tokens_per_second"] == 16 * 4 / 2.0


@pytest.mark.slow
def test_from_the_command_line_to_the_json(tmp_path, capsys):
  path = tmp_path / "bench.json"
  flags = ["--size=micro", "--only=generate", "--repeat=2", f"--json={path}"]
  assert bench.main(flags) == 0
  record = json.loads(path.read_text())
  assert record["size"] == "micro" and record["machine"]["matmul"]["flops_per_second"] > 0
  generate = record["works"]["generate"]
  assert len(generate["phases"]["collect"]["seconds"]) == 2
  # The second process finds the first one's programs.
  assert generate["compile_seconds"]["warm"] < generate["compile_seconds"]["cold"]
  assert "generate" in capsys.readouterr().out


def test_a_dry_run_says_what_would_be_run(capsys):
  assert bench.main(["--dry_run", "--size=0.6b"]) == 0
  said = capsys.readouterr().out
  assert "596.0 million" in said and all(name in said for name in WORKS)


def test_slips_are_told_before_anything_runs():
  with pytest.raises(UserError, match="--only='gpro'.*Did you mean grpo") as error:
    bench.main(["--only=gpro", "--size=tiney", "--dtype=bf16", "--repeat=0"])
  assert len(str(error.value).splitlines()) == 4
