"""Python environments, one a peer, with the versions that are compared."""

import pathlib
import subprocess
import sys

TORCH = "torch==2.13.0"  # or a file: run.py --torch
PACKAGES = {
  "trl": ("trl==1.16.0", "transformers==5.23.0", "accelerate==1.15.0"),
  "tunix": ("google-tunix==0.1.7", "jax==0.10.2", "flax==0.12.8"),
}


def ensure(peer: str, folder: pathlib.Path, torch: str) -> pathlib.Path:
  """Returns the interpreter of the peer's environment below `folder`; makes that the first time."""
  home, done = folder / peer, folder / f"{peer}.installed"
  python = home / "bin" / "python"
  if done.exists():
    return python
  print(f"{peer}: installing into {home}", flush=True)
  subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
  install = [str(python), "-m", "pip", "install", "--quiet"]
  packages = [torch, *PACKAGES[peer]] if peer == "trl" else PACKAGES[peer]
  subprocess.run([*install, *packages], check=True)
  done.touch()
  return python
