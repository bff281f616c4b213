"""`xtts text` tells the truth about a pack, whatever the pack does, to a person and to a program."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from small_languages import AMHARIC, Yoruba, small_vocab, write_vocab

from xtts_framework.model.base import BASE_FILES, GPT_ARGUMENTS
from xtts_framework.plugins import LanguagePack, NoOptions, Rule, load_plugins
from xtts_framework.text.reading import Reading, read_by_rules
from xtts_framework.text.showing import show_reading, spell_invisible
from xtts_framework.text.vocabulary import extend_vocab

ROOT = Path(__file__).parents[2]
NEWS = ROOT.parent / "shared" / "data" / "am_news_sentences.txt"
PLUGINS = load_plugins()


def xtts(*arguments: str, given: str = "", status: int = 0) -> str:
    """Run the command; its standard output, or with a `status` of failure its error."""
    program = "from xtts_framework.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], input=given, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr if status else done.stdout


def records(*arguments: str, given: str = "") -> list[dict[str, Any]]:
    return [json.loads(line) for line in xtts("text", "--json", *arguments, given=given).splitlines()]


def lower_case(text: str) -> str:
    return text.lower()


def close_up(text: str) -> str:
    return text.replace(" ", "")


def fail(text: str) -> str:
    raise ValueError("no such letter")


def answer_nothing(text: str) -> str:
    return None  # type: ignore[return-value]


class Ruled(LanguagePack):
    code = "xx"
    name = "Ruled"

    def __init__(self, *rules: Callable[[str], str]) -> None:
        super().__init__(NoOptions())
        self.given = rules

    @property
    def alphabet(self) -> frozenset[str]:
        return frozenset("abc ")

    @property
    def rules(self) -> Sequence[Rule]:
        return self.given


class Replaced(Ruled):
    """Inherits rules, and replaces what they are for."""

    def normalize(self, text: str) -> str:
        return text.upper().lower()


class Contradictory(Ruled):
    @property
    def rules(self) -> Sequence[Rule]:
        return (lower_case,)

    def normalize(self, text: str) -> str:
        return "a b"


def read(pack: LanguagePack, raw: str) -> Reading:
    return read_by_rules(PLUGINS, pack, raw)


def test_steps_are_the_rules_that_changed_something_under_their_names() -> None:
    reading = read(Ruled(lower_case, lower_case, close_up), "A b")
    assert [(step.rule, step.text) for step in reading.steps] == [
        ("lower case", "a b"),
        ("lower case", "a b"),
        ("close up", "ab"),
    ]
    assert reading.changes == [reading.steps[0], reading.steps[2]]
    assert (reading.normalized, reading.problems) == ("ab", [])


def test_a_pack_that_replaces_normalize_has_one_step() -> None:
    reading = read(Replaced(lower_case, close_up), "A b")
    assert [(step.rule, step.text) for step in reading.steps] == [("normalize", "a b")]
    assert reading.rejects == []


def test_rules_and_a_normalize_that_disagree_are_reported() -> None:
    (problem,) = read(Contradictory(), "A").problems
    assert problem.code == "pack_error"
    assert "its rules give 'a', its normalize gives 'a b'" in problem.detail
    assert read(Contradictory(), "A b").problems == []


@pytest.mark.parametrize(
    ("rule", "told"),
    [(fail, "fail: ValueError: no such letter"), (answer_nothing, "answer nothing: TypeError: expected a str")],
)
def test_a_rule_that_fails_is_named_and_what_came_before_is_shown(rule: Rule, told: str) -> None:
    reading = read(Ruled(lower_case, rule, close_up), "A b")
    assert reading.rejects == ["pack_error"]
    assert told in reading.problems[0].detail
    assert [step.text for step in reading.steps] == ["a b"]
    assert reading.normalized == ""


def test_what_one_cannot_see_is_spelled_out() -> None:
    assert spell_invisible(" a\u200b\u202e b  c\x1b\ufe0f ") == (
        "<U+0020>a<U+200B><U+202E> b <U+0020>c<U+001B><U+FE0F><U+0020>"
    )

    def compose(text: str) -> str:
        return text.replace("e\u0301", "\u00e9")

    reading = read(Ruled(compose), "abe\u0301c")
    assert "  (U+0065 U+0301 -> U+00E9)" in show_reading(reading, reading.changes, None)


def test_a_person_sees_steps_result_and_how_to_get_tokens() -> None:
    shown = xtts("text", "--language", "am", "የBBC\u200b ዜና", "  ")
    first, second = shown.split("\n\n")
    lines = [line.split() for line in first.splitlines()]
    assert lines[0] == ["text", "የBBC<U+200B>", "ዜና"]
    assert ["lower", "case", "የbbc<U+200B>", "ዜና"] in lines
    assert ["normalized", "የbbc", "ዜና"] in lines
    assert "--vocab FILE or --bundle DIR" in first
    assert "empty_text: nothing is left to say" in second


def test_a_program_gets_one_object_per_line_of_input() -> None:
    answers = records("--language", "am", given="ሰላም\n\nABC\r\nየBBC")
    assert [answer["line"] for answer in answers] == [1, 2, 3, 4]
    assert [answer["rejects"] == [] for answer in answers] == [True, False, False, True]
    assert answers[3] == {
        "line": 4,
        "raw": "የBBC",
        "normalized": "የbbc",
        "steps": [{"rule": "lower case", "text": "የbbc"}],
        "tokens": None,
        "ids": None,
        "unknown": None,
        "rejects": [],
        "problems": [],
    }
    (everything,) = records("--language", "am", "--all", "የBBC")
    assert len(everything["steps"]) == len(PLUGINS.pack("am", {}).rules)
    assert everything["steps"][-1]["text"] == everything["normalized"]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle as far as one must be to be read: nothing here looks into its weights."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    for name in BASE_FILES:
        if name.endswith(".pth"):
            with zipfile.ZipFile(folder / name, "w") as archive:
                archive.writestr("data", "")
    arguments = {**dict.fromkeys(GPT_ARGUMENTS.values(), 1), "gpt_use_perceiver_resampler": True}
    (folder / "config.json").write_text(json.dumps({"model_args": arguments}), encoding="utf-8")
    write_vocab(folder / "vocab.json", extend_vocab(small_vocab(), [(PLUGINS.pack("am", {}), AMHARIC)], 600, None)[0])
    pack = {"code": "am", "name": "Amharic", "distribution": "xtts-framework", "version": "0.1.0", "options": {}}
    (folder / "bundle.json").write_text(json.dumps({"format": 1, "packs": [pack]}), encoding="utf-8")
    return folder


def test_a_vocabulary_shows_tokens_and_ids_and_a_bundle_brings_its_own(bundle: Path) -> None:
    vocab = bundle / "vocab.json"
    (answer,) = records("--language", "am", "--vocab", str(vocab), "ሰላም ለዓለም")
    assert answer["tokens"][0] == "[am]"
    assert "".join(answer["tokens"][1:]) == "ሰላም[SPACE]ለዓለም"
    known = json.loads(vocab.read_text("utf-8"))
    ids = known["model"]["vocab"] | {token["content"]: token["id"] for token in known["added_tokens"]}
    assert answer["ids"] == [ids[token] for token in answer["tokens"]]
    assert records("--bundle", str(bundle), "ሰላም ለዓለም") == [answer]
    shown = xtts("text", "--bundle", str(bundle), "ሰላም ለዓለም", "abc")
    assert f"{len(answer['ids'])} of at most 401 ids" in shown
    assert shown.count("[am]") == 1, "a text that is refused has no tokens"


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["ሰላም"], 2, "installed: am"),
        (["--language", "qq", "ሰላም"], 1, "no installed pack knows it"),
        (["--language", "am", "--options", "nonsense=1", "ሰላም"], 1, "nonsense"),
        (["--language", "am", "--options", '{"nonsense": 1}', "ሰላም"], 1, "nonsense"),
        (["--language", "am", "--options", "nonsense", "ሰላም"], 2, "expected KEY=VALUE"),
        (["--language", "am", "--options", "{", "ሰላም"], 2, "cannot be understood"),
        (["--language", "am", "--file", "missing.txt"], 1, "missing.txt: No such file"),
        (["--language", "am", "--file", "a.txt", "ሰላም"], 2, "not both"),
        (["--language", "am", "--vocab", "missing.json", "ሰላም"], 1, "no such vocabulary"),
        (["--bundle", "missing", "ሰላም"], 1, "no bundle"),
        (["--bundle", "missing", "--vocab", "v.json", "ሰላም"], 2, "leave --vocab and --options out"),
    ],
)
def test_mistakes_are_told(arguments: list[str], status: int, told: str) -> None:
    assert told in xtts("text", *arguments, status=status)


def test_a_vocabulary_of_another_language_is_refused(tmp_path: Path) -> None:
    vocab = write_vocab(tmp_path / "vocab.json", extend_vocab(small_vocab(), [(Yoruba(), ["ọjọ"])], 60, None)[0])
    assert "no token [am]" in xtts("text", "--language", "am", "--vocab", str(vocab), "ሰላም", status=1)


def test_characters_that_the_vocabulary_lacks_are_named(tmp_path: Path) -> None:
    """Here it was made with the homophones merged, and the text keeps them."""
    merged = PLUGINS.pack("am", {"homophones": "merge"})
    vocab = write_vocab(tmp_path / "vocab.json", extend_vocab(small_vocab(), [(merged, AMHARIC)], 600, None)[0])
    asked = ("--language", "am", "--vocab", str(vocab))
    (answer,) = records(*asked, "ሠላም ለዐለም ሠ")
    assert answer["tokens"].count("[UNK]") == 3
    assert answer["unknown"] == ["ሠ", "ዐ"]
    assert records(*asked, "ሰላም ለአለም")[0]["unknown"] == []
    named = "ሠ (U+1220), ዐ (U+12D0): not in this vocabulary; was it made with other options?"
    assert f"unknown     {named}" in xtts("text", *asked, "ሠላም ለዐለም ሠ")
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("ሠላም\nሰላም\nዐለም\n", encoding="utf-8")
    assert f"unknown     {named}" in xtts("text", *asked, "--file", str(corpus))


def test_a_corpus_is_summed_up_with_rules_rejects_and_line_numbers(tmp_path: Path, bundle: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("ሰላም\nየBBC ዜና\nbad\nየBBC ሰላም\n\n" + "worse\n" * 9, encoding="utf-8")
    told = xtts("text", "--bundle", str(bundle), "--file", str(corpus))
    assert "lines       14\naccepted    3 (21.4 %), 2 of them changed\nrejected    11 (78.6 %)\n" in told
    assert "characters  18 -> 18 in the accepted lines" in told
    assert re.search(r"^ +10  wrong_script\n +line 3: .*\n +line 6: ", told, re.MULTILINE)
    assert re.search(r"^ +1  empty_text\n +line 5: ", told, re.MULTILINE)
    assert "line 14" not in told, "examples are few"
    assert re.search(r"^ +2  lower case$", told, re.MULTILINE)
    assert re.search(r"^ +2  የBBC$", told, re.MULTILINE)
    assert "0 lines have more than 401" in told


def test_it_imports_neither_torch_nor_tts(bundle: Path) -> None:
    script = (
        "import sys\nfrom xtts_framework.cli.main import cli\n"
        "cli(['text', '--bundle', sys.argv[1], 'ሰላም'], standalone_mode=False)\n"
        "print(sorted({'torch', 'TTS', 'transformers', 'polars'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(bundle)], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_news_is_read_in_full() -> None:
    if not NEWS.is_file():
        pytest.skip(f"{NEWS.name} is not beside the repository")
    assert f"lines       {len(NEWS.read_text('utf-8').splitlines())}\n" in xtts(
        "text", "--language", "am", "--file", str(NEWS)
    )


def examples_of_the_document() -> list[tuple[str, str]]:
    blocks = re.findall(
        r"```\n\$ (xtts text [^\n]*)\n(.*?)```", (ROOT / "docs" / "text.md").read_text("utf-8"), re.DOTALL
    )
    assert blocks
    return blocks


@pytest.mark.parametrize(("command", "shown"), examples_of_the_document())
def test_the_document_shows_what_the_command_prints(command: str, shown: str) -> None:
    assert xtts(*shlex.split(command)[1:]) == shown
