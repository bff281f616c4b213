"""How a pack reads a text, rule by rule: what `xtts text` shows to whoever writes a pack."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xtts_framework.plugins import LanguagePack, Plugins, Rule, TextProblem
from xtts_framework.plugins.discovery import describe_error
from xtts_framework.plugins.registry import PACK_ERROR
from xtts_framework.text.tokenizer import SPACE, UNKNOWN

if TYPE_CHECKING:
    from tokenizers import Encoding

STRAY = re.compile("[\ud800-\udfff]")
"""What Python makes of a byte that is not UTF-8, in `decode_text`: U+DC80 to U+DCFF."""
SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Step:
    """A rule, by the name of its function, and the text before and after it."""

    rule: str
    before: str
    text: str


@dataclass(frozen=True)
class Reading:
    """A text, how it was read, and why it is refused, if it is.

    Args:
        raw: as given; a byte that is not UTF-8 is written `<0xFF>`.
        steps: all rules in order, up to one that failed; none for a text that is not UTF-8.
        normalized: as the model reads it; "" when the pack failed.
        problems: the reasons to refuse the text.
    """

    raw: str
    steps: list[Step]
    normalized: str
    problems: list[TextProblem]

    @property
    def rejects(self) -> list[str]:
        """The codes of the problems, each once."""
        return list(dict.fromkeys(problem.code for problem in self.problems))

    @property
    def changes(self) -> list[Step]:
        """The steps that changed something."""
        return [step for step in self.steps if step.text != step.before]


def decode_text(content: bytes) -> str:
    """Decode UTF-8; what is something else is left to `read_by_rules` to refuse."""
    return content.decode("utf-8", "surrogateescape")


def decode_lines(lines: Iterable[bytes]) -> Iterator[str]:
    """`decode_text` of each line, without its end; the first without a byte-order mark."""
    for number, line in enumerate(lines):
        text = decode_text(line).rstrip("\r\n")
        yield text.removeprefix("\ufeff") if number == 0 else text


def read_by_rules(plugins: Plugins, pack: LanguagePack, raw: str) -> Reading:
    """Read a text as training and speaking do, and keep what each rule did. Never raises.

    Besides what `Plugins.read_text` finds, a text is refused as `not_utf8`, and as `pack_error` when the pack's `rules`
    and its `normalize` disagree.
    """
    stray = STRAY.search(raw)
    if stray:
        detail = f"{_name_stray(stray[0])} at character {stray.start() + 1}; expected UTF-8 text"
        shown = STRAY.sub(lambda match: f"<{_name_stray(match[0])}>", raw)
        return Reading(shown, [], "", [TextProblem("not_utf8", detail)])
    normalized, problems = plugins.read_text(pack, raw)
    steps, failure = _apply_rules(pack, raw)
    if failure:
        problems = [failure, *(problem for problem in problems if problem.code != PACK_ERROR)]
    elif normalized != (last := steps[-1].text if steps else raw):
        found = f"its rules give {_shorten(last)}, its normalize gives {_shorten(normalized)}"
        problems = [*problems, TextProblem(PACK_ERROR, f"language pack {pack.code!r}: {found}; they must agree")]
    if not normalized and not problems:
        problems = [TextProblem("empty_text", "nothing is left to say once the text is normalised")]
    return Reading(raw, steps, normalized, problems)


def find_unknown(normalized: str, encoding: Encoding) -> list[str]:
    """The characters of an encoded text that its vocabulary lacks, each once: to the model all are one."""
    tag = encoding.tokens[0]
    read = tag + normalized.replace(" ", SPACE)
    spans = [span for token, span in zip(encoding.tokens, encoding.offsets, strict=True) if token == UNKNOWN]
    return sorted({character for start, end in spans for character in read[start:end]})


def _apply_rules(pack: LanguagePack, text: str) -> tuple[list[Step], TextProblem | None]:
    """All steps, or those before the rule that failed and what it failed with."""
    steps: list[Step] = []
    name = "rules"
    try:
        for rule in _find_rules(pack):
            name = getattr(rule, "__name__", repr(rule)).replace("_", " ")
            before, text = text, rule(text)
            if not isinstance(text, str):
                raise TypeError(f"expected a str, found {type(text).__name__}")
            steps.append(Step(name, before, text))
    except Exception as error:
        return steps, TextProblem(PACK_ERROR, f"language pack {pack.code!r}, {name}: {describe_error(error)}")
    return steps, None


def _find_rules(pack: LanguagePack) -> Sequence[Rule]:
    """The rules; or `normalize` as the only one, when the pack replaces it without giving rules of its own."""
    for kind in type(pack).__mro__:
        if "rules" in vars(kind):
            break
        if "normalize" in vars(kind):
            return [pack.normalize]
    return pack.rules


def _name_stray(character: str) -> str:
    """`0xFF` for a byte that is not UTF-8, `U+D800` for half a surrogate pair."""
    point = ord(character)
    return f"0x{point - 0xDC00:02X}" if 0xDC80 <= point <= 0xDCFF else f"U+{point:04X}"


def _shorten(text: str) -> str:
    return repr(text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…")
