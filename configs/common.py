"""Every field of a config, with the value you would use today. The config files change a few.

The comment after a field is its help: python -m experiments.train --config=configs/dpo.py --help
"""

import importlib
import types

from ml_collections import ConfigDict

RESPONSES_A_STEP = 256


def defaults(loss: str) -> ConfigDict:
  """Returns all fields, locked; only `algorithm` and `optimizer` take new ones, their numbers."""
  config = ConfigDict()
  config.seed = 0  # of everything random in the run: the order of the prompts, the sampling
  config.steps = 28  # batches of groups that are collected and trained on
  config.source = "online"  # "online", "offline" (a data set), "demonstrations" (SFT) or "rounds"
  config.batch_prompts = 32  # B: prompts (groups) a step
  config.group_size = 8  # K: responses to each prompt
  config.micro_batches = 1  # pieces that a batch is cut into to save memory; the result is the same
  config.inner_epochs = 1  # mu: passes over each step's batch; old_logps stay those of collection
  config.minibatches = 1  # updates a pass, each on its share of the batch's groups, shuffled
  config.require_accelerator = False  # stop if there is none, rather than train on the CPU

  config.task = ConfigDict()
  config.task.name = "spell_backward"  # of tasks/__init__.py, of reasoning-gym, or module:function
  config.task.options = ""  # the task's, such as "min_word_len=3,max_word_len=7"; empty: defaults
  config.task.reward = ""  # a weighted sum, "numeric + 0.2*format"; empty: the task's own reward
  config.task.train_prompts = 16384  # distinct prompts to train on; 0: all, of a task of rows
  config.task.eval_prompts = 256  # distinct prompts held out
  config.task.data = ""  # for tasks of texts: a file, or the name of a data set of tasks.build

  config.model = ConfigDict()
  config.model.pretrained = ""  # a Hugging Face folder, a .gguf file, smollm2-135m, Qwen/Qwen3-0.6B
  # The shape of a model that is not pretrained; a pretrained model's files have its own.
  config.model.layers = 3  # decoder blocks
  config.model.d_model = 128  # width of the residual stream
  config.model.heads = 4  # query heads
  config.model.kv_heads = 2  # key and value heads, each shared by heads / kv_heads query heads
  config.model.head_dim = 32  # width of a head
  config.model.ff_dim = 384  # width of the SwiGLU feed-forward layer
  config.model.tied = True  # the output head is the embedding
  config.model.qk_norm = True  # RMSNorm of queries and keys, as Qwen3 has
  config.model.rope_theta = 10000.0  # base wavelength of the rotary positions
  config.model.norm_eps = 1e-6  # added to the mean square in RMSNorm
  config.model.attention = "auto"  # "plain", "xla", "cudnn", "splash"; "auto": the best there is
  config.model.logits_at_once = 2**26  # more are computed in pieces, and again in the backward pass
  config.model.remat = "dots"  # "dots" recomputes all but linear outputs; "layers": all; "none"
  config.model.lora_rank = 0  # of low-rank adapters, which alone are trained; 0: all weights are
  config.model.lora_alpha = 16.0  # adapters are scaled by lora_alpha / lora_rank
  config.model.dtype = "float32"  # of activations, or "bfloat16"; "auto": that on an accelerator

  config.base = ConfigDict()  # the policy that all runs start from; it is also the reference
  config.base.steps = 400  # updates of SFT on demonstrations; 0: none, the weights stay as they are
  config.base.demonstrations = ""  # "0.6*right + 0.4*forward"; empty: the task's own mixture
  config.base.batch_prompts = 128  # demonstrations an update
  config.base.learning_rate = 3e-3  # of that SFT, at its peak
  config.base.seed = 0  # of its weights and data; runs that share it share the base policy
  config.base.run = ""  # a finished run's folder: its policy is the base policy, without an SFT

  config.sampling = ConfigDict()
  config.sampling.max_tokens = 8  # of a response, the end-of-sequence token included
  config.sampling.temperature = 1.0  # of the policy; the trainer scores the same distribution
  config.sampling.top_k = 0  # draw among the k likeliest tokens; 0: all
  config.sampling.top_p = 1.0  # draw among the likeliest tokens of this total probability
  config.sampling.prompts_at_once = 0  # decoded together; 0: all. Fewer save memory; same responses
  config.sampling.refills = 0  # dynamic sampling: times a step may replace groups of equal rewards
  config.sampling.lag = 0  # steps that the policy which writes a batch lags behind; "online" only
  config.sampling.sync_every = 1  # steps that share the policy which writes; many: semi-online

  config.replay = ConfigDict()  # a share of every online batch was trained on before
  config.replay.share = 0.0  # of the batch's groups; 0: none. Fewer are drawn anew
  config.replay.size = 256  # groups that are kept, the latest
  config.replay.by = "uniform"  # how they are chosen: "uniform", or "advantage": by its mean size

  config.correction = ConfigDict()  # of what trainer and sampler disagree in, whatever the loss
  config.correction.weight = ""  # on the gradient: "truncate(token, 2) * veto(1e-4)"; empty: none
  config.correction.anchor = "recomputed"  # old_logps: the trainer's, or the "sampler"'s own

  config.scoring = ConfigDict()  # the rewards to train on; evaluation always shows the task's own
  config.scoring.reward = "task"  # "task" (task.reward) or "model" (the score of a reward model)
  config.scoring.model = ""  # a finished run of configs/reward_model.py; empty: one is trained
  config.scoring.seconds = 10.0  # limit for one reward function on one response; longer: unscored
  config.scoring.missing = "unscored"  # a sum where one reward says None; "skip": it is left out
  config.scoring.unfinished = 0.0  # of a response cut off; 0: the task's least (a model's is kept)
  config.scoring.overlong_tokens = 0  # soft penalty, 0 to -1, over so many last tokens; 0: none
  config.scoring.mask_truncated = False  # leave responses that were cut off out of the loss

  config.reward_model = ConfigDict()  # of scoring.reward="model", when scoring.model is empty
  config.reward_model.steps = 60  # updates, on pairs that the base policy wrote
  config.reward_model.batch_prompts = 128  # groups an update
  config.reward_model.group_size = 4  # responses to each prompt; all unequal pairs are compared
  config.reward_model.learning_rate = 5e-4  # at its peak
  config.reward_model.seed = 0  # of its data; runs that share it share the reward model

  config.reference = ConfigDict()  # begins as the base policy; TR-DPO moves it
  config.reference.every = 0  # steps between its moves towards the policy; 0: it never moves
  config.reference.run = ""  # a finished run's folder: its policy is the reference, as a teacher
  config.reference.samples = 0  # N: its responses to each prompt, for a loss that asks for them
  config.reference.memory = "device"  # where it rests: "host" frees the devices between its passes
  config.reference.mix = 1.0  # share of the policy in a move; 1: the reference becomes the policy
  config.reference.target_kl = 0.0  # algorithm.beta moves to hold train/kl there; 0: it stays

  config.optimizer = ConfigDict()  # an optimizer and a schedule add numbers of their own
  config.optimizer.name = "adamw"  # of training/optimizer.py ("lion", "muon", ...), or your own
  config.optimizer.learning_rate = 5e-4  # at its peak
  config.optimizer.warmup_steps = 0  # in which the rate rises linearly from 0
  config.optimizer.schedule = "linear"  # of training/optimizer.py ("cosine", ...), or your own
  config.optimizer.weight_decay = 0.0  # decoupled: a share of the weights, times the learning rate
  config.optimizer.max_grad_norm = 1.0  # the gradient is scaled down to this global norm

  config.offline = ConfigDict()
  config.offline.dataset = ""  # a collected one, or groups of texts; empty: the base policy's

  config.data = ConfigDict()  # how data sets of texts are read
  config.data.dir = ""  # where tasks.build put them; empty: its default
  config.data.max_prompt_tokens = 512  # a row with a longer prompt is a bad row
  config.data.skip_bad_rows = False  # leave bad rows out, counted and listed, rather than stop
  # Keys of a row; empty: those of the formats that docs/data.md lists.
  config.data.prompt = ""  # of its prompt, a text or messages
  config.data.chosen = ""  # of the better of two responses
  config.data.rejected = ""  # of the worse
  config.data.responses = ""  # of a list of responses
  config.data.scores = ""  # of their scores, or of a single response's
  config.data.answer = ""  # of what a question's answer is
  config.data.ignore = ""  # of what belongs to the prompt and may be left out: "tools,images"

  config.rounds = ConfigDict()  # of source="rounds": serve, collect, judge, train, test, deploy
  config.rounds.groups = 0  # collected (or waited for) a round; 0: steps x batch_prompts, one epoch
  config.rounds.judge = "task"  # "task" (its reward), "user" (simulated) or "people" (feedback/)
  config.rounds.temperature = 0.25  # of the user: P(a over b) = sigmoid((r_a - r_b) / temperature)
  config.rounds.noise = 0.0  # share of the user's choices that are flipped
  config.rounds.level = 0.05  # refuse a policy that tests worse at this level; 0.5: any lower mean

  config.eval = ConfigDict()
  config.eval.every = 4  # steps between evaluations
  config.eval.samples = 4  # sampled responses a prompt, for pass@k and the KL
  config.eval.right = ""  # the reward of the sum that pass@k is of; empty: the first exact one

  config.checkpoint = ConfigDict()
  config.checkpoint.every = 14  # steps between checkpoints

  config.mesh = ConfigDict()
  config.mesh.data = 1  # devices that split the prompts
  config.mesh.fsdp = 1  # devices that split the prompts and the parameters
  config.mesh.tensor = 1  # devices that split the heads and the feed-forward layer

  config.wandb = ConfigDict()
  config.wandb.mode = "auto"  # "auto" (online if logged in), "online", "offline" or "disabled"
  config.wandb.project = "counterpoint"  # W&B project
  config.wandb.entity = ""  # W&B user or team; empty: your default

  config.algorithm = ConfigDict()
  config.algorithm.loss = loss  # a loss of algorithms/, or your own as module:function

  config.lock()
  config.algorithm.unlock()
  config.optimizer.unlock()
  return config


