"""The text around an answer in a chat template: from where the policy takes over, and after it.

A template renders a prompt up to where the assistant begins, and may render a whole conversation
otherwise. Between the two come

  white space           Llama 2 puts a space before an answer
  empty thoughts        Qwen 3: "<think>\\n\\n</think>\\n\\n", or their second half, where the
                        prompt ends with "<think>\\n" (Qwen 3.5)
  a channel             gpt-oss: "<|channel|>final<|message|>"

A response given as a text gets that, too: it is what the model would write before this answer. It
gets none where it has thoughts of its own. Some templates end a prompt with "<think>\\n" and render
answers without it (DeepSeek's R1, Nemotron): thoughts are then closed as Qwen 3.5 closes them, or
else every answer would be learned as a thought.
"""

import dataclasses
import re

from tasks.tokenizers.chat_template import ChatTemplate, ChatTemplateError

_OPENED = re.compile(r"<think>\s*$")  # how a prompt ends that has the model think
_CLOSED = "\n</think>\n\n"  # nothing was thought: Qwen 3.5 writes this after "<think>\n"


@dataclasses.dataclass(frozen=True)
class AnswerFrame:
  """How a template frames an answer; without one, nothing does."""

  before: str = ""  # between the prompt and an answer without thoughts
  after: str = ""
  opened: str = ""  # the end of the prompt, if that opens thoughts

  @classmethod
  def of(cls, template: ChatTemplate) -> "AnswerFrame":
    """ChatTemplateError if the template refuses a question with its answer, or leaves it out."""
    asked = [{"role": "user", "content": "QUESTION"}]
    prompt = template.render(asked)
    answered = [*asked, {"role": "assistant", "content": "ANSWER"}]
    whole = template.render(answered, add_generation_prompt=False)
    if "QUESTION" not in prompt:
      raise ChatTemplateError(f"chat template: what a user says is not in {prompt!r}")
    before, _, after = whole.rpartition("ANSWER")
    opens = _OPENED.search(prompt)
    opened = opens.group() if opens else ""
    if before.startswith(prompt):
      return cls(before.removeprefix(prompt), after, opened)
    return cls(_CLOSED if opened else "", after, opened)

  def framed(self, text: str) -> str:
    """The text of a response as it comes after its prompt."""
    if "</think>" not in text:
      return text if self._is_in(text) else self.before + text
    if self.opened and text.startswith("<think>"):  # the prompt has that already
      return text.removeprefix(self.opened).removeprefix("<think>")
    return text if "think>" in self.before else self.before + text

  def bare(self, text: str) -> str:
    """The inverse of `framed`; of what a policy wrote, the text without an empty frame."""
    return text.removeprefix(self.before)

  def _is_in(self, text: str) -> bool:
    """Whether the text begins with the frame already: one that is more than white space."""
    return bool(self.before.strip()) and text.startswith(self.before.strip())
