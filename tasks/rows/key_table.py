"""The keys under which rows hold their parts, and whose spelling each is.

One table: a format that is to be read, too, is a line of it. A row may mix lines ("instruction" of
one, "chosen" of another). The pages are those of 2025; docs/data.md says what becomes of each.
"""

import difflib
import re
from typing import NamedTuple


class Spelling(NamedTuple):
  """The keys of one part of a row; those of responses come before that of their scores."""

  part: str
  keys: tuple[str, ...]
  source: str


_TRL = "TRL: huggingface.co/docs/trl/dataset_formats"
_OPENAI = (
  "OpenAI, Together, Fireworks: platform.openai.com/docs/guides/direct-preference-optimization"
)
_VERTEX = "Vertex AI: cloud.google.com/vertex-ai/generative-ai/docs/models/tune-gemini-preference"
_NEMO = "NeMo: docs.nvidia.com/nemo/rl/latest/guides/dpo.html"
_VERL = "verl: verl.readthedocs.io/en/latest/preparation/prepare_data.html"
_FACTORY = "LLaMA-Factory: github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md"
_AXOLOTL = "Axolotl: docs.axolotl.ai/docs/rlhf.html"
_ARGILLA = "argilla, distilabel: huggingface.co/datasets/argilla/distilabel-intel-orca-dpo-pairs"
_HELPSTEER = "HelpSteer 1 and 2: huggingface.co/datasets/nvidia/HelpSteer2"

TABLE = (
  # A prompt, in the order in which it is looked for. All that are there must agree.
  Spelling("prompt", ("prompt",), f"{_TRL}; {_VERL}; {_NEMO}"),
  Spelling(
    "prompt", ("messages",), f"{_TRL}; open-instruct: huggingface.co/datasets/allenai/RLVR-GSM"
  ),
  Spelling("prompt", ("question",), "orca_dpo_pairs: huggingface.co/datasets/Intel/orca_dpo_pairs"),
  Spelling("prompt", ("conversations",), f"ShareGPT, {_FACTORY}"),
  Spelling("prompt", ("contents",), _VERTEX),
  Spelling("prompt", ("trajectory",), "huggingface.co/datasets/openbmb/UltraInteract_pair"),
  # A prompt where none of those is. "input" is the second part of "instruction".
  Spelling("instruction", ("instruction",), f"Alpaca, {_FACTORY}; argilla, UltraFeedback"),
  Spelling("input", ("input",), f"{_FACTORY}; alone: {_AXOLOTL} (chatml.icr); {_ARGILLA}"),
  Spelling(
    "context", ("context",), f"beside 'completions': {_NEMO}; beside 'response1': HelpSteer3"
  ),
  # The first message.
  Spelling("system", ("system",), f"{_FACTORY}; {_AXOLOTL}; orca_dpo_pairs"),
  Spelling("system", ("system_prompt",), "the same"),
  Spelling("system", ("system_message",), "the same"),
  Spelling("system", ("system_instruction",), _VERTEX),
  Spelling("system", ("systemInstruction",), _VERTEX),
  Spelling("history", ("history",), _FACTORY),
  # Two responses, the better first.
  Spelling("pair", ("preferred_response", "dispreferred_response"), "our own"),
  Spelling("pair", ("chosen", "rejected"), _TRL),
  Spelling("pair", ("preferred_output", "non_preferred_output"), _OPENAI),
  Spelling("pair", ("chosen_response", "rejected_response"), f"{_NEMO}; argilla"),
  # K responses and their scores, which items of the first may hold as well.
  Spelling("group", ("responses", "scores"), "our own"),
  Spelling("group", ("responses", "rewards"), _VERL),
  Spelling("group", ("completions", "scores"), f"{_VERTEX}; {_NEMO}; UltraFeedback"),
  Spelling("group", ("generations", "ratings"), _ARGILLA),
  Spelling("group", ("generations", "rating"), _ARGILLA),
  Spelling("group", ("answers", "ranks"), "huggingface.co/datasets/berkeley-nest/Nectar"),
  # Two responses and which is better: below 0 the first, above 0 the second.
  Spelling(
    "two", ("response1", "response2", "overall_preference"), "hf.co/datasets/nvidia/HelpSteer3"
  ),
  Spelling("two", ("response_1", "response_2", "preference_strength"), _HELPSTEER),
  # One response, and whether it is good: true or false, or a number.
  Spelling("single", ("completion",), _TRL),
  Spelling("single", ("response",), _HELPSTEER),
  Spelling("single", ("output",), f"Alpaca, {_FACTORY}"),
  Spelling("label", ("label",), _TRL),
  Spelling("label", ("kto_tag",), _FACTORY),
  Spelling("score", ("helpfulness",), _HELPSTEER),
  Spelling("score", ("score",), "our own"),
  Spelling("score", ("reward",), "our own"),
  # What the response should say.
  Spelling("answer", ("answer",), "GSM8K: github.com/openai/grade-school-math"),
  Spelling("answer", ("ground_truth",), "open-instruct: huggingface.co/datasets/allenai/RLVR-GSM"),
  Spelling("answer", ("reward_model",), _VERL),
)
# Of an item of a group.
ITEM_TEXTS = ("response", "completion", "answer")
ITEM_SCORES = ("score", "overall_score", "rank")

