"""A prompt's tokens and a response's spell the two texts, whatever the tokenizer's family."""

import pytest

from tasks.tokenizers.chat_template import ChatTemplate
from tasks.tokenizers.pretrained_tokenizer import PretrainedTokenizer
from tasks.tokenizers.tokenizer_files import read_folder
from tests.tasks.tokenizers.families import FAMILIES, folder

RESPONSES = ("12", " 12", "hello", "  hello, 12 ", "\n12", "été\n\n", "", " ", "a  b")
# The shapes of templates that models have come with.
ZEPHYR = (
  "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}</s>\n{% endfor %}"
  "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
LLAMA_2 = (
  "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
  "{% else %} {{ m.content }} </s>{% endif %}{% endfor %}"
)
THINKS = (  # an earlier answer without its thoughts, the last one with an empty place for them
  "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' and loop.last %}"
  "<think>\n\n</think>\n\n{% endif %}{{ m.content }}</s>{% endfor %}"
  "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tokens_of_a_prompt_and_a_response_spell_the_two(tmp_path, family):
  files = read_folder(folder(tmp_path, family))
  tokens = PretrainedTokenizer(files)
  for response in RESPONSES:
    ids = tokens.encode(response)
    assert tokens.decode([*ids, tokens.eos_id]) == response
    for prompt in ("7+5=", "he said:\n", "Once"):
      text = files.tokens.decode([*tokens.encode_prompt(prompt), *ids], skip_special_tokens=False)
      assert text.removeprefix(" ") == prompt + response


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("template", [ZEPHYR, LLAMA_2, THINKS])
def test_a_conversation_begins_with_its_prompt_and_its_response(tmp_path, family, template):
  files = read_folder(folder(tmp_path, family, chat_template=template))
  tokens = PretrainedTokenizer(files)
  messages = [{"role": "user", "content": "7+5"}, {"role": "assistant", "content": "12"}]
  whole = ChatTemplate(template, files.special_tokens).render(messages, add_generation_prompt=False)
  text = files.tokens.decode(
    [*tokens.encode_prompt("7+5"), *tokens.encode("12"), tokens.eos_id], skip_special_tokens=False
  )
  text = text.removeprefix(" ").replace("</s> ", "</s>")  # as after any special token
  assert whole.replace(" </s>", "</s>").startswith(text)
  assert tokens.decode([*tokens.encode("12"), tokens.eos_id]) == "12"
  assert tokens.decode(tokens.encode(" 12")) == " 12"


def test_what_a_policy_writes_without_the_templates_space_is_read_as_it_is(tmp_path):
  tokens = PretrainedTokenizer(read_folder(folder(tmp_path, "Llama 2", chat_template=LLAMA_2)))
  assert tokens.decode(tokens.encode("12")) == "12" == tokens.decode(tokens.encode("12")[1:])
