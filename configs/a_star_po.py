"""A*-PO: regression of log-ratios on rewards less V*, estimated from responses of the reference.

V* takes n responses of the reference to each prompt, once: a prompt that comes again costs K
rollouts. A step has 256 at most. The paper's K is 1 and its prompts come 25 times; here few come
again, so that K responses share an estimate.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
  config, args = common.defaults("a_star_po"), common.parse_arg(arg, k=8, n=8)
  config.group_size, config.reference.samples = args.k, args.n
  config.batch_prompts = common.RESPONSES_A_STEP // max(args.k + args.n, 1)
  return config
