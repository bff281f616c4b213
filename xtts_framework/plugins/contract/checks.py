"""What a pack promises, as a list of checks. `xtts plugins check` and the pytest kit both run this list.

A check is a function from a `Candidate` to what is wrong with it, nothing when all is well; its name is the promise.
A check that cannot be made, since another one must have failed, raises `Uncheckable`.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from xtts_framework.plugins.contract.alone import Answer
from xtts_framework.plugins.contract.candidate import Candidate, Reading, Uncheckable, show, show_all, show_apart
from xtts_framework.plugins.discovery import LANGUAGE_CODE, describe_error, find_plugins
from xtts_framework.plugins.language_pack import API_VERSION, FreezingPlan, LanguagePack, TextProblem

SHOWN_BREACHES = 3
UNWRITABLE = ("Cs", "Cc", "Cn")
"""Unicode's categories of lone surrogates, control characters and unassigned code points."""
STRANGE_WORDS = ("7", "жук", "漢字")
FEW_TEXTS = 20
SENTENCE_CHARACTERS = (1, 7, 40, 250)
CLIPS = (1, 100, 250, 1000, 2999, 3000, 5000, 1_000_000)
BLOCKS = (1, 2, 3, 30)


@dataclass(frozen=True)
class Breach:
    """A broken promise.

    Args:
        check: name of the check.
        detail: what was found, on which input, and what was expected.
    """

    check: str
    detail: str


@dataclass(frozen=True)
class Outcome:
    """What became of a check: kept when there are no breaches and it was not `skipped`.

    Args:
        skipped: why it could not be made; another check tells what has to be mended.
        unfinished: why it came to no end, though the pack may be sound.
    """

    check: str
    breaches: tuple[Breach, ...] = ()
    skipped: str | None = None
    unfinished: str | None = None


Check = Callable[[Candidate], Iterable[str]]


def states_its_code_and_name(candidate: Candidate) -> Iterator[str]:
    """`code` is a language code, `name` the language's English name."""
    code, name = getattr(candidate.pack, "code", None), getattr(candidate.pack, "name", None)
    if not (isinstance(code, str) and LANGUAGE_CODE.fullmatch(code)):
        yield f"code: expected two or three lower-case letters, as in 'am' or 'zh-cn', found {code!r}"
    if not (isinstance(name, str) and name.strip()):
        yield f"name: expected the language's English name, such as 'Amharic', found {name!r}"


def states_its_api_version(candidate: Candidate) -> Iterator[str]:
    """`api_version` is written in the pack, as a number, and is this framework's."""
    version = candidate.pack.api_version
    if version != API_VERSION or type(version) is not int:  # True is one, too
        yield f"api_version: found {version!r}, this xtts-framework has API version {API_VERSION}"
    elif not any("api_version" in vars(kind) for kind in candidate.pack.__mro__ if kind not in LanguagePack.__mro__):
        yield f"api_version: write `api_version = {API_VERSION}` in the class, so that it stays what it is"


def is_the_only_pack_of_its_language(candidate: Candidate) -> Iterator[str]:
    """No other installed pack has the same code."""
    for claim in find_plugins().claims.get(getattr(candidate.pack, "code", ""), []):
        if _place_of(claim.pack) != _place_of(candidate.pack):
            yield f"code {candidate.pack.code!r}: {claim.info} has a pack for it too, and only one can be used"


def loads_without_torch(candidate: Candidate) -> Iterator[str]:
    """The module can be imported where torch and TTS are not installed."""
    yield from complain_of_failed_load(candidate.loaded_alone, candidate.pack.__module__)


def imports_no_torch_at_load(candidate: Candidate) -> Iterator[str]:
    """Importing the module imports no torch, TTS or transformers, not even where they are installed."""
    yield from complain_of_heavy_load(candidate.loaded_alone, candidate.pack.__module__)


def imports_no_torch_to_normalize(candidate: Candidate) -> Iterator[str]:
    """`normalize` and `check` import no torch, TTS or transformers."""
    if candidate.loaded_alone.heavy_in_use:
        asked = ", ".join(candidate.loaded_alone.heavy_in_use)
        yield f"normalize or check imports {asked}, which validate and tokenize do without"


def options_accept_their_defaults(candidate: Candidate) -> Iterator[str]:
    """`Options()` works, survives a round trip through JSON, and a pack can be set up with it."""
    options = candidate.pack.Options
    if not (isinstance(options, type) and issubclass(options, BaseModel)):
        yield f"Options: expected a pydantic model, found {options!r}"
        return
    try:
        defaults = options()
        written = defaults.model_dump(mode="json", by_alias=True)
        read = options.model_validate(written)
        candidate.pack(read)
    except Exception as error:
        yield f"Options: its own defaults do not work: {describe_error(error)}"
        return
    if read != defaults:
        yield f"Options: the defaults {defaults!r} are {read!r} once written and read again"


