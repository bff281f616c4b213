"""The languages that XTTS-v2 speaks already: read as coqui reads them, with nothing new in the vocabulary."""

from __future__ import annotations

import json
import re
import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xtts_framework.config import ProjectConfig
from xtts_framework.errors import UserError
from xtts_framework.model.tiny import LANGUAGES as CODES
from xtts_framework.plugins import LanguagePack, Plugins, load_plugins
from xtts_framework.text.tokenizer import XttsTokenizer, language_tag
from xtts_framework.text.vocabulary import extend_vocab, language_tags, read_vocab
from xtts_plugins.native.languages import LANGUAGES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "packs" / "native.md").read_text("utf-8")
REAL_VOCAB = ROOT.parent / "shared" / "data" / "xtts_vocab.json"
NEWER_THAN_REAL_VOCAB = ("hu", "ko", "hi")
EXTRAS = {language.code: language.modules for language in LANGUAGES if language.modules}

TEXTS = {
    "en": [
        "Hello Mr. Smith, that will be $20 sir. And 20.15€, £5 or #1 & more @ home?",
        "There were 50 soldiers in 12.5 seconds: 1st, 2nd, 3rd, 21st. That's 100,000.5, or 1,234,567.",
        'Prof. Lee, e.g., said "it\'s 30° and 50%". Dr. Who… 007 – in 1984; St. John’s Co. Ltd. (No. 5)!',
    ],
    "es": ["La Dra. Martinez tiene 1.500 euros & 20,15€. Este es un 1er test: 12,5% @ 30°.", "¿Qué? 50! $20 £3 #1."],
    "fr": ["Ceci est un 1er test, la 2ème fois. Mme. Moreau paie 20,15€ & 100.000,5 francs.", "C’est à 14° – 50%."],
    "de": ["Dies ist ein 1. Test. Frau Dr. Müller zahlt 20,15€ für 1.234 Äpfel.", "Am 3. Oktober 1990: 12,5% & $5."],
    "it": ["Questo è un 1° test. Sig. Rossi paga 20,15€ per 1.000 mele & 12,5%.", "C'erano 50 soldati @ casa."],
    "pt": ["Este é um 1º teste. O Sr. Silva tem 20,15€, 100% & 12,5°.", "A Dra. Costa, 50 anos."],
    "pl": ["P. Kowalski ma 20,15€ i 12,5 km. Było 50 żołnierzy & 14%.", "Dnia 3. maja 1791 r."],
    "tr": ["İstanbul'da 50 asker vardı. Bu 1. test & %14.", "B. Yılmaz 12,5 saniye. ÖĞÜŞÇ 1.250."],
    "ru": ["Это будет 20.15€ сэр. Г-н Иванов, 1-й, 12.5 & 5%.", "Ёж: 1,250 рублей."],
    "nl": ["Dhr. Jansen heeft 1.250 euro, de 2de & 3e. 20,15€ of 12,5%.", "Mevr. de Vries @ 30°."],
    "cs": ["Za 12,5 vteřiny bylo 50 vojáků & 14%.", "To bude 20.15€ pane. Ing. Novák. Den 1. máje."],
    "ar": ["كان هناك 50 جنديًا، 12,5؟", "لدي 14% في البطارية & 1.000."],
    "zh-cn": ["你好，世界！我有3个苹果。今天是2023年5月7日。", "50%的人（3.5公里）？ 电话13812345678。ABC好 mp3。"],
    "hu": ["Dr. Szabó itt van. 12,5 másodperc, 50 katona & 14%.", "Ez az 1. teszt, 3. fejezet."],
    "ko": ["안녕하세요, 저는 20살 입니다. 12.5 초 & 14%!", "이것은 1 번째 테스트입니다."],
    "ja": [
        "こんにちは、世界！私は三個のリンゴがあります。東京へ。",
        "「はい！」と言った。「え？」ヴァイオリン・コーヒー。",
    ],
    "hi": ["मेरे पास बैटरी है। क्यों & कब?", "50 सैनिक थे।"],
}
"""Numbers, money, ordinals, abbreviations and symbols of each language, and what its cleaners fail on."""

COQUI = """
import json, sys
from xtts_framework.plugins import load_plugins
texts, vocab = json.load(sys.stdin)
ours = {code: [load_plugins().pack(code, {}).normalize(text) for text in each] for code, each in texts.items()}
assert not {"torch", "TTS"} & set(sys.modules), "a text needs no torch"
from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer
tokenizer = VoiceBpeTokenizer(vocab)
once = lambda text, code: tokenizer.preprocess_text(text, code.split("-")[0])

def clean(text, code):
    try:
        cleaned = once(text, code)
        if code not in ("zh-cn", "ja"):  # romanised once, or the tones would be read as numbers
            cleaned = once(cleaned, code)
    except Exception as error:
        return None
    return cleaned

cleaned = {code: [clean(text, code) for text in each] for code, each in texts.items()}
ids = {code: [tokenizer.encode(text, code) if clean(text, code) else None for text in each]
       for code, each in texts.items() if code != "de"}
json.dump([ours, cleaned, ids], sys.stdout)
"""


