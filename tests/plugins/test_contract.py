"""Every promise of a pack has a pack here that breaks it, and the check of that promise alone says so."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, field_validator

from xtts_framework.plugins import FreezingPlan, LanguagePack, TextProblem, load_plugins
from xtts_framework.plugins.contract import installed
from xtts_framework.plugins.contract.candidate import Candidate, show_apart
from xtts_framework.plugins.contract.checks import CHECKS, Outcome, examine
from xtts_framework.plugins.contract.pace import CHARACTERS, Timing, find_complaints

Install = Callable[..., Path]
COUNTER = itertools.count()
PROMISES = [check.__name__ for check in CHECKS]


def read(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text.lower()).split())


class Good(LanguagePack):
    """Keeps every promise."""

    code = "xx"
    name = "Good"
    api_version = 1
    letters: Any = frozenset("abcdefghijklmnopqrstuvwxyzé .,!?'-")

    @property
    def alphabet(self) -> frozenset[str]:
        return self.letters

    def normalize(self, text: str) -> str:
        return read(text)


def broken(**attributes: Any) -> type[Good]:
    """`Good`, but for what is given."""
    return type("Broken", (Good,), {"__qualname__": "<locals>.Broken", **attributes})


def examine_all(pack: type[LanguagePack], *, timed: bool = True, **given: Any) -> dict[str, Outcome]:
    """All outcomes, by name. Packs that are broken in another way are not timed, which takes a second each."""
    candidate = Candidate(pack, **given)
    if not timed:
        candidate.slowness = []
    return {check.__name__: examine(candidate, check) for check in CHECKS}


def broken_promises(outcomes: dict[str, Outcome]) -> list[str]:
    return [name for name, outcome in outcomes.items() if outcome.breaches]


class DefaultsRejected(BaseModel):
    model_config = ConfigDict(extra="forbid")
    vowels: str = "longish"

    @field_validator("vowels")
    @classmethod
    def long_or_short(cls, value: str) -> str:
        if value not in ("long", "short"):
            raise ValueError("long or short")
        return value


class DefaultsMissing(BaseModel):
    model_config = ConfigDict(extra="forbid")
    vowels: str


class AnythingGoes(BaseModel):
    vowels: str = "long"


def raise_on(fault: str) -> Callable[[Any, str], str]:
    """A `normalize` that fails on texts in which a pattern is found."""

    def normalize(self: Any, text: str) -> str:
        if re.search(fault, text):
            raise ValueError("not for me")
        return read(text)

    return normalize


def search_in_vain(text: str) -> None:
    """Takes time quadratic in the length of a word."""
    re.sub(r"[^ ]+(?=\n)", "", text)


def read_slowly(self: Any, text: str) -> str:
    """Takes linear time, but a lot of it."""
    for _ in range(400):
        read(text)
    return read(text)


def check_in_vain(self: Any, raw: str, normalized: str) -> list[TextProblem]:
    search_in_vain(normalized)
    return LanguagePack.check(self, raw, normalized)


def check_no_emoji(self: Any, raw: str, normalized: str) -> list[TextProblem]:
    if "😀" in raw:
        raise ValueError("not for me")
    return LanguagePack.check(self, raw, normalized)


def lose_a_word(self: Any, text: str, max_characters: int) -> list[str]:
    return LanguagePack.split_sentences(self, text.removesuffix("."), max_characters)


def never_cut(self: Any, text: str, max_characters: int) -> list[str]:
    return text.split()


def plan(*blocks: int, trains: bool = True) -> FreezingPlan:
    return FreezingPlan(blocks, trains, trains, trains, trains, "")


def changing(self: Any) -> frozenset[str]:
    return frozenset("abcdefgh ") | {chr(ord("i") + next(COUNTER) % 17)}


BROKEN: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "states_its_code_and_name": [
        ("a code that is no code", {"code": "Example"}),
        ("a code that is no text", {"code": 3}),
        ("no name", {"name": ""}),
    ],
    "states_its_api_version": [
        ("an older one", {"api_version": 0}),
        ("a newer one", {"api_version": 2}),
        ("a text", {"api_version": "1"}),
        ("a truth", {"api_version": True}),
    ],
    "is_the_only_pack_of_its_language": [("a taken code", {"code": "am"})],
    "options_accept_their_defaults": [
        ("defaults that the validator refuses", {"Options": DefaultsRejected}),
        ("nothing to begin with", {"Options": DefaultsMissing}),
        ("no model", {"Options": dict}),
    ],
    "options_refuse_unknown_keys": [("extra keys are ignored", {"Options": AnythingGoes})],
    "alphabet_is_a_set": [
        ("a text", {"letters": "abc cé "}),
        ("a list with doubles", {"letters": [*"abca "]}),
        ("nothing", {"letters": None}),
        ("it fails", {"alphabet": property(lambda self: {}["letters"])}),
        ("it changes", {"alphabet": property(changing)}),
    ],
    "alphabet_holds_single_characters": [
        ("a pair", {"letters": frozenset([*"abc ", "ch"])}),
        ("no character", {"letters": frozenset([*"abc ", ""])}),
        ("a number", {"letters": frozenset([*"abc ", 3])}),
    ],
    "alphabet_is_composed": [
        ("a letter and its accent", {"letters": frozenset([*"abc ", "e\u0301"])}),
        ("a sign that Unicode has elsewhere", {"letters": frozenset([*"abcå ", "\u0958"])}),
    ],
    "accepts_composed_texts_only": [
        (
            "letters and accents apart",
            {
                "letters": frozenset("abce\u0301 "),
                "normalize": lambda self, text: unicodedata.normalize("NFD", read(text)),
            },
        ),
    ],
    "alphabet_has_no_capitals": [("one capital", {"letters": Good.letters | {"Q"}})],
    "alphabet_has_the_space_alone": [
        ("no space", {"letters": Good.letters - {" "}}),
        ("a line break", {"letters": Good.letters | {"\n"}}),
        ("a wide space", {"letters": Good.letters | {"\u3000"}}),
    ],
    "alphabet_can_be_written": [
        ("a lone surrogate", {"letters": Good.letters | {"\ud800"}}),
        ("NUL", {"letters": Good.letters | {"\0"}}),
    ],
    "loses_nothing_silently": [
        ("drops digits", {"normalize": lambda self, text: read(re.sub(r"\d", "", text))}),
        (
            "drops other scripts",
            {"normalize": lambda self, text: " ".join(w for w in read(text).split() if not re.search("[а-я]", w))},
        ),
    ],
    "normalize_takes_any_text": [
        ("fails on " + name, {"normalize": raise_on(pattern)})
        for name, pattern in {
            "a lone surrogate": "[\ud800-\udfff]",
            "NUL": "\0",
            "emoji": "😀",
            "an RTL override": "\u202e",
            "5000 digits": r"\d{4500}",
            "an empty text": r"^$",
            "marks alone": r"^[.,!?]$",
            "piles of accents": r"(\u0301\u0300\W{8}){20}",
            "Ethiopic among other digits": r"7፯",
            "a line separator": "\u2028",
        }.items()
    ]
    + [
        ("gives bytes", {"normalize": lambda self, text: text.encode("utf-8", "replace")}),
        ("gives nothing", {"normalize": lambda self, text: None}),
    ],
    "normalize_is_pure": [
        ("chance", {"normalize": lambda self, text: read(text) + random.choice(["", " a"])}),
        ("a count", {"normalize": lambda self, text: f"{read(text)} {next(COUNTER)}"}),
        ("the instance", {"normalize": lambda self, text: f"{read(text)} {id(self)}"}),
    ],
    "normalize_is_idempotent": [
        ("takes one mark at a time", {"normalize": lambda self, text: read(text.lower().replace("..", ".", 1))}),
        ("spells what it has spelt", {"normalize": lambda self, text: read(text.lower().replace("ab", "aab"))}),
        ("composes last", {"normalize": lambda self, text: unicodedata.normalize("NFKC", read(text))}),
    ],
    "normalize_is_blind_to_case": [
        ("keeps capitals", {"normalize": lambda self, text: " ".join(unicodedata.normalize("NFC", text).split())}),
        ("drops acronyms first", {"normalize": lambda self, text: read(re.sub("[A-Z]{2,}", "", text))}),
    ],
    "check_takes_any_text": [
        ("it fails", {"check": check_no_emoji}),
        ("gives texts", {"check": lambda self, raw, normalized: ["bad"]}),
        ("gives nothing", {"check": lambda self, raw, normalized: None}),
        ("a code that is no code", {"check": lambda self, raw, normalized: [TextProblem("two words", "")]}),
        ("a detail that cannot be written", {"check": lambda self, raw, normalized: [TextProblem("odd", raw)]}),
    ],
    "accepts_only_its_alphabet": [
        (
            "lets digits pass",
            {"check": lambda self, raw, normalized: LanguagePack.check(self, raw, re.sub("[0-9]", "a", normalized))},
        ),
    ],
    "refuses_empty_texts": [
        (
            "speaks of nothing",
            {"check": lambda self, raw, normalized: LanguagePack.check(self, raw, normalized or "a")},
        ),
    ],
    "splits_without_loss": [
        ("loses a full stop", {"split_sentences": lose_a_word}),
        ("cuts no word", {"split_sentences": never_cut}),
        ("fails", {"split_sentences": lambda self, text, max_characters: 1 / 0}),
        ("joins nothing", {"belong_together": lambda self, left, right: 1 / 0}),
    ],
    "freezing_plan_fits_the_model": [
        ("a block too many", {"freezing_plan": lambda self, clips, blocks: plan(blocks)}),
        ("a block twice", {"freezing_plan": lambda self, clips, blocks: plan(0, 0)}),
        ("all of it", {"freezing_plan": lambda self, clips, blocks: plan(*range(blocks), trains=False)}),
        ("no plan", {"freezing_plan": lambda self, clips, blocks: [0]}),
        ("it fails", {"freezing_plan": lambda self, clips, blocks: 1 / 0}),
    ],
    "takes_linear_time": [
        ("quadratic in letters", {"normalize": lambda self, text: search_in_vain(text) or read(text)}),
        ("slow", {"normalize": read_slowly}),
        ("a quadratic check", {"check": check_in_vain}),
    ],
}
EXAMPLES = {f"{promise}: {what}": (promise, faults) for promise, packs in BROKEN.items() for what, faults in packs}


@pytest.mark.parametrize(("promise", "attributes"), EXAMPLES.values(), ids=EXAMPLES)
def test_a_broken_promise_is_found_by_its_check_alone(promise: str, attributes: dict[str, Any]) -> None:
    outcomes = examine_all(broken(**attributes), timed=promise == "takes_linear_time")
    assert broken_promises(outcomes) == [promise], outcomes


def test_a_pack_that_keeps_its_promises_passes_every_check_in_full() -> None:
    outcomes = examine_all(Good, examples=[(" Ab,  C!", "ab, c!")])
    assert all(not outcome.breaches and not outcome.skipped for outcome in outcomes.values()), outcomes


def test_no_check_passes_for_want_of_texts() -> None:
    """Of the drawn texts many are accepted; among the refused ones are those with strange signs."""
    candidate = Candidate(Good)
    assert len(candidate.accepted) > 100
    assert len(candidate.readings) - len(candidate.accepted) > 200


def test_a_pack_that_does_not_state_its_api_version_is_told_so() -> None:
    class Silent(LanguagePack):
        code = "xx"
        name = "Silent"
        alphabet = frozenset("ab ")  # type: ignore[assignment]
        normalize = Good.normalize  # type: ignore[assignment]

    assert broken_promises(examine_all(Silent, timed=False)) == ["states_its_api_version"]


@pytest.mark.parametrize(
    ("example", "complaint"),
    [(("A  b", "a b!"), "expected 'a b!', found 'a b'"), (("A 1", "a 1"), "refused"), (("A b", "a b"), None)],
)
def test_the_authors_examples_count(example: tuple[str, str], complaint: str | None) -> None:
    outcomes = examine_all(Good, timed=False, examples=[example])
    assert broken_promises(outcomes) == (["reads_its_examples"] if complaint else [])
    if complaint:
        assert complaint in outcomes["reads_its_examples"].breaches[0].detail


class OrderOfASet(Good):
    """Forgets five letters, others in every process."""

    def normalize(self, text: str) -> str:
        forgotten = "".join([*set("abcdefghijklmnopqrstuvwxyz")][:5])
        return read(re.sub(f"[{forgotten}]", "", text.lower()))


def test_a_reading_that_depends_on_the_process_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "12345")
    outcomes = examine_all(OrderOfASet, timed=False)
    assert broken_promises(outcomes) == ["normalize_is_pure"]
    assert "in another process" in outcomes["normalize_is_pure"].breaches[0].detail


@pytest.mark.parametrize(
    ("seconds", "before", "found"),
    [(0.05, 0.0005, False), (0.2, 0.005, True), (0.2, 0.02, False), (0.7, 0.1, True)],
    ids=["too short to tell", "quadratic but fast", "linear", "slow"],
)
def test_time_is_judged_by_its_growth_and_by_a_limit(seconds: float, before: float, found: bool) -> None:
    last, timing = Timing(before, CHARACTERS[-2]), Timing(seconds, CHARACTERS[-1])
    complaints = list(find_complaints({"normalize": timing}, {"normalize": last}))
    assert bool(complaints) is found


TIMED = ("am", "ti", "en")


@pytest.mark.parametrize("code", sorted(code for info in load_plugins().infos for code in info.languages))
def test_built_in_packs_keep_every_promise(code: str) -> None:
    """All are checked in full; of those that share one way of reading, English alone is timed."""
    outcomes = examine_all(type(load_plugins().pack(code, {})), timed=code in TIMED)
    assert broken_promises(outcomes) == [], outcomes
    assert not any(outcome.skipped for outcome in outcomes.values())


PLUGIN = """
    import unicodedata
    from xtts_framework.plugins import LanguagePack, TextProblem, hookimpl
    {before}
    class Pack(LanguagePack):
        code = "xx"
        name = "Example"
        api_version = 1
        alphabet = frozenset("abcdefghijklmnopqrstuvwxyz .")
        def normalize(self, text):
            {within}
            return " ".join(unicodedata.normalize("NFC", text.lower()).split())
        def check(self, raw, normalized):
            {checking}
            return super().check(raw, normalized)
        def split_sentences(self, text, max_characters):
            {splitting}
            return super().split_sentences(text, max_characters)
    @hookimpl
    def xtts_language_packs():
        return [Pack]
