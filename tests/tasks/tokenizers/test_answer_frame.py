"""What templates write around an answer, in the shapes that published ones have.

All 60 of TRL 1.16.0 were tried (docs/models.md): each shows the prompt, and all but two kinds
render a conversation as its prompt, the frame, the answer and what comes after.
"""

import pytest

from tasks.tokenizers.answer_frame import AnswerFrame
from tasks.tokenizers.chat_template import ChatTemplate, ChatTemplateError

USER = "{% for m in messages %}{% if m.role == 'user' %}[u]{{ m.content }}{% endif %}{% endfor %}"
GENERATES = "{% if add_generation_prompt %}[a]BEGIN{% endif %}"


def template(begin: str, answer: str) -> ChatTemplate:
  """The assistant's turn begins with `begin`; a turn that is there already reads `answer`."""
  own = "{% set text = messages[-1].content %}{% if messages[-1].role == 'assistant' %}[a]"
  source = USER + own + answer + "{% endif %}" + GENERATES.replace("BEGIN", begin)
  return ChatTemplate(source, {})


PLAIN = template("", "{{ text }}<end>")
LLAMA_2 = template("", " {{ text }} <end>")
QWEN_3 = template("", "<think>\n\n</think>\n\n{{ text }}<end>")
QWEN_3_5 = template("<think>\n", "<think>\n\n</think>\n\n{{ text }}<end>")
R1 = template("<think>\n", "{{ text }}<end>")  # renders no thoughts
NEMOTRON = template("<think>\n", "<think></think>{{ text }}<end>")
GPT_OSS = template("", "<|channel|>final<|message|>{{ text }}<|return|>")


@pytest.mark.parametrize(
  "template, framed, thinking",
  [
    (PLAIN, "12", "<think>\na\n</think>12"),
    (LLAMA_2, " 12", " <think>\na\n</think>12"),
    (QWEN_3, "<think>\n\n</think>\n\n12", "<think>\na\n</think>12"),
    (QWEN_3_5, "\n</think>\n\n12", "a\n</think>12"),
    (R1, "\n</think>\n\n12", "a\n</think>12"),
    (NEMOTRON, "\n</think>\n\n12", "a\n</think>12"),
    (GPT_OSS, "<|channel|>final<|message|>12", "<|channel|>final<|message|><think>\na\n</think>12"),
  ],
)
def test_an_answer_comes_as_the_model_would_write_it(template, framed, thinking):
  frame = AnswerFrame.of(template)
  assert frame.framed("12") == framed
  assert frame.bare(framed) == "12"
  assert frame.framed("<think>\na\n</think>12") == thinking
  if template not in (R1, NEMOTRON):
    messages = [{"role": "user", "content": "7+5"}]
    answered = [*messages, {"role": "assistant", "content": "12"}]
    whole = template.render(answered, add_generation_prompt=False)
    assert whole == template.render(messages) + framed + frame.after


def test_what_is_framed_already_is_left_so():
  frame = AnswerFrame.of(QWEN_3)
  assert frame.framed("<think>\n\n</think>\n\n12") == "<think>\n\n</think>\n\n12"
  assert frame.framed("so</think>12") == "so</think>12"  # thoughts without a beginning
  frame = AnswerFrame.of(GPT_OSS)
  assert frame.framed("<|channel|>final<|message|>12") == "<|channel|>final<|message|>12"
  assert AnswerFrame.of(QWEN_3_5).framed("a</think>12") == "a</think>12"
  assert AnswerFrame.of(QWEN_3_5).framed("<think>a</think>12") == "a</think>12"


def test_without_a_template_nothing_is_framed():
  assert AnswerFrame().framed("12") == "12" == AnswerFrame().bare("12")


PARTS = (  # SmolVLM's and Idefics' way: a plain text is left out; LLaVA's refuses it
  "{% for m in messages %}[{{ m.role }}]{% for part in m.content %}"
  "{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}{% endfor %}"
  "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def test_a_template_of_a_model_that_reads_images_gets_texts_as_parts():
  asked = [{"role": "user", "content": "7+5"}]
  assert ChatTemplate(PARTS, {}).render(asked) == "[user]7+5[assistant]"
  strict = PARTS.replace("part.type == 'text'", "part.text.strip()")
  assert ChatTemplate(strict, {}).render(asked) == "[user]7+5[assistant]"


def test_a_template_that_leaves_out_what_is_asked_is_refused():
  with pytest.raises(ChatTemplateError, match="what a user says is not in '\\[a\\]'"):
    AnswerFrame.of(ChatTemplate("[a]", {}))
