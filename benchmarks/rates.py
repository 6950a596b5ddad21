"""The machine's rates, measured: at matrix products and at reading memory."""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

SECONDS = 2.0  # for which each is repeated; the best time counts


def matmul_rate() -> dict[str, float | str]:
  """Measures FLOP/s of a square product: 2048 wide in float32 on a CPU, else 8192 in bfloat16."""
  on_cpu = jax.default_backend() == "cpu"
  width, dtype = (2048, jnp.float32) if on_cpu else (8192, jnp.bfloat16)
  x = jax.random.normal(jax.random.key(0), (width, width)).astype(dtype)
  seconds = _best(jax.jit(jnp.matmul), x, x)
  what = f"{width} x {width} {jnp.dtype(dtype).name}"
  return {"what": what, "flops_per_second": 2 * width**3 / seconds}


def memory_rate() -> dict[str, float | str]:
  """Measures bytes/s of a sum over more numbers than any cache holds: decoding too mostly reads."""
  n = 2**27 if jax.default_backend() == "cpu" else 2**31  # bfloat16 numbers do not fit a CPU's sum
  dtype = jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
  x = jnp.ones(n, dtype)
  seconds = _best(jax.jit(lambda x: jnp.sum(x, dtype=jnp.float32)), x)
  return {"what": f"sum of {x.nbytes / 1e9:.1f} GB", "bytes_per_second": x.nbytes / seconds}


def _best(function: Callable, *arguments) -> float:
  """Returns the seconds of the fastest call; the first call compiles and does not count."""
  jax.block_until_ready(function(*arguments))
  end, seconds = time.perf_counter() + SECONDS, []
  while not seconds or time.perf_counter() < end:
    start = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    seconds.append(time.perf_counter() - start)
  return min(seconds)
