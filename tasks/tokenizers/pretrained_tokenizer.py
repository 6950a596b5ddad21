"""The tokenizer that comes with a pretrained model, with its chat template.

Everything special is taken from the files; where they leave a choice, the rules are:

  the ends  all that the files call an end (Llama 3 and Qwen have several) end a response; the first
            of them, which demonstrations end with, is the one that the chat template puts after an
            answer; without a template, the tokenizer's own
  padding   the files' padding token; if there is none, or it is an end, the unknown token, or else
            the first that is no end. Masks say what is padding, so any token would do.
  BOS       one, before everything else, if the tokenizer adds one or the template has it
  responses go on from their prompt: no space that nobody wrote comes first (`continuing.py`). What
            the template itself puts before an answer (a space, empty thoughts), `encode` puts there
            too, and `decode` takes it away (`answer_frame.py`)
"""

import functools
import hashlib
import itertools
from collections.abc import Sequence

import numpy as np

from tasks.rows.row import Prompt, messages_of, prompt_of
from tasks.tokenizers import gguf_vocabulary, tokenizer_files
from tasks.tokenizers.answer_frame import AnswerFrame
from tasks.tokenizers.chat_template import ChatTemplate, ChatTemplateError, Message
from tasks.tokenizers.continuing import continuing
from tasks.tokenizers.tokenizer_files import TokenizerError, TokenizerFiles

_SLACK = 8  # tokens that a message's words may add where they meet the template's