"""


def plugin(before: str = "", within: str = "", checking: str = "", splitting: str = "") -> str:
    return PLUGIN.format(before=before, within=within, checking=checking, splitting=splitting)


Parts = dict[str | None, dict[str, Any]]
"""Language (None: the plugin itself) -> check -> its outcome."""


def run_check(folder: Path, *arguments: str) -> tuple[int, Parts, str]:
    """Exit status, outcomes and stderr of `xtts plugins check --json`."""
    command = [sys.executable, "-c", "from xtts_framework.cli.main import main; main()", "plugins", "check", *arguments]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True, timeout=120)
    parts = json.loads(done.stdout) if done.stdout else []
    return (
        done.returncode,
        {part["language"]: {check["check"]: check for check in part["checks"]} for part in parts},
        done.stderr,
    )


def complaints(parts: Parts) -> dict[str, str]:
    """Broken promise -> what was found."""
    found = [(name, check["breaches"]) for checks in parts.values() for name, check in checks.items()]
    return {name: " ".join(breach["detail"] for breach in breaches) for name, breaches in found if breaches}


def test_the_command_makes_every_check_on_the_pack_of_a_language(install: Install) -> None:
    status, parts, errors = run_check(install("acme", plugin()), "xx", "--limit", "60")
    assert (status, errors, complaints(parts)) == (0, "", {})
    assert set(parts) == {None, "xx"}
    assert {*PROMISES} == parts[None].keys() & {*PROMISES} | parts["xx"].keys()


@pytest.mark.parametrize(
    ("sabotage", "promise", "words"),
    [
        ({"before": "import torch"}, "loads_without_torch", "No module named 'torch'"),
        ({"before": "import no_such_module"}, "loads_without_torch", "no_such_module"),
        ({"before": "import os; os._exit(3)"}, "loads_without_torch", "status 3"),
        (
            {"before": "\n    try:\n        import transformers\n    except ImportError:\n        pass"},
            "imports_no_torch_at_load",
            "transformers",
        ),
        ({"within": "import trainer"}, "imports_no_torch_to_normalize", "trainer"),
        ({"checking": "import trainer"}, "imports_no_torch_to_normalize", "trainer"),
        ({"splitting": "import os; os._exit(3)"}, "takes_linear_time", "status 3"),
    ],
    ids=[
        "torch",
        "a missing module",
        "an exit",
        "a guarded import",
        "torch in normalize",
        "torch in check",
        "an exit in use",
    ],
)
def test_the_command_reports_what_would_take_a_process_down(
    install: Install, sabotage: dict[str, str], promise: str, words: str
) -> None:
    folder = install("acme", plugin(**sabotage))
    (folder / "trainer.py").write_text("")
    status, parts, _ = run_check(folder, "acme", "--limit", "60")
    assert status == 1
    assert list(complaints(parts)) == [promise]
    assert words in complaints(parts)[promise]


@pytest.mark.parametrize(
    ("sabotage", "promise"),
    [
        ({"splitting": "while 'b' in text: pass"}, "takes_linear_time"),
        ({"before": "while True: pass"}, "loads_without_torch"),
    ],
    ids=["in use", "at import"],
)
def test_a_plugin_that_never_comes_back_is_a_report_after_its_processor_time(
    install: Install, monkeypatch: pytest.MonkeyPatch, sabotage: dict[str, str], promise: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(install("acme", plugin(**sabotage))))
    monkeypatch.setattr(installed, "WALL_CLOCK", 30)  # so that a busy machine makes no difference
    outcomes = [outcome for part in installed.check_installed("acme", {}, 3) for outcome in part.outcomes]
    (breach,) = (breach for outcome in outcomes for breach in outcome.breaches)
    assert breach.check == promise
    assert "not finished" in breach.detail and "processor time" in breach.detail


def test_a_pack_that_only_waits_is_unfinished_and_not_called_broken(install: Install) -> None:
    folder = install("acme", plugin(splitting="import time; time.sleep(3600)"))
    status, parts, _ = run_check(folder, "acme", "--limit", "3")
    assert (status, complaints(parts)) == (1, {})
    assert "stopped after 6 s" in parts["xx"]["takes_linear_time"]["unfinished"]


def test_two_readings_that_look_alike_are_told_apart() -> None:
    assert show_apart("b" * 80 + "\u00e9", "b" * 80 + "e\u0301") == (
        "…" + ascii("b" * 20 + "\u00e9"),
        "…" + ascii("b" * 20 + "e\u0301"),
    )
    assert show_apart("a", None) == ("'a'", "None")


OPTIONS = """
    from pydantic import BaseModel, ConfigDict
    class Choice(BaseModel):
        model_config = ConfigDict(extra="forbid")
        vowels: str = "long"
