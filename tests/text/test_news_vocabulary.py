"""How far the default vocabulary goes on real news that it has not learnt from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_languages import REAL_VOCAB
from tokenizers import Encoding, Tokenizer

from xtts_framework.config import TokenizerConfig
from xtts_framework.model.tiny import train_vocabulary
from xtts_framework.plugins import load_plugins
from xtts_framework.text.tokenizer import UNKNOWN, encode_texts
from xtts_framework.text.vocabulary import extend_vocab, read_vocab, unreachable_tokens

NEWS = Path(__file__).parents[3] / "shared" / "data" / "am_news_sentences.txt"
"""Sentences of Amharic newspapers, where somebody has put them beside the repository; no part of the project."""
EVERY = 10
"""One sentence of ten is held out."""


def test_2000_tokens_shorten_news_they_have_not_learnt_from() -> None:
    if not NEWS.is_file():
        pytest.skip("no news beside the repository (../shared/data/am_news_sentences.txt)")
    base = read_vocab(REAL_VOCAB) if REAL_VOCAB.is_file() else train_vocabulary()
    plugins = load_plugins()
    pack = plugins.pack("am", {})
    readings = [plugins.read_text(pack, line) for line in NEWS.read_text(encoding="utf-8").splitlines()]
    accepted = list(dict.fromkeys(normalized for normalized, problems in readings if not problems))
    held_out = accepted[::EVERY]
    training = [text for index, text in enumerate(accepted) if index % EVERY]
    assert len(held_out) > 200

    vocab, report = extend_vocab(base, [(pack, training)], TokenizerConfig().new_tokens, None)
    tokenizer = Tokenizer.from_str(json.dumps(vocab))
    encodings: list[Encoding] = list(encode_texts(tokenizer, "am", held_out))
    characters = sum(map(len, held_out))
    tokens = sum(len(encoding) - 1 for encoding in encodings)
    assert report["added_tokens"] == 2000
    assert characters / tokens >= 1.55
    assert not any(UNKNOWN in encoding.tokens for encoding in encodings)
    assert not unreachable_tokens(tokenizer, vocab["model"]["vocab"].keys() - base["model"]["vocab"].keys())