class PretrainedTokenizer:
  """A `tasks.tokenizers.tokenizer.Tokenizer` over the files of a pretrained model."""

  def __init__(
    self,
    files: TokenizerFiles,
    eos_ids: Sequence[int] = (),
    bos_id: int | None = None,
    pad_id: int | None = None,
  ):
    """`eos_ids`, `bos_id`, `pad_id`: what the model's own config says, beside the tokenizer's.

    Raises:
      TokenizerError: no token is an end; the template is broken, or adds a second BOS.
    """
    self._path, self._tokens, self._adds_bos = files.path, files.tokens, files.adds_bos
    ids = set(files.tokens.get_vocab(with_added_tokens=True).values())
    self._going_on = continuing(files.tokens)
    self._ids, self.vocab_size = frozenset(ids), max(ids) + 1

    named = {role: files.tokens.token_to_id(token) for role, token in files.special_tokens.items()}
    ends = [named.get("eos_token"), *eos_ids]
    self._ends = tuple(dict.fromkeys(end for end in ends if end in ids))
    if not self._ends:
      raise TokenizerError(
        f"{files.path} names no token that ends a text: tokenizer_config.json's eos_token or "
        "config.json's eos_token_id would, or a GGUF file's tokenizer.ggml.eos_token_id"
      )
    self.bos_id = bos_id if named.get("bos_token") is None else named["bos_token"]
    paddings = [named.get("pad_token"), pad_id, named.get("unk_token"), *range(self.vocab_size)]
    self.pad_id = next(i for i in paddings if i in ids and i not in self._ends)

    self._prompts: dict[Prompt, tuple[int, ...]] = {}
    self._around: dict[tuple[str, ...], int] = {}  # the tokens around messages of these roles
    self._template, self._frame = None, AnswerFrame()
    if files.template is not None:
      try:
        self._template = ChatTemplate(files.template, files.special_tokens)
        self._frame = AnswerFrame.of(self._template)
      except ChatTemplateError as error:
        raise TokenizerError(f"{files.path}: {error}") from None
    about = (files.template, sorted(files.special_tokens.items()), files.adds_bos)
    self._about = (*about, self._frame) if self._frame.before.strip() else about
    after = self._encode(self._frame.after)
    self.eos_id = next((i for i in after if i in self._ends), self._ends[0])
    self.eos_ids = (self.eos_id, *(end for end in self._ends if end != self.eos_id))
    if self.chats:
      self.encode_prompt("?")  # a template with a BOS too many is known before it is needed

  def __str__(self) -> str:
    end, padding = (self._tokens.id_to_token(i) for i in (self.eos_id, self.pad_id))
    return (
      f"{self.vocab_size:,} tokens, end {end!r} ({self.eos_id}), padding {padding!r} "
      f"({self.pad_id}), {'with' if self.chats else 'no'} chat template"
    )

  @property
  def chats(self) -> bool:
    return self._template is not None

  def encode_prompt(self, prompt: Prompt) -> list[int]:
    """As messages, up to where the assistant begins; a text alone, if there is no template.

    Kept: a chat template takes a millisecond, and a data set has its prompts read several times.
    """
    if prompt not in self._prompts:
      if self.chats or not isinstance(prompt, str):
        ids = self.encode_messages(messages_of(prompt))
      else:
        ids = self._with_bos(self._encode(prompt))
      self._prompts[prompt] = tuple(ids)
    return list(self._prompts[prompt])

  @functools.cached_property
  def digest(self) -> str:
    about = f"{self._tokens.to_str()} {self._about} {self.bos_id} {self.eos_ids} {self.pad_id}"
    return hashlib.sha256(about.encode()).hexdigest()

  def most_prompt_tokens(self, prompt: Prompt) -> int:
    """A byte is a token at most, and the template adds as many as it does around other words."""
    messages = messages_of(prompt)
    roles = tuple(message["role"] for message in messages)
    if roles not in self._around:
      others = tuple((role, "word") for role in roles)
      empty = len(self.encode_prompt(prompt_of(messages_of(others)))) + _SLACK * len(roles)
      self._around[roles] = empty
    normalizer = self._tokens.normalizer
    texts = (message["content"] for message in messages)
    normal = (normalizer.normalize_str(text) if normalizer else text for text in texts)
    return self._around[roles] + sum(len(text.encode()) for text in normal)

  def encode_messages(self, messages: Sequence[Message]) -> list[int]:
    """A conversation in the chat template, up to where the assistant begins its answer.

    ChatTemplateError when the template refuses the messages, TokenizerError when there is none.
    """
    if self._template is None:
      raise TokenizerError(f"{self._path} has no chat template, and messages need one")
    return self._with_bos(self._encode(self._template.render(messages)))

  def encode(self, text: str) -> list[int]:
    return self._going_on.encode(self._frame.framed(text), add_special_tokens=False).ids

  def takes(self, text: str) -> bool:
    return not any(end in text for end in self._spelled_ends)

  @functools.cached_property
  def _spelled_ends(self) -> tuple[str, ...]:
    """The texts that become ends, as the vocabulary has them and as they are written."""
    named = (self._tokens.id_to_token(end) for end in self.eos_ids)
    written = (self._tokens.decode([end], skip_special_tokens=False) for end in self.eos_ids)
    return tuple(dict.fromkeys(filter(None, (*named, *written))))

  def decode(self, ids: Sequence[int] | np.ndarray) -> str:
    """The text up to an end. Other special tokens show, and ids without a token show as "�"."""
    written = itertools.takewhile(lambda i: i not in self.eos_ids, (int(i) for i in ids))
    pieces = []
    for known, run in itertools.groupby(written, self._ids.__contains__):
      run = list(run)
      pieces.append(
        self._going_on.decode(run, skip_special_tokens=False) if known else "�" * len(run)
      )
    return self._frame.bare("".join(pieces))

  def _encode(self, text: str) -> list[int]:
    """Of a text that nothing comes before."""
    return self._tokens.encode(text, add_special_tokens=False).ids

  def spelled(self, ids: Sequence[int] | np.ndarray) -> str:
    return self._tokens.decode([int(i) for i in ids], skip_special_tokens=False)

  def _with_bos(self, ids: list[int]) -> list[int]:
    """Puts a BOS first where one belongs and is not. (A BOS further on may open another turn.)"""
    if self.bos_id is None:
      return ids
    if ids[:2] == [self.bos_id] * 2:
      raise TokenizerError(
        f"{self._path}: the chat template begins with two BOS tokens; take one out of it"
      )
    if self._adds_bos and ids[:1] != [self.bos_id]:
      return [self.bos_id, *ids]
    return ids


@functools.cache
def load(
  path: str,
  *,
  embeddings: int,
  eos_ids: tuple[int, ...] = (),
  bos_id: int | None = None,
  pad_id: int | None = None,
) -> PretrainedTokenizer:
  """The tokenizer of a Hugging Face folder or a .gguf file.

  Args:
    embeddings: rows of the model's embedding. More than tokens is usual (rows were added to make
      the number round); fewer cannot be.
    eos_ids, bos_id, pad_id: what the model's config says.

  Raises:
    TokenizerError: in one line, with the file.
  """
  is_gguf = path.endswith(".gguf")
  try:
    files = gguf_vocabulary.read(path) if is_gguf else tokenizer_files.read_folder(path)
    tokenizer = PretrainedTokenizer(files, eos_ids, bos_id, pad_id)
  except (TypeError, LookupError, AttributeError, OverflowError) as error:
    # A word of the files is of a kind that nobody asks for where it is read.
    what = f"{type(error).__name__}: {error}".replace("\n", " ")[:200]
    raise TokenizerError(f"{path}: its files do not describe a tokenizer ({what})") from None
  if tokenizer.vocab_size > embeddings:
    raise TokenizerError(
      f"{path}: the tokenizer has {tokenizer.vocab_size:,} tokens and the model embeds only "
      f"{embeddings:,}; they do not belong together"
    )
  return tokenizer
