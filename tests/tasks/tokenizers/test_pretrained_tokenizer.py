"""Tokenizers as folders and GGUF files hold them, each tiny and written by the test."""

import struct

import pytest

from tasks.tokenizers import pretrained_tokenizer
from tasks.tokenizers.pretrained_tokenizer import PretrainedTokenizer
from tasks.tokenizers.tokenizer_files import TokenizerError, read_folder
from tests.tasks.tokenizers.tiny_tokenizer import (
  BOS,
  CHATML,
  END,
  EOS,
  MERGES,
  PAD,
  SPECIAL,
  TOKENS,
  UNK,
  folder,
)


def tokenizer(path, *, eos_ids=(), **about):
  return PretrainedTokenizer(read_folder(folder(path, **about)), eos_ids)


def ids(text):
  return [TOKENS.index(token) for token in text.replace(" ", "Ġ").split("|")]


def test_what_the_model_sees_is_the_prompt_and_then_the_response(tmp_path):
  tokens = tokenizer(tmp_path)
  assert tokens.encode("hel") == ids("hel") and tokens.encode("he") == ids("he")
  assert tokens.encode_prompt("he") + tokens.encode("l") == ids("he|l")  # not merged across
  assert tokens.encode_prompt("a longer text") == tokens.encode("a longer text")  # not truncated
  assert tokens.decode([*tokens.encode("été, he\n"), EOS, END]) == "été, he\n"
  assert tokens.vocab_size == len(TOKENS) and not tokens.chats


def test_what_a_policy_drew_shows_so_that_it_cannot_pass_for_the_answer(tmp_path):
  tokens = tokenizer(tmp_path)
  assert tokens.decode([*ids("12"), PAD, BOS, len(TOKENS), *ids("he"), EOS]) == "12<pad><s>�he"


@pytest.mark.parametrize(
  "about, prompt",
  [
    ({}, "he"),
    ({"adds_bos": True}, "<s>|he"),
    ({"add_bos_token": True}, "<s>|he"),
    ({"adds_bos": True, "add_bos_token": False}, "he"),
    ({"chat_template": "{{ messages[0].content }}"}, "he"),
    ({"chat_template": "{{ bos_token }}{{ messages[0].content }}"}, "<s>|he"),
    ({"chat_template": "{{ bos_token }}{{ messages[0].content }}", "adds_bos": True}, "<s>|he"),
    ({"chat_template": "{{ messages[0].content }}", "adds_bos": True}, "<s>|he"),
  ],
)
def test_there_is_one_bos_if_there_is_any(tmp_path, about, prompt):
  assert tokenizer(tmp_path, **about).encode_prompt("he") == ids(prompt)


def test_a_second_bos_is_an_error(tmp_path):
  template = "{{ bos_token }}<s>{{ messages[0].content }}"
  with pytest.raises(TokenizerError, match="begins with two BOS tokens"):
    tokenizer(tmp_path, chat_template=template)


def test_a_chat_opens_the_assistants_turn_and_a_prompt_is_a_users_message(tmp_path):
  tokens = tokenizer(tmp_path, chat_template=CHATML, eos_ids=(END,))
  asked = tokens.encode_prompt("he")
  assert asked == tokens.encode("[user]he") + [END] + tokens.encode("[assistant]")
  system = [{"role": "system", "content": "12"}, {"role": "user", "content": "he"}]
  assert tokens.encode_messages(system) == tokens.encode("[system]12<end>") + asked
  with pytest.raises(TokenizerError, match="has no chat template"):
    tokenizer(tmp_path).encode_messages(system)


@pytest.mark.parametrize(
  "template, eos_ids, end",
  [
    (None, (), EOS),
    (None, (END, EOS), EOS),  # the tokenizer's own
    (CHATML, (EOS, END), END),  # as Llama 3, Qwen: the config lists both, the template ends a turn
    (CHATML, (), EOS),  # <end> is no end to this model
    (CHATML.replace("<end>", ""), (EOS, END), EOS),
  ],
)
def test_the_end_is_that_of_a_turn(tmp_path, template, eos_ids, end):
  tokens = tokenizer(tmp_path, chat_template=template, eos_ids=eos_ids)
  assert tokens.eos_id == end
  assert tokens.decode([*ids("he"), end, *ids("he")]) == "he"


@pytest.mark.parametrize(
  "pad, unk, pad_id", [("<pad>", "<unk>", PAD), (None, "<unk>", UNK), ("</s>", None, UNK)]
)
def test_padding_is_never_the_end(tmp_path, pad, unk, pad_id):
  tokens = tokenizer(tmp_path, pad_token=pad, unk_token=unk)
  assert tokens.pad_id == pad_id != tokens.eos_id
  assert str(tokens).startswith(f"265 tokens, end '</s>' (2), padding '{SPECIAL[pad_id]}'")


