"""A fine-tuning job as a client asks for it, and the config of the run that it is.

  {"model": "current", "training_file": "file-…" or "feedback",
   "method": {"type": "dpo", "dpo": {"hyperparameters": {"beta", "learning_rate_multiplier",
                                                         "n_epochs", "batch_size"}}}}

`dpo` trains on pairs, `sft` on single responses and the best of several, `grpo` on scored groups as
they are (configs/off_policy_grpo.py): each is an offline run that starts from the policy of
`model`, which is also its reference, with the deployment's own task, evaluation and sampling.
`config` names a file of configs/ instead, with overrides, and trains what that says.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from configs import common
from rounds.deployment import Deployment
from serving.errors import invalid
from serving.fields import Fields
from training.checking import config_files
from training.errors import UserError

FEEDBACK = "feedback"  # as a training_file: the rows of the deployment
ALGORITHMS = {"dpo": "dpo", "sft": "sft", "supervised": "sft", "grpo": "off_policy_grpo"}
MOST_GROUP = 64  # responses
EVALUATIONS = 4  # of a job, and as many checkpoints
_NO_OWN = {"sft": 1, "dpo": 2}  # responses a group, where the data has no say


def read(body: Mapping[str, Any]) -> dict[str, Any]:
  """The request as JSON values: model, training_file, method, hyperparameters, seed, suffix."""
  fields = Fields(body)
  request: dict[str, Any] = {"model": fields.text("model"), "suffix": _suffix(fields)}
  section = fields.section("method")
  method = section.choice("type", [*ALGORITHMS, "config"], "dpo")
  request["training_file"] = fields.text("training_file", "" if method == "config" else None)
  request["seed"] = fields.integer("seed", 0, least=0, most=2**31 - 1)
  own = section.section(method)
  if method == "config":
    request["hyperparameters"] = {"file": own.text("file"), "overrides": own.get("overrides", {})}
  else:
    request["hyperparameters"] = _hyperparameters(own.section("hyperparameters"), method)
  request["method"] = {"supervised": "sft"}.get(method, method)
  own.done()
  section.done()
  for name in ("metadata", "integrations", "validation_file"):
    fields.only(name, {}, [])
  fields.done()
  return request


def _hyperparameters(fields: Fields, method: str) -> dict[str, Any]:
  given: dict[str, Any] = {}
  if method in ("dpo", "grpo") and fields.get("beta") not in (None, "auto"):
    given["beta"] = fields.number("beta", None, least=0.0, most=1000.0)
  for name, most in (("n_epochs", 1000), ("batch_size", 4096)):
    if fields.get(name) not in (None, "auto"):
      given[name] = fields.integer(name, None, least=1, most=most)
  if fields.get("learning_rate_multiplier") not in (None, "auto"):
    name = "learning_rate_multiplier"
    given[name] = fields.number(name, None, least=0.0, most=1000.0, open_at_least=True)
  fields.done()
  return given


def _suffix(fields: Fields) -> str:
  suffix = fields.text("suffix", "", most=40)
  if suffix and not re.fullmatch(r"[A-Za-z0-9_.-]+", suffix):
    raise fields.wrong("suffix", "may have letters, digits and _ . -")
  return suffix


def model_of(job_id: str, request: Mapping[str, Any]) -> str:
  """The name of the model that a job makes."""
  own = job_id.removeprefix("ftjob-")[:8]
  return "-".join(filter(None, ("ft", request["method"], request["suffix"], own)))


def group_size(request: Mapping[str, Any], most_responses: int) -> int:
  """Responses a group: two of a pair, one to imitate, or as many as the data's largest group."""
  return _NO_OWN.get(request["method"], max(2, min(most_responses, MOST_GROUP)))


def config_of(
  request: Mapping[str, Any], deployment: Deployment, base_run: str, rows: int, k: int
) -> ConfigDict:
  """The config of the job's run, on `rows` groups of `k`. ApiError where it makes no sense."""
  about = request["hyperparameters"]
  if request["method"] == "config":
    return of_file(about["file"], about["overrides"], base_run)
  config = config_files.of_record(deployment.config)
  loss = ALGORITHMS[request["method"]]
  if config.algorithm.loss != loss:
    own = common.of_algorithm(loss)
    with config.unlocked():
      config.algorithm = own.algorithm
      config.optimizer = own.optimizer
  batch = min(about.get("batch_size", 16), rows)
  with config.unlocked():
    config.source, config.base.run, config.seed = "offline", base_run, request["seed"]
    config.group_size, config.batch_prompts = k, batch
    config.micro_batches = config.minibatches = 1
    config.steps = math.ceil(about.get("n_epochs", 3) * rows / batch)
    config.eval.every = config.checkpoint.every = math.ceil(config.steps / EVALUATIONS)
    config.optimizer.learning_rate *= about.get("learning_rate_multiplier", 1.0)
    if "beta" in about:
      config.algorithm.beta = about["beta"]
  return config_files.complete(config)


def of_file(file: str, overrides: Any, base_run: str) -> ConfigDict:
  """The config of a file of this project's configs/, and of no other: a config is code."""
  if not re.fullmatch(r"configs/(\w+/)*\w+\.py(:[\w=,.-]*)?", file):
    raise invalid("method.config.file", f"{file!r}: must be a file of configs/.", "invalid_config")
  if not isinstance(overrides, dict) or any(
    ":" in str(value) for key, value in overrides.items() if key != "task.data"
  ):
    raise invalid(
      "method.config.overrides", "must be an object of fields, none with code of your own (a:b)."
    )
  if base_run:
    overrides = {"base.run": base_run} | overrides
  try:
    return config_files.load(file, overrides)
  except UserError as error:
    raise invalid("method.config", str(error), "invalid_config") from None