def use_groups_of(config: ConfigDict, k: int) -> None:
  """Sets K responses a prompt, and as many prompts as make 256 responses a step, whatever K."""
  config.group_size = k
  config.batch_prompts = RESPONSES_A_STEP // max(k, 1)


def of_algorithm(name: str) -> ConfigDict:
  """Returns the config of configs/<name>.py. ArgumentError if there is none."""
  try:
    return importlib.import_module(f"configs.{name}").get_config()
  except (ModuleNotFoundError, AttributeError):
    raise ArgumentError(
      f"algorithm={name}: there is no configs/{name}.py of an algorithm"
    ) from None


def use_task(config: ConfigDict, name: str) -> None:
  """Sets the task of this name, for a pretrained model that starts as it is, without an SFT."""
  config.task.name, config.task.reward = name, ""
  config.base.steps = 0


def use_scored_texts(config: ConfigDict, data: str, model: str) -> None:
  """Sets offline training of a pretrained model on groups of texts with scores, on a GPU."""
  use_task(config, "groups")
  config.source, config.task.data = "offline", data
  config.task.train_prompts = 0
  config.model.pretrained, config.model.remat, config.model.dtype = model, "layers", "auto"
  config.sampling.max_tokens = 256
  config.optimizer.learning_rate = 5e-6
  config.eval.every = config.checkpoint.every = 25
  config.eval.samples = 1
  if "desirable_weight" in config.algorithm:  # pairs have as many desirable as undesirable ones
    config.algorithm.desirable_weight = 1.0


class ArgumentError(ValueError):
  """An argument, such as k=8 in `configs/grpo.py:k=8`, that the config file does not take."""


def parse_arg(arg: str, **defaults: int | float | str) -> types.SimpleNamespace:
  """parse_arg("k=4", k=8, name="x") -> .k == 4, .name == "x"; the defaults give the types."""
  takes = "it takes " + ",".join(f"{name}={value}" for name, value in defaults.items())
  values = dict(defaults)
  for part in filter(None, arg.split(",")):
    name, _, text = part.partition("=")
    if name not in defaults:
      raise ArgumentError(f"no argument {name!r}; {takes}")
    kind = type(defaults[name])
    try:
      values[name] = kind(text)
    except ValueError:
      raise ArgumentError(f"{name} is {kind.__name__}, {text!r} is not; {takes}") from None
  return types.SimpleNamespace(**values)