def set_up(code: str) -> LanguagePack:
    for module in EXTRAS.get(code, ()):
        pytest.importorskip(module)
    return load_plugins().pack(code, {})


def rejects(code: str, text: str) -> list[str]:
    pack = set_up(code)
    return [problem.code for problem in pack.check(text, pack.normalize(text))]


def table(heading: str) -> list[list[str]]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip().removeprefix("`").removesuffix("`") for cell in row] for row in rows]


def train_small_vocab(path: Path) -> Path:
    """A vocabulary in XTTS's format with every language's tag and alphabet, and some merges."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    characters = {character for language in LANGUAGES for character in language.letters + language.marks} - {" "}
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[STOP]", "[UNK]", "[SPACE]", "[START]", *map(language_tag, CODES)]
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=special, initial_alphabet=sorted(characters), show_progress=False
    )
    tokenizer.train_from_iterator([text.lower() for texts in TEXTS.values() for text in texts], trainer)
    tokenizer.save(str(path))
    return path


@pytest.fixture(scope="module")
def small_vocab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_small_vocab(tmp_path_factory.mktemp("vocab") / "vocab.json")


@pytest.fixture(scope="module")
def read_by_coqui(small_vocab: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Our readings, then coqui's readings and ids, all made in one process: ours leaves coqui's import as it was."""
    from importlib.util import find_spec

    texts = {code: TEXTS[code] for code in TEXTS if all(map(find_spec, EXTRAS.get(code, ())))}
    question = json.dumps([texts, str(small_vocab)])
    done = subprocess.run([sys.executable, "-c", COQUI], input=question, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    ours, cleaned, ids = json.loads(done.stdout)
    return ours, cleaned, ids


def test_all_languages_of_xtts_are_offered() -> None:
    infos = {info.name: info for info in load_plugins().infos}
    assert sorted(infos["native"].languages) == sorted(CODES) == sorted(TEXTS)


@pytest.mark.parametrize("code", CODES)
def test_a_text_is_read_as_coqui_reads_it(code: str, read_by_coqui: tuple[dict[str, Any], ...]) -> None:
    ours, cleaned, _ = read_by_coqui
    set_up(code)
    for text, reading, expected in zip(TEXTS[code], ours[code], cleaned[code], strict=True):
        if expected is None:
            assert rejects(code, text) == ["not_cleaned"]
        else:
            assert reading == expected
            assert not rejects(code, text)


def test_the_cleaners_fail_on_hindi_and_czech_numbers_alone(read_by_coqui: tuple[dict[str, Any], ...]) -> None:
    _, cleaned, _ = read_by_coqui
    assert [(code, texts.index(None)) for code, texts in cleaned.items() if None in texts] == [("cs", 1), ("hi", 1)]


@pytest.mark.parametrize("code", [code for code in CODES if code != "de"])
def test_a_text_has_the_ids_that_coqui_gives_it(
    code: str, read_by_coqui: tuple[dict[str, Any], ...], small_vocab: Path
) -> None:
    """Not German, whose number words coqui leaves in capitals."""
    _, _, ids = read_by_coqui
    tokenizer = XttsTokenizer(small_vocab, {code: set_up(code)})
    for text, expected in zip(TEXTS[code], ids[code], strict=True):
        if expected is not None:
            assert tokenizer.encode(text, code) == expected
            assert tokenizer.encode(text, code.split("-")[0]) == expected


@pytest.mark.parametrize("code", CODES)
def test_a_known_language_adds_nothing_to_a_vocabulary(code: str, small_vocab: Path) -> None:
    require_unchanged(read_vocab(small_vocab), set_up(code))


@pytest.mark.parametrize("code", [code for code in CODES if code not in NEWER_THAN_REAL_VOCAB])
def test_a_known_language_adds_nothing_to_xttss_vocabulary(code: str) -> None:
    require_unchanged(read_real_vocab(), set_up(code))


def require_unchanged(vocab: dict[str, Any], pack: LanguagePack) -> None:
    texts = [pack.normalize(text) for text in TEXTS[pack.code] * 20]
    extended, report = extend_vocab(vocab, [(pack, texts)], new_tokens=500, own_merges=True)
    assert json.dumps(extended) == json.dumps(vocab)
    assert report["added_tokens"] == report["added_merges"] == 0


def test_korean_and_hungarian_use_letters_of_xttss_vocabulary() -> None:
    known = read_real_vocab()["model"]["vocab"].keys() | {" "}
    assert set_up("ko").alphabet <= known
    assert set_up("hu").alphabet - known == {"ő", "ű"}


def read_real_vocab() -> dict[str, Any]:
    if not REAL_VOCAB.is_file():
        pytest.skip("the vocabulary of an early XTTS-v2 does not lie beside the repository")
    vocab = read_vocab(REAL_VOCAB)
    assert {language_tag(code) for code in CODES if code not in NEWER_THAN_REAL_VOCAB} <= language_tags(vocab).keys()
    return vocab


@pytest.mark.parametrize(("code", "written", "becomes"), table("What becomes of a text"))
def test_the_page_tells_what_becomes_of_a_text(code: str, written: str, becomes: str) -> None:
    assert set_up(code).normalize(written) == becomes
    assert rejects(code, written) == []


@pytest.mark.parametrize(("reject", "code", "text", "why"), table("What is refused"))
def test_the_page_tells_what_is_refused(reject: str, code: str, text: str, why: str) -> None:
    assert rejects(code, text) == [reject]


def test_the_page_lists_every_language_with_what_it_needs() -> None:
    listed = {code: (name, tuple(re.findall(r"\w+", needs))) for code, name, needs, _ in table("The languages")}
    assert listed == {language.code: (language.name, language.modules) for language in LANGUAGES}
    assert all(f"pip install 'xtts-framework[{language.extra}]'" in PAGE for language in LANGUAGES if language.modules)


def test_the_page_shows_a_run_that_replays_a_language() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    runs = ProjectConfig.model_validate(yaml.safe_load(block)).runs
    assert {name: use.share for name, use in runs["mixed"].datasets.items()} == {"amharic": None, "english": 0.1}


@pytest.mark.parametrize(("code", "module"), [("zh-cn", "pypinyin"), ("ja", "cutlet"), ("ja", "unidic_lite")])
def test_a_missing_package_is_named_with_what_to_install(
    code: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins: Plugins = load_plugins()
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(UserError, match=rf"needs .*{module}.*\n.*pip install 'xtts-framework\[(zh|ja)\]"):
        plugins.pack(code, {})
    assert plugins.pack("en", {}).normalize("Hi 2") == "hi two"


ODD = st.text(st.characters(exclude_categories=())) | st.text(
    st.sampled_from(string.ascii_letters + " .,:%&$€£°\"'0123456789你好。！はい가हé\u0301\u0307\u0345İIıßΣσ\u200b")
)


@pytest.mark.parametrize("code", ["de", "tr", "zh-cn", "ja"])
@settings(max_examples=40, deadline=None)
@given(text=ODD)
@example(text="i\u0307\u0301\u0307 i\u0345\u0307 I\u0307\u0307")
@example(text="ni3 hao3 你好 a12 mp3 😀5")
@example(text="mp3，“4”")
@example(text="1 € 2 € € 3\u00a0€ ¡ 4")
@example(text="e¡\u0301 1¡2")
def test_any_text_is_read_the_same_twice_and_in_lower_case(code: str, text: str) -> None:
    pack = set_up(code)
    normalized = pack.normalize(text)
    assert pack.normalize(normalized) == normalized == pack.normalize(text.lower())
    assert pack.check(text, normalized) or set(normalized) <= pack.alphabet


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("piece", ["7", "1,", ".", "你"])
def test_what_would_take_coqui_hours_is_refused_at_once(code: str, piece: str) -> None:
    assert rejects(code, piece * 100_000)


def test_a_refused_sentence_is_named() -> None:
    pack = set_up("cs")
    text = "To je dobré. To bylo 1. máje. A dost."
    (problem,) = pack.check(text, pack.normalize(text))
    assert "'to bylo 1.'" in problem.detail
    assert "in words" in problem.detail


@pytest.mark.parametrize(
    ("code", "text", "sentences"),
    [
        (
            "en",
            "Prof. Lee met Dr. Who vs. Mr. Xu. They left.",
            ["prof. lee met doctor who vs. mister xu.", "they left."],
        ),
        ("de", "Das ist z.B. Hr. Maier. Ja!", ["das ist z.b. hr. maier.", "ja!"]),
        ("ar", "كيف حالك؟ بخير.", ["كيف حالك؟", "بخير."]),
        ("hi", "डॉ. सिंह आए। कब?", ["डॉ. सिंह आए।", "कब?"]),
    ],
)
def test_sentences_end_at_marks_but_not_at_abbreviations(code: str, text: str, sentences: list[str]) -> None:
    pack = set_up(code)
    assert pack.split_sentences(pack.normalize(text), 45) == sentences


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.code)
def test_abbreviations_are_those_that_the_cleaners_leave(language: Any) -> None:
    pack = set_up(language.code)
    assert {word for word in language.abbreviations if pack.normalize(word) != word} == set()
