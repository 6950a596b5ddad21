"""Tests compile many small programs and run each once: compile them quickly rather than well."""

import os

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"
os.environ["WANDB_MODE"] = "disabled"