def options_refuse_unknown_keys(candidate: Candidate) -> Iterator[str]:
    """A misspelt option is an error: `extra="forbid"`."""
    if not (isinstance(candidate.pack.Options, type) and issubclass(candidate.pack.Options, BaseModel)):
        raise Uncheckable("Options is no pydantic model")
    try:
        candidate.pack.Options.model_validate({"no_such_option": 1})
    except ValidationError as error:
        if any(problem["type"] == "extra_forbidden" for problem in error.errors()):
            return
    except Exception as error:
        raise Uncheckable(f"Options fails: {describe_error(error)}") from error
    yield 'Options: the unknown key no_such_option passes; set model_config = ConfigDict(extra="forbid")'


def alphabet_is_a_set(candidate: Candidate) -> Iterator[str]:
    """`alphabet` is a frozenset, so that no character is in it twice, and the same at every call."""
    try:
        alphabet: Any = candidate.instance.alphabet
        others = [candidate.instance.alphabet, candidate.set_up().alphabet]
    except Uncheckable:
        raise
    except Exception as error:
        yield f"alphabet: {describe_error(error)}"
        return
    if not isinstance(alphabet, AbstractSet):
        twice = _find_repeated(alphabet)
        also = f", in which {', '.join(map(show, twice))} is repeated" if twice else ""
        yield f"alphabet: expected a frozenset, found a {type(alphabet).__name__}{also}"
    elif any(other != alphabet for other in others):
        yield "alphabet: two calls gave different characters; a vocabulary is made once"


def alphabet_holds_single_characters(candidate: Candidate) -> Iterator[str]:
    """Each element of the alphabet is one character, one code point."""
    alphabet = _elements_of(candidate)
    odd = [
        element for element in alphabet if not isinstance(element, str) or (len(element) != 1 and _is_composed(element))
    ]
    if odd:
        yield f"alphabet: expected single characters, found {show_all(odd)}"


def alphabet_is_composed(candidate: Candidate) -> Iterator[str]:
    """Each element of the alphabet is in Unicode's composed form, NFC: é, not e with an accent after it."""
    odd = [element for element in _elements_of(candidate) if isinstance(element, str) and not _is_composed(element)]
    for element in odd:
        yield f"alphabet: {show(element)} is decomposed; expected {show(unicodedata.normalize('NFC', element))} (NFC)"


def alphabet_has_no_capitals(candidate: Candidate) -> Iterator[str]:
    """XTTS's vocabulary has no capitals, and its own code lower-cases what it speaks."""
    capitals = [character for character in candidate.alphabet if character != character.lower()]
    if capitals:
        yield f"alphabet: expected lower case only, found {show_all(capitals)}"


def alphabet_has_the_space_alone(candidate: Candidate) -> Iterator[str]:
    """The alphabet has the space, and no other white space."""
    if " " not in candidate.alphabet:
        yield "alphabet: the space is missing"
    others = [character for character in candidate.alphabet if character.isspace() and character != " "]
    if others:
        yield f"alphabet: expected no white space but the space, found {show_all(others)}"


def alphabet_can_be_written(candidate: Candidate) -> Iterator[str]:
    """The alphabet has no control characters, lone surrogates or code points that no character has."""
    visible = [character for character in candidate.alphabet if not character.isspace()]
    odd = [character for character in visible if unicodedata.category(character[:1] or " ") in UNWRITABLE]
    if odd:
        yield f"alphabet: expected characters that can be written, found {show_all(odd)}"


def normalize_takes_any_text(candidate: Candidate) -> Iterator[str]:
    """`normalize` gives a `str` and never raises, on any text, however odd."""
    if candidate.slowness:
        raise Uncheckable("the pack is too slow")
    for text in candidate.texts:
        normalized = candidate.normalize(text)
        if isinstance(normalized, Exception):
            yield f"normalize({show(text)}) raises {describe_error(normalized)}"
        elif not isinstance(normalized, str):
            yield f"normalize({show(text)}): expected a str, found {type(normalized).__name__}"


def normalize_is_pure(candidate: Candidate) -> Iterator[str]:
    """The same text gives the same reading: again, in another instance, in another process."""
    yield from candidate.unsteady
    try:
        elsewhere = candidate.read_alone.readings
    except Uncheckable:
        return
    for here, there in zip(candidate.readings, elsewhere, strict=False):
        if there is not None and there != here.normalized:
            first, second = show_apart(here.normalized, there)
            yield f"normalize({show(here.raw)}) gives {first}, in another process {second}"


