"""The tokenizer reads as coqui does, in the languages of the packs."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from small_languages import AMHARIC, Amharic, Yoruba, small_vocab, write_vocab
from tokenizers import Tokenizer

from xtts_framework.errors import UserError
from xtts_framework.text.tokenizer import XttsTokenizer
from xtts_framework.text.vocabulary import extend_vocab, row_count

VOCAB = extend_vocab(small_vocab(), [(Amharic(), AMHARIC)], 160, None)[0]


@pytest.fixture
def vocab(tmp_path: Path) -> Path:
    return write_vocab(tmp_path / "vocab.json", VOCAB)


@pytest.fixture
def tokenizer(vocab: Path) -> XttsTokenizer:
    return XttsTokenizer(vocab, {"am": Amharic()})


def test_text_opens_with_the_tag_and_spaces_are_tokens(vocab: Path, tokenizer: XttsTokenizer) -> None:
    plain = Tokenizer.from_file(str(vocab))
    assert tokenizer.encode("  ሰላም   ለሁሉም። ", "am") == plain.encode("[am]ሰላም[SPACE]ለሁሉም።").ids
    assert tokenizer.encode("ሰላም", "am")[0] == VOCAB["model"]["vocab"]["[am]"]


def test_normalised_text_is_not_normalised_again(tokenizer: XttsTokenizer) -> None:
    assert tokenizer.encode_normalized("ሰላም", "am") == tokenizer.encode(" ሰላም ", "am")
    assert tokenizer.encode_normalized(" ሰላም", "am") != tokenizer.encode(" ሰላም", "am")


def test_ids_decode_to_the_text(tokenizer: XttsTokenizer) -> None:
    for text in AMHARIC:
        ids = tokenizer.encode(text, "am")
        assert tokenizer.decode([*ids, 0]) == f"[am]{text}"


def test_it_reads_and_writes_like_coquis_tokenizer(vocab: Path, tokenizer: XttsTokenizer) -> None:
    torch = pytest.importorskip("torch")
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer

    class CoquiWithoutCleaners(VoiceBpeTokenizer):  # type: ignore[misc]
        def preprocess_text(self, txt: str, lang: str) -> str:
            return Amharic().normalize(txt)

    coqui = CoquiWithoutCleaners(str(vocab))
    for text in AMHARIC:
        for language in ("am", "am-ET"):
            ids = coqui.encode(text, language)
            assert tokenizer.encode(text, language) == ids
            assert tokenizer.decode(torch.tensor(ids)) == coqui.decode(torch.tensor(ids))
    assert len(tokenizer) == len(coqui)
    assert tokenizer.get_number_tokens() == coqui.get_number_tokens() == row_count(VOCAB)
    assert tokenizer.char_limits["am"] == 250
    assert callable(tokenizer.tokenizer.token_to_id)


def test_long_text_is_not_cut(tokenizer: XttsTokenizer) -> None:
    assert len(tokenizer.encode("ሀ " * 600, "am")) == 1200


def test_a_language_without_a_pack_is_refused_by_name(tokenizer: XttsTokenizer) -> None:
    for language in ("ti", "en"):
        with pytest.raises(UserError, match=f"'{language}'.*am"):
            tokenizer.encode("ሰላም", language)


def test_a_vocabulary_without_the_language_is_refused(vocab: Path) -> None:
    with pytest.raises(UserError, match=r"vocab\.json.*\[yo\]"):
        XttsTokenizer(vocab, {"am": Amharic(), "yo": Yoruba()})


def test_an_unreadable_vocabulary_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.json"):
        XttsTokenizer(tmp_path / "gone.json", {})
    (tmp_path / "half.json").write_text('{"model": ')
    with pytest.raises(UserError, match=r"half\.json"):
        XttsTokenizer(tmp_path / "half.json", {})


def test_it_travels_to_other_processes(tokenizer: XttsTokenizer) -> None:
    copied = pickle.loads(pickle.dumps(tokenizer))
    assert copied.encode(AMHARIC[0], "am") == tokenizer.encode(AMHARIC[0], "am")
