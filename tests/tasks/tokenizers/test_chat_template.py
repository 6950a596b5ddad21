import signal
import threading

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
  with pytest.raises(ChatTemplateError, match="unsafe"):
    ChatTemplate(attack, {}).render(USER)


@pytest.mark.parametrize(
  ("bomb", "reason"),
  [
    ("{% for i in range(10**9) %}a{% endfor %}", "Range too big"),
    (
      "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
      "more time or memory",
    ),
    ("{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}", "1,000,000 characters more"),
    ("{{ 'a' * 10**10 }}", "more than 1,024 MiB"),
    ("{{ 'a' * 10**8 }}", "1,000,000 characters more"),
    ("{{ 7 ** (10 ** 9) }}", "more time or memory"),
    ("{{ '%4000000000d' % 1 }}", "more than 1,024 MiB"),
    ("{{ 'a'.center(10**10) | length }}", "more than 1,024 MiB"),
    ("{{ ('a' * 10**6).replace('', 'a' * 10**6) }}", "more than 1,024 MiB"),
    ("{{ [0] * 10**9 }}", "more than 1,024 MiB"),
    ("{{ {'a': [1]} | tojson(indent=10**10) }}", "more than 1,024 MiB"),
    (
      "{% set n = namespace(x='a') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
      "more than 1,024 MiB",
    ),
    ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "calls itself without an end"),
    (
      "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(64) }}",
      "was stopped",
    ),
    ("{{ " + "(" * 10_000 + ")" * 10_000 + " }}", "without an end"),
    ("{{ " + "-" * 100_000 + "1 }}", "without an end|was stopped"),
    ("{{ 1 / 0 }}", "ZeroDivisionError"),
    ("{{ messages.popitem() }}", "has no attribute"),
    ("{{ lipsum(n=10**7) }}", "was stopped"),
    ("{% include 'etc/passwd' %}", "no loader"),
    ("{{ cycler.__init__.__globals__.os.environ }}", "unsafe"),
  ],
)
def test_a_template_that_takes_too_much_is_refused_in_a_line(bomb, reason):
  with pytest.raises(ChatTemplateError, match=reason) as error:
    ChatTemplate(bomb, {}).render(USER)
  assert "\n" not in str(error.value) and len(str(error.value)) < 300


def test_after_a_conversation_that_took_too_much_the_next_is_rendered():
  template = ChatTemplate("{% for m in messages %}{{ m.n ** (m.n ** m.n) }}.{% endfor %}", {})
  with pytest.raises(ChatTemplateError, match="was stopped"):
    template.render([{"role": "user", "content": "a", "n": 9}])
  assert template.render([{"role": "user", "content": "a", "n": 2}]) == "16."


@pytest.mark.parametrize("while_it_answers", [False, True])
def test_a_process_that_somebody_killed_is_begun_again(while_it_answers):
  template = ChatTemplate("{{ messages[0].content }}", {})
  process = template._renderer._processes[0]
  if while_it_answers:
    process.send_signal(signal.SIGSTOP)
    threading.Timer(0.2, process.kill).start()
  else:
    process.kill()
  assert template.render(USER) == USER[0]["content"]


class Unread:
  """An output whose reader is interrupted."""

  def __init__(self, stream):
    self._stream = stream

  def readline(self):
    raise KeyboardInterrupt

  def __getattr__(self, name):
    return getattr(self._stream, name)


def test_after_an_interrupt_the_next_text_is_not_the_one_before(monkeypatch):
  template = ChatTemplate("{{ messages[0].content }}", {})

  process = template._renderer._processes[0]
  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    patch.setattr(process, "stdout", Unread(process.stdout))
    template.render([{"role": "user", "content": "one"}])
  assert template.render([{"role": "user", "content": "two"}]) == "two"


def test_the_process_of_a_template_knows_no_secret_and_ends_with_it(monkeypatch):
  monkeypatch.setenv("HF_TOKEN", "marked")
  template = ChatTemplate("{{ messages[0].content }}", {})
  process = template._renderer._processes[0]
  with open(f"/proc/{process.pid}/environ", "rb") as file:
    assert b"marked" not in file.read()
  long = "é" * 3_000_000  # longer than a pipe holds, both ways
  assert template.render([{"role": "user", "content": long}]) == long
  del template
  assert process.poll() is not None