"""


@pytest.mark.parametrize(
    ("option", "status", "told"),
    [
        ("vowel=short", 1, "did you mean 'vowels'?"),
        ('{"vowels": 3}', 1, "vowels"),
        ("vowels=broken", 1, "'xx': the pack cannot be set up: ValueError: not these"),
        ("vowels", 2, "expected KEY=VALUE"),
        ("vowels=[", 2, "cannot be understood"),
    ],
)
def test_options_that_the_pack_does_not_take_are_the_users_mistake(
    install: Install, option: str, status: int, told: str
) -> None:
    init = """
        Options = Choice
        def __init__(self, options):
            super().__init__(options)
            if options.vowels == "broken":
                raise ValueError("not these")
    """
    source = plugin(before=OPTIONS).replace('name = "Example"', f'name = "Example"{init}', 1)
    ended, _, errors = run_check(install("acme", source), "xx", "--options", option, "--limit", "60")
    assert ended == status
    assert told in errors
    assert "Traceback" not in errors


def test_a_plugin_of_listeners_is_checked_for_its_hooks(install: Install) -> None:
    listener = "from xtts_framework.plugins import hookimpl\n@hookimpl\ndef xtts_on_{hook}(step): ...\n"
    folder = install("good", listener.format(hook="metrics"))
    install("bad", listener.format(hook="metrix"))
    assert run_check(folder, "good")[0] == 0
    status, parts, _ = run_check(folder, "bad")
    assert status == 1
    assert "xtts_on_metrix" in complaints(parts)["implements_known_hooks"]


def test_an_unknown_name_names_what_is_installed(install: Install) -> None:
    folder = install("acme", plugin())
    status, _, errors = run_check(folder, "nobody")
    assert status == 1
    for part in ("'nobody'", "acme", "amharic", "xx"):
        assert part in errors
