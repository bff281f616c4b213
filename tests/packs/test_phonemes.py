"""The frontend g2p: Ethiopic letters become phonemes, in the pack's normalisation and in the vocabulary."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from xtts_framework.config import ProjectConfig
from xtts_framework.model.tiny import train_vocabulary
from xtts_framework.plugins import LanguagePack, load_plugins
from xtts_framework.text.tokenizer import UNKNOWN, XttsTokenizer, tagged
from xtts_framework.text.vocabulary import extend_vocab, unreachable_tokens
from xtts_plugins.amharic.lexicon import PHONEMES as AMHARIC
from xtts_plugins.ethiopic import Phonemes
from xtts_plugins.ethiopic.phonemes import OA_LETTERS
from xtts_plugins.tigrinya.lexicon import PHONEMES as TIGRINYA

epitran = pytest.importorskip("epitran", reason="the extra g2p is not installed")

REPOSITORY = Path(__file__).parents[2]
DOCUMENT = (REPOSITORY / "docs" / "packs" / "amharic-g2p.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([^`]*[\u1200-\u135a][^`]*)` \| `([^`]+)` (\|.*)?\|$", re.MULTILINE)
SYLLABARY = [
    letter
    for first, last in ((0x1200, 0x135A), (0x1380, 0x138F), (0x2D80, 0x2DDE), (0xAB01, 0xAB2E))
    for letter in map(chr, range(first, last + 1))
    if unicodedata.category(letter) == "Lo"
]
COMMON = [letter for letter in SYLLABARY if "ለ" <= letter <= "ፐ"]
TEXTS = ["ሰላም ለዓለም።", "ቋንቋችን ጥሩ ነው፣ ቋንቋችን።", "ጠቅላይ ሚኒስትሩ bbc ላይ ተናገሩ።", "የጠቅላይ ሚኒስትሩ ቋንቋ።"]


@pytest.fixture(scope="module")
def pack() -> LanguagePack:
    return load_plugins().pack("am", {"frontend": "g2p"})


def rows(title: str) -> list[tuple[str, str]]:
    [table] = [part for part in DOCUMENT.split("\n\n") if part.startswith(f"| written | {title}")]
    found = [(written, reading) for written, reading, _ in ROW.findall(table)]
    assert len(found) == len(table.splitlines()) - 2
    return found


@pytest.mark.parametrize(("written", "reading"), rows("Amharic"))
def test_amharic_is_read_as_documented(written: str, reading: str) -> None:
    assert AMHARIC.read(written) == reading


@pytest.mark.parametrize(("written", "reading"), rows("Tigrinya"))
def test_tigrinya_is_read_as_documented(written: str, reading: str) -> None:
    assert TIGRINYA.read(written) == reading


@pytest.mark.parametrize("language", [AMHARIC, TIGRINYA])
def test_the_alphabet_is_what_the_whole_syllabary_is_read_as(language: Phonemes) -> None:
    readings = "".join(language.read(f"{letter}ለ") for letter in SYLLABARY)
    assert set(readings) - set(SYLLABARY) == language.alphabet


@pytest.mark.parametrize("language", [AMHARIC, TIGRINYA])
def test_no_letter_of_the_two_languages_is_left(language: Phonemes) -> None:
    """Ethiopic without the letters for Sebat Bet Gurage, Oromo (ዸ), Awngi (ጘ) and others."""
    left = [letter for letter in COMMON if letter in language.read(letter)]
    assert left == list("ዸዹዺዻዼዽዾዿ")


def test_the_document_lists_the_alphabet() -> None:
    amharic, tigrinya = re.findall(r"^`(a b d .*)` and.*\n`(.*)`; with", DOCUMENT, flags=re.MULTILINE)[0]
    assert {*amharic.split(), "\u0361"} == AMHARIC.alphabet
    assert {*amharic.split(), *tigrinya.split(), "\u0361"} == TIGRINYA.alphabet


@pytest.mark.parametrize("language", [AMHARIC, TIGRINYA])
def test_words_are_read_by_epitran(language: Phonemes) -> None:
    """Respelt first; with IPA's apostrophe replaced after."""
    reference = epitran.Epitran(language.epitran_code)

    @settings(max_examples=100)
    @given(word=st.text(alphabet=SYLLABARY, max_size=8))
    def check(word: str) -> None:
        expected = reference.transliterate(
            word.translate(str.maketrans(OA_LETTERS | dict(language.respellings)))
        ).replace("ʼ", "ˀ")
        assert language.read(word) == expected

    check()


def test_letters_for_oa_are_read_as_o() -> None:
    for letter, reading in OA_LETTERS.items():
        assert unicodedata.name(letter) == unicodedata.name(reading)[:-1] + "OA"


@pytest.mark.parametrize("language", [AMHARIC, TIGRINYA])
@given(text=st.text(alphabet=st.one_of(st.sampled_from([*SYLLABARY, *"።፣፧፨.,!?'\"- "]), st.characters())))
@settings(max_examples=100)
def test_a_reading_is_not_read_again_and_all_else_stays(language: Phonemes, text: str) -> None:
    reading = language.read(text)
    assert language.read(reading) == reading
    others = re.compile(r"[^\u1200-\u135a\u1380-\u138f\u2d80-\u2dde\uab01-\uab2e]")
    kept = iter(reading)
    assert all(character in kept for character in others.findall(text)), "something was lost or moved"


