"""Whatever a text is, it is read or refused with a reason, in every installed language: no exception, no loss."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xtts_framework.errors import UserError
from xtts_framework.model.inference import MAX_SENTENCE_CHARACTERS, split_to_fit
from xtts_framework.plugins import LanguagePack, load_plugins
from xtts_framework.text.reading import read_by_rules

PLUGINS = load_plugins()
LANGUAGES = sorted(code for info in PLUGINS.infos for code in info.languages)
MEGABYTE = 1_000_000

# WORD stands for a word of the language, which no reading may lose.
TEXTS = {
    "a lone surrogate": "\ud800",
    "surrogates within a word": "WORD\udcff\ud83dWORD",
    "nothing but spaces": " \n\t\u00a0\u3000",
    "nothing that shows": "\u200b\ufeff\u2060",
    "only punctuation": "!?…--()\"'«».,;:።፣፤、。",
    "repeated punctuation": "WORD!!!!!!???.....WORD",
    "only emoji": "😀👍🏽👨‍👩‍👧🇪🇹❤️",
    "emoji beside a word": "WORD😀 WORD",
    "only control characters": "\x00\x01\x07\x08\x1b\x7f\x85",
    "control characters": "WORD\x00 \x1b[31mWORD\x07\r\nWORD",
    "right-to-left override": "\u202eWORD\u202c \u2067WORD\u2069",
    "zero width joiners": "\u200dWORD\u200d \u200cWORD",
    "byte-order marks": "\ufeffWORD \ufffeWORD",
    "5000 digits": "7" * 5000,
    "5000 digits in words": f"WORD {'1234567890' * 500} WORD",
    "mixed numerals": "1፪٣",
    "a malformed numeral": "WORD ፼፼፻፩፩",
    "odd numerals": "² Ⅳ ½ ④ 〇 ೨ 1e999 0x1F -0 1..2 1,,2 --5",
    "half a date": "32/13/99999 25:61 1/0",
    "full-width forms": "ＷＯＲＤ １２３",
    "unassigned and private": "\u0378\ue000\U0010ffff",
    "accents without a letter": "\u0301" * 100,
    "format strings": "WORD %s {0} {} \\1 \\g<0> $1",
    "reserved tokens": "[am] [SPACE] [UNK] [STOP]",
}
LONG_PIECES = ("WORD", "7", "\u0301")
"""What a megabyte of text is made of."""
LIMIT_S = 240


def xtts(*arguments: str | bytes, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", "from xtts_framework.cli.main import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, **{"timeout": LIMIT_S, **options})


def choose_pack(code: str) -> LanguagePack:
    try:
        return PLUGINS.pack(code, {})
    except UserError as error:
        pytest.skip(f"the pack is installed, but not what it needs: {error}")


def find_word(pack: LanguagePack) -> str:
    """Three letters that the pack leaves as they are."""
    kept = [letter for letter in sorted(pack.alphabet) if letter.isalpha() and pack.normalize(letter) == letter]
    for start in range(0, len(kept) - 2, 3):
        word = "".join(kept[start : start + 3])
        if pack.normalize(f"{word} {word}") == f"{word} {word}" and not pack.check(word, word):
            return word
    pytest.skip("spells every word anew")


def require_answer(pack: LanguagePack, text: str, word: str) -> None:
    """A reading that has every word and can be divided for speaking, or reasons that can be printed."""
    reading = read_by_rules(PLUGINS, pack, text)
    for problem in reading.problems:
        assert problem.detail.encode("utf-8")
    if not reading.problems:
        assert reading.normalized.strip()
        assert reading.normalized.count(word) >= text.count(word)
        require_all_of_it_is_spoken(pack, reading.normalized)


def require_all_of_it_is_spoken(pack: LanguagePack, normalized: str) -> None:
    pieces = split_to_fit(pack, normalized, lambda piece: len(piece) <= MAX_SENTENCE_CHARACTERS)
    assert "".join(pieces).replace(" ", "") == normalized.replace(" ", "")


def test_there_are_languages_to_test() -> None:
    assert "am" in LANGUAGES, [info.error for info in PLUGINS.infos]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("code", LANGUAGES)
def test_odd_text_is_read_or_refused(code: str, name: str) -> None:
    pack = choose_pack(code)
    word = find_word(pack)
    require_answer(pack, TEXTS[name].replace("WORD", word), word)


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_megabyte_is_read_or_refused(code: str) -> None:
    """In a process of its own: a rule that takes quadratic time would need hours."""
    pack = choose_pack(code)
    word = find_word(pack)
    texts = [piece.replace("WORD", word) for piece in LONG_PIECES]
    texts = [piece * (MEGABYTE // len(piece.encode())) for piece in texts]
    done = xtts("text", "--language", code, "--json", input="\n".join(texts).encode(), timeout=LIMIT_S)
    readings = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(readings) == len(texts), done.stderr
    for text, reading in zip(texts, readings, strict=True):
        if not reading["rejects"]:
            assert reading["normalized"].count(word) == text.count(word)
            require_all_of_it_is_spoken(pack, reading["normalized"])


@pytest.mark.parametrize("code", LANGUAGES)
@settings(max_examples=50)
@given(text=st.text(st.characters(), max_size=60))
def test_any_text_is_read_or_refused(code: str, text: str) -> None:
    require_answer(choose_pack(code), text, "a word that is not there")


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("text", ["\ud800", "\udcff\udc80", "1\ud83d2"])
def test_surrogates_are_a_reason_even_where_nothing_stops_them_before_the_pack(code: str, text: str) -> None:
    _, problems = PLUGINS.read_text(choose_pack(code), text)
    assert problems
    assert "pack_error" not in [problem.code for problem in problems]


@pytest.mark.parametrize("as_json", [True, False])
def test_bytes_that_are_not_utf8_are_refused_where_they_stand(as_json: bool) -> None:
    surrogate = b"\xed\xa0\x80"
    done = xtts("text", "--language", "am", *(["--json"] if as_json else []), "ሰላም".encode() + b"\xff", surrogate)
    assert done.returncode == 0, done.stderr
    answer = done.stdout.decode("utf-8")
    if as_json:
        first, second = map(json.loads, answer.splitlines())
        assert first["rejects"] == second["rejects"] == ["not_utf8"]
        assert first["raw"] == "ሰላም<0xFF>"
        assert second["problems"][0]["detail"].startswith("0xED at character 1")
    else:
        assert answer.count("rejected") == 2
        assert "not_utf8: 0xFF at character 4" in answer


def test_lines_that_are_not_utf8_are_refused_by_number_and_the_others_read(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_bytes("\ufeffሰላም\r\n".encode() + b"\xe1\x88 \xff\n\n" + "ሰላም ለዓለም".encode())
    lines = xtts("text", "--language", "am", "--json", "--file", str(corpus)).stdout.decode().splitlines()
    records = [json.loads(line) for line in lines]
    assert [(record["line"], record["normalized"], record["rejects"]) for record in records] == [
        (1, "ሰላም", []),
        (2, "", ["not_utf8"]),
        (3, "", ["empty_text"]),
        (4, "ሰላም ለዓለም", []),
    ]
    summary = xtts("text", "--language", "am", "--file", str(corpus)).stdout.decode()
    assert "1  not_utf8\n          line 2: 0xE1 at character 1" in summary


def test_a_megabyte_and_control_characters_go_through_a_pipe() -> None:
    texts = ("ሰላም" * (MEGABYTE // 9)).encode() + b"\n\x00\x1b[2J\n" + "\u202eሰላም\n".encode()
    done = xtts("text", "--language", "am", input=texts)
    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout
    assert b"\x00" not in done.stdout
    assert "  <U+202E>ሰላም\n" in done.stdout.decode("utf-8")


def test_metadata_that_is_not_utf8_is_refused_with_line_byte_and_remedy(tmp_path: Path) -> None:
    (tmp_path / "wavs").mkdir()
    (tmp_path / "metadata.csv").write_bytes("a.wav|ሰላም\n".encode() + b"b.wav|\xff\xfe\n")
    (tmp_path / "validate.yaml").write_text(f"dataset: {{path: {tmp_path}, language: am}}\n", encoding="utf-8")
    done = xtts("validate", "--config", str(tmp_path / "validate.yaml"), "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    told = done.stderr.decode()
    assert "metadata.csv line 2: byte" in told
    assert "iconv" in told
    assert "Traceback" not in told


def test_nothing_is_read_as_another_encoding_when_the_locale_says_so() -> None:
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = xtts("text", "--language", "am", "--json", "ሰላም".encode(), env=environment)
    assert json.loads(done.stdout)["normalized"] == "ሰላም"
