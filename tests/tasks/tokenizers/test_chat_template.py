import pytest

from tasks.tokenizers.chat_template import ChatTemplate, ChatTemplateError

# The shapes that real templates have: SmolLM2's loop, Llama 2's BOS and order of roles, Llama 3.2's
# date, Qwen's json. What is expected is what transformers 5.23 gave for the same text.
CHATML = """{% for message in messages %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}"""
STRICT = """{{ bos_token }}
{%- for message in messages %}
  {%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
    {{- raise_exception('Roles must alternate') }}
  {%- endif %}
  {%- if message.role == 'user' %}
    {{- '[INST] ' + message.content | trim + ' [/INST]' }}
  {%- else %}
    {%- generation %}{{ ' ' + message.content + eos_token }}{% endgeneration %}
  {%- endif %}
{%- endfor %}"""
USER = [{"role": "user", "content": "Hi <b> & 'x'"}]
TALK = [*USER, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "More\n"}]


@pytest.mark.parametrize(
  "template, messages, opens, text",
  [
    (CHATML, USER, True, "<|im_start|>user\nHi <b> & 'x'<|im_end|>\n<|im_start|>assistant\n"),
    (CHATML, USER, False, "<|im_start|>user\nHi <b> & 'x'<|im_end|>\n"),
    (STRICT, USER, True, "<s>[INST] Hi <b> & 'x' [/INST]"),
    (
      STRICT,
      TALK,
      True,
      "<s>[INST] Hi <b> & 'x' [/INST] Yes.</s>[INST] More [/INST]",
    ),
    ("{{ messages[0] | tojson }}", USER, True, '{"role": "user", "content": "Hi <b> & \'x\'"}'),
    ("{% for m in messages %}a{% break %}{% endfor %}{{ pad_token }}", TALK, True, "a"),
  ],
)
def test_a_template_is_rendered_as_transformers_does(template, messages, opens, text):
  special = {"bos_token": "<s>", "eos_token": "</s>"}
  assert ChatTemplate(template, special).render(messages, add_generation_prompt=opens) == text


def test_a_template_is_told_the_same_day_every_day():
  assert ChatTemplate("{{ strftime_now('%d %b %Y') }}", {}).render([]) == "26 Jul 2024"


def test_a_template_that_refuses_or_breaks_says_so_in_a_line():
  with pytest.raises(ChatTemplateError, match="messages of user, user: Roles must alternate"):
    ChatTemplate(STRICT, {"bos_token": "<s>"}).render([*USER, *USER])
  with pytest.raises(ChatTemplateError, match="chat template line 2"):
    ChatTemplate("a\n{% for %}", {})
  with pytest.raises(ChatTemplateError, match="has no attribute"):
    ChatTemplate("{{ messages[0].content.parts.first }}", {}).render(USER)


@pytest.mark.parametrize(
  "attack", ["{{ ''.__class__.__mro__ }}", "{{ messages.append(1) }}", "{{ messages.clear() }}"]
)
def test_a_template_runs_in_a_sandbox(attack):
  messages = list(USER)
  try:
    assert "class" not in ChatTemplate(attack, {}).render(messages)
  except ChatTemplateError:
    pass
  assert messages == USER