def normalize_is_idempotent(candidate: Candidate) -> Iterator[str]:
    """`normalize(normalize(x)) == normalize(x)`."""
    for reading in candidate.steady_readings:
        again = candidate.normalize(reading.normalized)
        if isinstance(again, str) and again != reading.normalized:
            once, twice = show_apart(reading.normalized, again)
            yield f"normalize({show(reading.raw)}) gives {once}, and that gives {twice}"


def normalize_is_blind_to_case(candidate: Candidate) -> Iterator[str]:
    """`normalize(x.lower()) == normalize(x)`."""
    for reading in candidate.steady_readings:
        lower = candidate.normalize(reading.raw.lower())
        if isinstance(lower, str) and lower != reading.normalized:
            as_written, lowered = show_apart(reading.normalized, lower)
            yield f"normalize({show(reading.raw)}) gives {as_written}, in lower case {lowered}"


def check_takes_any_text(candidate: Candidate) -> Iterator[str]:
    """`check` gives a list of `TextProblem` that can be written to a file, and never raises."""
    _ = candidate.alphabet  # the default `check` needs it
    for reading in candidate.readings:
        problems = candidate.check(reading)
        if isinstance(problems, Exception):
            yield f"check of {show(reading.raw)} raises {describe_error(problems)}"
        elif not isinstance(problems, list) or not all(isinstance(problem, TextProblem) for problem in problems):
            yield f"check of {show(reading.raw)}: expected a list of TextProblem, found {problems!r}"
        elif any(not _is_writable(problem.detail) for problem in problems):
            yield f"check of {show(reading.raw)}: a detail cannot be written to a file (a lone surrogate?)"


def accepts_only_its_alphabet(candidate: Candidate) -> Iterator[str]:
    """A text that `check` accepts is made of the alphabet: the model has a row for each of its characters."""
    for reading in candidate.accepted:
        strange = set(reading.normalized) - candidate.alphabet
        if strange:
            yield (
                f"{show(reading.raw)} is accepted as {show(reading.normalized)}, but {show_all(strange)} "
                "is not in the alphabet"
            )


def loses_nothing_silently(candidate: Candidate) -> Iterator[str]:
    """A text of which `normalize` leaves a word out is refused: a number, a word in another script."""
    for reading, word in itertools.product(candidate.accepted[:FEW_TEXTS], STRANGE_WORDS):
        raw = f"{reading.raw} {word}"
        normalized = candidate.normalize(raw)
        if normalized == reading.normalized and candidate.check(Reading(raw, normalized)) == []:
            yield f"{show(raw)} is accepted as {show(normalized)}: {word!r} is lost"


def refuses_empty_texts(candidate: Candidate) -> Iterator[str]:
    """A text of which nothing is left to say is refused."""
    for reading in candidate.accepted:
        if not reading.normalized.strip():
            yield f"{show(reading.raw)} is accepted as {show(reading.normalized)}: there is nothing to say"


def accepts_composed_texts_only(candidate: Candidate) -> Iterator[str]:
    """An accepted text is in Unicode's composed form, NFC: one spelling, one row of the vocabulary."""
    letters = [character for character in candidate.alphabet if character.isalpha()]
    accents = [character for character in candidate.alphabet if unicodedata.category(character[:1] or " ")[0] == "M"]
    accented = ["".join(pair) for pair in itertools.product(letters, accents)]
    readings = [Reading(text, candidate.normalize(text)) for text in accented]
    accepted = [
        reading for reading in readings if isinstance(reading.normalized, str) and candidate.check(reading) == []
    ]
    for reading in [*candidate.accepted, *accepted]:
        if not _is_composed(reading.normalized):
            composed = unicodedata.normalize("NFC", reading.normalized)
            yield f"{show(reading.raw)} is accepted as {reading.normalized!a}; expected {composed!a} (NFC)"


def reads_its_examples(candidate: Candidate) -> Iterator[str]:
    """The author's examples are read as they say, and accepted."""
    for raw, expected in candidate.examples:
        normalized = candidate.normalize(raw)
        if normalized != expected:
            yield f"normalize({show(raw)}): expected {show(expected)}, found {show(normalized)}"
            continue
        problems = candidate.check(Reading(raw, normalized))
        if problems:
            yield f"{show(raw)} is read as expected, but refused: {problems}"


def splits_without_loss(candidate: Candidate) -> Iterator[str]:
    """`split_sentences` loses nothing but spaces, and no piece is empty or longer than the limit."""
    pack = candidate.instance
    for reading, limit in itertools.product(
        candidate.steady_readings[:: len(SENTENCE_CHARACTERS)], SENTENCE_CHARACTERS
    ):
        try:
            pieces = pack.split_sentences(reading.normalized, limit)
        except Exception as error:
            yield f"split_sentences({show(reading.normalized)}, {limit}) raises {describe_error(error)}"
            continue
        if "".join("".join(pieces).split()) != "".join(reading.normalized.split()):
            yield f"split_sentences({show(reading.normalized)}, {limit}) loses text: {show_all(pieces)}"
        elif not all(0 < len(piece) <= limit for piece in pieces):
            wrong = next(piece for piece in pieces if not 0 < len(piece) <= limit)
            yield (
                f"split_sentences({show(reading.normalized)}, {limit}): a piece of {len(wrong)} characters, "
                f"expected 1 to {limit}"
            )


