"""Learns merges that go on where those of a vocabulary stop."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tokenizers import Tokenizer, models, trainers

from xtts_framework.text.tokenizer import encode_texts

MIN_MERGE_COUNT = 2
"""A pair seen once in the texts is chance, not language."""
FIRST_SYMBOL = 0xF0000
"""First code point of Unicode's private planes, which have room for 131,068 tokens."""


class Corpus(NamedTuple):
    """Texts to learn from.

    Args:
        code: language code.
        texts: normalised.
        mergeable: ids of the tokens that merges may join; all others stay apart.
    """

    code: str
    texts: Sequence[str]
    mergeable: frozenset[int]


def learn_merges(spelled: Tokenizer, corpora: Sequence[Corpus], max_tokens: int) -> list[tuple[str, str]]:
    """Train a BPE on texts that `spelled` has already cut into tokens.

    Old merges act before new ones, so a new merge must join what they leave apart, or it would never be reached.
    Therefore one symbol stands for one token of `spelled`, and the training sees texts of such symbols. The texts of
    all languages count together: frequent pairs come first, whatever their language.

    Returns:
        Merges in order of priority; their results are at most `max_tokens` new tokens, each one reached.
    """
    mergeable = frozenset[int]().union(*(corpus.mergeable for corpus in corpora))
    learner = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=len(mergeable) + max_tokens,
        min_frequency=MIN_MERGE_COUNT,
        initial_alphabet=[_symbol(index) for index in sorted(mergeable)],
        show_progress=False,
    )
    learner.train_from_iterator(_runs(spelled, corpora), trainer)
    merges = json.loads(learner.to_str())["model"]["merges"]
    tokens = {_symbol(index): token for token, index in spelled.get_vocab().items()}
    return [("".join(map(tokens.__getitem__, left)), "".join(map(tokens.__getitem__, right))) for left, right in merges]


def _runs(spelled: Tokenizer, corpora: Iterable[Corpus]) -> Iterator[str]:
    """Stretches of mergeable tokens within one word, each token as its symbol."""
    for corpus in corpora:
        for encoding in encode_texts(spelled, corpus.code, corpus.texts):
            pieces = [
                (index in corpus.mergeable, word, _symbol(index))
                for word, index in zip(encoding.word_ids, encoding.ids, strict=True)
            ]
            for (is_mergeable, _), run in itertools.groupby(pieces, key=lambda piece: piece[:2]):
                if is_mergeable:
                    yield "".join(symbol for _, _, symbol in run)


def _symbol(index: int) -> str:
    return chr(FIRST_SYMBOL + index)