def test_normalising_a_reading_changes_nothing(pack: LanguagePack) -> None:
    @settings(max_examples=150)
    @given(text=st.text(alphabet=st.sampled_from([*COMMON, *"።፣፧።፡.,!?'\"ʼ- ()abcXY125፩፲"]), max_size=40))
    def check(text: str) -> None:
        reading = pack.normalize(text)
        assert pack.normalize(reading) == reading == pack.normalize(text.lower())

    check()


def test_numbers_and_abbreviations_are_read_before(pack: LanguagePack) -> None:
    raw = "በ2015 ዓ.ም. ዶ/ር አበበ 3 መጻሕፍት ጻፈ።"
    spelt = load_plugins().pack("am", {}).normalize(raw)
    reading = pack.normalize(raw)
    assert reading == AMHARIC.read(spelt)
    assert "sost" in reading.replace("ɨ", "") and "doktər" in reading.replace("ɨ", "")
    assert pack.check(raw, reading) == []


def test_sentences_are_divided_at_ethiopic_marks(pack: LanguagePack) -> None:
    text = pack.normalize("ሰላም ለዓለም። ደህና ነህ፧ አዎ።")
    assert pack.split_sentences(text, 13) == ["səlam ləaləm።", "dəhɨna nəh፧", "awo።"]


def test_a_letter_without_a_reading_is_a_reason_to_refuse(pack: LanguagePack) -> None:
    [problem] = pack.check("ሰላⶄም", pack.normalize("ሰላⶄም"))
    assert problem.code == "unknown_character" and "U+2D84" in problem.detail


def test_the_vocabulary_spells_every_phoneme_and_learns_to_merge_them(pack: LanguagePack) -> None:
    texts = [pack.normalize(text) for text in TEXTS]
    base = train_vocabulary()
    lengths = {}
    for own_merges in (None, True):
        vocab, _ = extend_vocab(base, [(pack, texts)], 400, own_merges)
        tokenizer = Tokenizer.from_str(json.dumps(vocab))
        added = vocab["model"]["vocab"].keys() - base["model"]["vocab"].keys()
        assert not unreachable_tokens(tokenizer, added)
        assert not any("\u1200" <= character <= "\u135a" for token in added for character in token)
        encodings = [tokenizer.encode(tagged(text, "am")) for text in [*texts, *pack.alphabet]]
        assert not any(UNKNOWN in encoding.tokens for encoding in encodings)
        lengths[own_merges] = sum(map(len, encodings[: len(texts)]))
    assert lengths[True] < 0.6 * lengths[None]


def test_a_word_without_an_end_takes_no_time_to_speak_of() -> None:
    """Epitran alone takes time quadratic in the length: hours, for this."""
    started = time.monotonic()
    AMHARIC.read("".join(COMMON) * 700)
    assert time.monotonic() - started < 20


def test_training_and_speaking_read_alike(pack: LanguagePack, tmp_path: Path) -> None:
    """A raw text, as it is spoken, and the manifest's `normalized`, as it is trained on, have the same ids."""
    vocab, _ = extend_vocab(train_vocabulary(), [(pack, map(pack.normalize, TEXTS))], 400, True)
    (tmp_path / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    tokenizer = XttsTokenizer(tmp_path / "vocab.json", {"am": pack})
    for text in TEXTS:
        ids = tokenizer.encode(text, "am")
        assert ids == tokenizer.encode_normalized(pack.normalize(text), "am")
        assert tokenizer.decode(ids) == f"[am]{pack.normalize(text)}"


def test_the_documented_project_is_one() -> None:
    [block] = re.findall(r"```yaml\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    project = ProjectConfig.model_validate(yaml.safe_load(block))
    language = project.datasets["news"].language
    assert load_plugins().pack(language.code, language.options).normalize("ሰላም") == "səlam"
    assert project.runs["amharic"].tokenizer.own_merges


def run_python(program: str, *, path: Path | None = None) -> str:
    """Output of a fresh interpreter; with `path`, one that sees this folder in place of the installed packages."""
    options = ["-S"] if path else []
    paths = [str(REPOSITORY), *([str(path)] if path else [])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, *options, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    return done.stdout


def test_reading_needs_neither_torch_nor_the_root_logger() -> None:
    program = """
import logging, sys
from xtts_framework.plugins import load_plugins
packs = load_plugins()
assert "epitran" not in sys.modules
print(packs.pack("am", {"frontend": "g2p"}).normalize("ሰላም"))
print({"torch", "TTS"} & sys.modules.keys(), logging.getLogger().level, logging.getLogger().handlers)
"""
    assert run_python(program).splitlines() == ["səlam", "set() 30 []"]


def test_without_epitran_the_remedy_is_named_and_the_rest_works(tmp_path: Path) -> None:
    for installed in Path(epitran.__file__).parents[1].iterdir():
        if not installed.name.startswith("epitran"):
            (tmp_path / installed.name).symlink_to(installed)
    program = """
from xtts_framework.errors import UserError
from xtts_framework.plugins import load_plugins
plugins = load_plugins()
print(plugins.pack("am", {}).normalize("ሰላም"))
try:
    plugins.pack("am", {"frontend": "g2p"})
except UserError as error:
    print(error)
"""
    output = run_python(program, path=tmp_path)
    assert output.startswith("ሰላም\n")
    assert "pip install 'xtts-framework[g2p]'" in output