def takes_linear_time(candidate: Candidate) -> Iterator[str]:
    """Time grows with the length of a text, not faster, and 1 MB takes a few seconds."""
    yield from candidate.slowness


def freezing_plan_fits_the_model(candidate: Candidate) -> Iterator[str]:
    """`freezing_plan` names blocks that the model has, each once, and leaves something to train."""
    pack = candidate.instance
    for clips, blocks in itertools.product(CLIPS, BLOCKS):
        asked = f"freezing_plan({clips}, {blocks})"
        try:
            plan = pack.freezing_plan(clips, blocks)
        except Exception as error:
            yield f"{asked} raises {describe_error(error)}"
            continue
        if not isinstance(plan, FreezingPlan):
            yield f"{asked}: expected a FreezingPlan, found {plan!r}"
        elif not set(plan.frozen_blocks) <= set(range(blocks)) or len(set(plan.frozen_blocks)) < len(
            plan.frozen_blocks
        ):
            yield f"{asked}: expected blocks from 0 to {blocks - 1}, each once, found {plan.frozen_blocks}"
        elif len(plan.frozen_blocks) == blocks and not (
            plan.text_embedding or plan.audio_embedding or plan.heads or plan.conditioning
        ):
            yield f"{asked}: everything is frozen, nothing is left to train"


LOADING_CHECKS: tuple[Check, ...] = (loads_without_torch, imports_no_torch_at_load)

CHECKS: tuple[Check, ...] = (
    *LOADING_CHECKS,
    states_its_code_and_name,
    states_its_api_version,
    is_the_only_pack_of_its_language,
    options_accept_their_defaults,
    options_refuse_unknown_keys,
    alphabet_is_a_set,
    alphabet_holds_single_characters,
    alphabet_is_composed,
    alphabet_has_no_capitals,
    alphabet_has_the_space_alone,
    alphabet_can_be_written,
    imports_no_torch_to_normalize,
    takes_linear_time,
    normalize_takes_any_text,
    normalize_is_pure,
    normalize_is_idempotent,
    normalize_is_blind_to_case,
    check_takes_any_text,
    accepts_only_its_alphabet,
    accepts_composed_texts_only,
    loses_nothing_silently,
    refuses_empty_texts,
    reads_its_examples,
    splits_without_loss,
    freezing_plan_fits_the_model,
)
"""The contract, in the order in which it is checked."""


def examine(candidate: Candidate, check: Check) -> Outcome:
    """Make one check. A pack that fails where no check expected it has broken that check's promise."""
    name = check.__name__
    try:
        details = list(itertools.islice(check(candidate), SHOWN_BREACHES))
    except Uncheckable as reason:
        return Outcome(name, skipped=str(reason))
    except Exception as error:
        details = [describe_error(error)]
    return Outcome(name, tuple(Breach(name, detail) for detail in details))


def complain_of_failed_load(answer: Answer, module: str) -> Iterator[str]:
    """What `loads_without_torch` finds in a module that has been loaded alone."""
    if answer.error:
        asked = ", ".join(answer.heavy_at_load)
        hint = f". It imports {asked}: do so within the function that needs it" if asked else ""
        yield f"{module} cannot be imported without torch: {answer.error}{hint}"


def complain_of_heavy_load(answer: Answer, module: str) -> Iterator[str]:
    """What `imports_no_torch_at_load` finds in a module that has been loaded alone."""
    if answer.heavy_at_load and not answer.error:
        yield f"{module} imports {', '.join(answer.heavy_at_load)} when it is loaded"


def _elements_of(candidate: Candidate) -> list[Any]:
    """Of the alphabet, whatever they are."""
    try:
        alphabet: Any = candidate.instance.alphabet
    except Exception as error:
        raise Uncheckable(f"the alphabet cannot be read: {describe_error(error)}") from error
    if not isinstance(alphabet, AbstractSet):
        raise Uncheckable("the alphabet is no set")
    return sorted(alphabet, key=str)


def _find_repeated(elements: Any) -> list[Any]:
    try:
        listed = list(elements)
    except TypeError:
        return []
    return sorted({element for element in listed if listed.count(element) > 1})


def _place_of(pack: type) -> tuple[str, str]:
    return pack.__module__, pack.__qualname__


def _is_composed(text: str) -> bool:
    return unicodedata.is_normalized("NFC", text)


def _is_writable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
