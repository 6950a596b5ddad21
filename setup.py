"""Counterpoint's metadata. Lower bounds only; requirements.lock has the versions tested with."""

from setuptools import find_namespace_packages, setup

SERVE = ["starlette", "uvicorn", "python-multipart"]  # experiments.serve
CLUSTER = ["submitit>=1.5"]  # --launcher=slurm and the like
REPORT = ["wandb-workspaces>=0.4"]  # experiments.wandb_report
TUNE = ["optuna>=5"]  # experiments.tune
# Compilers of --target, 300 MB; beside jax 0.10.2, whose `tpu` extra pins this libtpu.
TARGETS = [
  "libtpu==0.0.42.*",
  "jax-cuda12-pjrt==0.10.2",
  "jax-cuda12-plugin==0.10.2",
  "nvidia-cuda-nvcc-cu12",
]
FOLDERS = (
  *("algorithms", "models", "tasks", "configs", "training"),
  *("rounds", "serving", "comparing", "claims", "experiments", "benchmarks"),
)

setup(
  name="counterpoint",
  version="0.1.0",
  description="DPO, GRPO and their relatives in JAX, compared on one budget with the same metrics",
  author="The Counterpoint authors",
  license="Apache-2.0",
  python_requires=">=3.11",
  packages=find_namespace_packages(
    include=[*FOLDERS, *(f"{folder}.*" for folder in FOLDERS)], exclude=["*.__pycache__"]
  ),
  package_data={  # the pages
    "comparing": ["*.j2", "*.css", "*.js"],
    "serving": ["*.html"],
    "claims": ["*.j2", "*.css"],
  },
  install_requires=[
    "array_record",  # the file format of data sets; tensorflow-datasets imports it on first use
    "flax>=0.12.8",
    "gguf",
    "huggingface_hub",
    "importlib_resources",  # likewise, without TensorFlow
    "jax>=0.10.2",
    "jaxtyping",
    "jinja2>=3.1.6",  # its sandbox runs the chat templates of downloads
    "markupsafe",
    "math-verify[antlr4_13_2]>=0.9",
    "ml-collections>=1.1",
    "ml_dtypes",
    "numpy",
    "optax",
    "orbax-checkpoint>=0.12.8,<1",  # 1.0 makes its v1 interface the top level
    "plotly",
    "pyarrow",
    "reasoning-gym",
    "rich",
    "scipy",
    "tensorflow-datasets",
    "tokenizers",
    "vaderSentiment",
    "wandb>=0.31",
  ],
  extras_require={
    "cuda12": ["jax[cuda12]"],
    "cuda13": ["jax[cuda13]"],
    "tpu": ["jax[tpu]"],
    "cluster": CLUSTER,
    "serve": SERVE,
    "report": REPORT,
    "targets": TARGETS,
    "tune": TUNE,
    "dev": [
      *CLUSTER,
      *SERVE,
      *REPORT,
      *TUNE,
      "beartype",
      "httpx",
      "openai",  # the unchanged client, against experiments.serve
      "pyrefly",
      "pytest",
      "pytest-xdist",
      "ruff",
      "setuptools>=77",  # builds the editable install, so that nothing comes from outside the lock
    ],
  },
)
