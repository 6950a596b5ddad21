"""Tests compile many small programs and run each once: compile them quickly rather than well."""

import os

_QUICKLY = " --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + _QUICKLY
os.environ["WANDB_MODE"] = "disabled"