LISTED = ". The row has "  # how a hint begins that knows no better
KNOWN = frozenset(key for spelling in TABLE for key in spelling.keys) | {"logps"}


def keys_of(part: str) -> tuple[str, ...]:
  """The first keys of a part, in their order."""
  return tuple(spelling.keys[0] for spelling in TABLE if spelling.part == part)


def all_of(part: str) -> tuple[tuple[str, ...], ...]:
  """The keys of each spelling of a part."""
  return tuple(spelling.keys for spelling in TABLE if spelling.part == part)


# --- what is not read ---------------------------------------------------------------------------

# What a model is shown beside the prompt. Not read, so refused unless it is empty or the prompt
# says it already.
CONTEXT = frozenset(
  "history context query problem passage document documents article background choices options "
  "tools functions image images video videos audio audios input instruction".split()
)
# Of messages: a template would show them.
OF_MESSAGES = (
  *("tool_calls", "function_call", "reasoning_content", "reasoning", "thinking"),
  *("images", "audio"),
)
_PROMPT_WORDS = frozenset(
  "prompt question instruction instructions query input context problem conversation conversations "
  "dialogue dialog history user human messages message trajectory passage article document post "
  "text".split()
)
_ABOUT = frozenset(  # a "prompt_id" is no prompt
  "id ids idx index len length source type name hash tokens category score scores rating language "
  "lang template count model date time topic split num url subreddit".split()
)
# What people call the parts; only to tell them. None is a guess: each names its part and no other.
_OTHER_NAMES = {
  "prompt": "query problem user human user_prompt context passage post text instruction input",
  "chosen": "accepted winner win better good positive preferred y_w response_j chosen_text "
  "chosen_response preferred_response preferred_output",
  "rejected": "loser lose worse bad negative dispreferred y_l response_k rejected_text "
  "rejected_response dispreferred_response non_preferred_output",
  "responses": "candidates samples outputs",
  "scores": "score reward rating labels",
  "answer": "solution target gold label final_answer expected_answer correct_answer",
}


def looks_like_a_prompt(key: str) -> bool:
  """Whether a key that is not read may hold the prompt: "Prompt", "user_query", "promt"."""
  words = re.sub(r"[^a-z]+", " ", key.lower()).split()
  if not words or words[-1] in _ABOUT:
    return False
  return bool(_PROMPT_WORDS.intersection(words)) or bool(near(key, ("prompt", "question")))


def near(key: str, names: tuple[str, ...]) -> str:
  """The name that this key is a slip of the pen for; "" where it may mean something else."""
  for name in names:
    alike = difflib.SequenceMatcher(None, key.lower(), name).ratio()
    if alike >= 0.85 and abs(len(key) - len(name)) <= 1 and key not in KNOWN:
      return name
  return ""


def hint(keys: tuple[str, ...], part: str, names: tuple[str, ...] = ()) -> str:
  """The end of a message about a missing part: what there is, and how to name it.

  Args:
    part: a field of config.data.
    names: keys under which it would be read, a slip of which is told; `part` if there are none.
  """
  for key in keys:
    if name := near(key, names or (part,)):
      typed = f" --config.data.{part}={key} reads it" if name == part else ""
      return f". There is {key!r}: did you mean {name!r}?{typed}"
  other = next((key for key in keys if key.lower() in _OTHER_NAMES[part].split()), "")
  if other:
    return f". --config.data.{part}={other} reads {other!r} as it"
  return f"{LISTED}{', '.join(map(repr, keys)) or 'no keys'}"