def test_newer_folders_keep_the_template_in_a_file_and_older_ones_the_names(tmp_path):
  path = folder(tmp_path, chat_template=[{"name": "tools", "template": "t"}], eos_token=None)
  (tmp_path / "special_tokens_map.json").write_text('{"eos_token": "<end>", "bos_token": "no"}')
  assert read_folder(path).template is None  # none of that name
  (tmp_path / "chat_template.jinja").write_text(CHATML)
  tokens = PretrainedTokenizer(read_folder(path))
  assert tokens.chats and tokens.eos_id == END


def test_what_is_missing_or_does_not_fit_is_an_error(tmp_path):
  with pytest.raises(TokenizerError, match="has no tokenizer.json; transformers"):
    pretrained_tokenizer.load(str(tmp_path), embeddings=9)
  path = folder(tmp_path)
  with pytest.raises(TokenizerError, match="has 265 tokens and the model embeds only 264"):
    pretrained_tokenizer.load(path, embeddings=len(TOKENS) - 1)
  assert pretrained_tokenizer.load(path, embeddings=320).vocab_size == len(TOKENS)
  with pytest.raises(TokenizerError, match="names no token that ends a text"):
    tokenizer(tmp_path, eos_token=None, eos_ids=(9999,))
  with pytest.raises(TokenizerError, match="chat template line 1"):
    tokenizer(tmp_path, chat_template="{% if %}")
  (tmp_path / "tokenizer.json").write_text("{")
  with pytest.raises(TokenizerError, match="tokenizer.json: "):
    read_folder(path)


# --- GGUF ---------------------------------------------------------------------------------------


def gguf(path, **changes):
  """A GGUF file without tensors, by the format's description: magic, version, counts, values."""
  control = [3] * len(SPECIAL)
  about = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.tokens": TOKENS,
    "tokenizer.ggml.token_type": control + [1] * (len(TOKENS) - len(SPECIAL)),
    "tokenizer.ggml.merges": [" ".join(merge) for merge in MERGES],
    "tokenizer.ggml.bos_token_id": BOS,
    "tokenizer.ggml.eos_token_id": END,
    "tokenizer.ggml.padding_token_id": END,
    "tokenizer.ggml.unknown_token_id": UNK,
    "tokenizer.chat_template": CHATML,
  } | {key.replace("__", "."): value for key, value in changes.items()}

  def text(value):
    return struct.pack("<Q", len(value.encode())) + value.encode()

  def typed(value):
    if isinstance(value, bool):
      return 7, struct.pack("<?", value)
    if isinstance(value, int):
      return 5, struct.pack("<i", value)
    if isinstance(value, str):
      return 8, text(value)
    kind = typed(value[0])[0]
    items = b"".join(typed(item)[1] for item in value)
    return 9, struct.pack("<IQ", kind, len(value)) + items

  content = b"GGUF" + struct.pack("<IQQ", 3, 0, len(about))
  for key, value in about.items():
    kind, packed = typed(value)
    content += text(key) + struct.pack("<I", kind) + packed
  file = path / "model.gguf"
  file.write_bytes(content)
  return str(file)


def test_the_vocabulary_in_a_gguf_file_is_that_of_the_folder(tmp_path):
  tokens = pretrained_tokenizer.load(gguf(tmp_path), embeddings=300)
  same = tokenizer(tmp_path, chat_template=CHATML, eos_token="<end>")
  for text in ("he said, the hel\n", "été <end> l", "the  two\t "):
    assert tokens.encode_prompt(text) == same.encode_prompt(text)
    assert tokens.decode(tokens.encode(text)) == same.decode(same.encode(text))
  assert tokens.encode("12") == ids("1|2")  # SmolLM2 reads digits one by one, merges or not
  assert tokens.eos_id == END and tokens.pad_id == UNK


def test_a_gguf_file_says_whether_a_bos_is_added(tmp_path):
  path = gguf(
    tmp_path,
    tokenizer__ggml__add_bos_token=True,
    tokenizer__chat_template="{{ messages[0].content }}",
  )
  assert pretrained_tokenizer.load(path, embeddings=300).encode_prompt("he") == ids("<s>|he")


def test_another_kind_of_vocabulary_in_a_gguf_file_is_named(tmp_path):
  with pytest.raises(TokenizerError, match="is gpt2 / qwen2, and of GGUF files only gpt2 / smollm"):
    pretrained_tokenizer.load(gguf(tmp_path, tokenizer__ggml__pre="qwen2"), embeddings=300)
