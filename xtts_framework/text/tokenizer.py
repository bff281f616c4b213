"""From text to the ids that XTTS reads, and the one path there for training and for speaking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Encoding, Tokenizer

from xtts_framework.errors import UserError

if TYPE_CHECKING:
    from xtts_framework.plugins import LanguagePack

SPACE = "[SPACE]"
UNKNOWN = "[UNK]"
STOP = "[STOP]"
START = "[START]"

TEXTS_PER_BATCH = 1000

DEFAULT_CHARACTER_LIMIT = 250
"""Coqui's limit for a language it has no own limit for. Source: coqui-tts 0.28.0, `VoiceBpeTokenizer`."""


def language_tag(code: str) -> str:
    """The token that opens every text of a language: `am` -> `[am]`."""
    return f"[{code}]"


def tagged(normalized: str, code: str) -> str:
    """Spell a normalised text the way XTTS's vocabulary expects it: `ሰላም ለዓለም` -> `[am]ሰላም[SPACE]ለዓለም`."""
    return f"{language_tag(code)}{normalized}".replace(" ", SPACE)


def encode_texts(tokenizer: Tokenizer, code: str, texts: Sequence[str]) -> Iterator[Encoding]:
    """Encode normalised texts of one language, some at a time, on all cores."""
    for start in range(0, len(texts), TEXTS_PER_BATCH):
        yield from tokenizer.encode_batch([tagged(text, code) for text in texts[start : start + TEXTS_PER_BATCH]])


class XttsTokenizer:
    """Encodes text with a vocabulary and language packs.

    Takes the place of coqui's `VoiceBpeTokenizer`: after `model.tokenizer = XttsTokenizer(vocab, packs)` coqui's
    `Xtts.inference` reads text exactly as the training did. Nothing is truncated; a caller compares the number of ids
    with `MODEL_MAX_TEXT_IDS`.

    Args:
        vocab: a tokenizers JSON file that holds the tag of every pack.
        packs: language packs by language code.
    Raises:
        UserError: the file cannot be read, or lacks the tag of a pack.
    """

    def __init__(self, vocab: Path, packs: Mapping[str, LanguagePack]) -> None:
        self.tokenizer = _load_tokenizer(vocab)
        self.packs = dict(packs)
        self.char_limits = _CharacterLimits()
        special = {token.content for token in self.tokenizer.get_added_tokens_decoder().values()}
        for code in self.packs:
            if language_tag(code) not in special:
                raise UserError(
                    f"{vocab}: the vocabulary has no token {language_tag(code)}, so it does not know this language.\n"
                    "  Use the vocabulary of a run or bundle of that language; `xtts tokenize` makes one from a base."
                )

    def encode(self, text: str, lang: str) -> list[int]:
        """Ids of a text as a person writes it, language tag first.

        Args:
            lang: language code; a region may be added (`am-ET` is `am`) or left out (`zh` is `zh-cn`), as coqui does.
        Raises:
            UserError: no pack for this language.
        """
        pack = self._pack(lang)
        return self.encode_normalized(pack.normalize(text), pack.code)

    def encode_normalized(self, normalized: str, lang: str) -> list[int]:
        """Ids of a text that the pack of `lang` has already normalised, for example a manifest's `normalized`."""
        ids: list[int] = self.tokenizer.encode(tagged(normalized, self._pack(lang).code)).ids
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text behind ids, with its language tag and without stops; what was unknown is lost.

        Args:
            ids: a sequence, array or one-dimensional tensor.
        """
        text: str = self.tokenizer.decode([int(index) for index in ids], skip_special_tokens=False)
        return text.replace(" ", "").replace(SPACE, " ").replace(STOP, "").replace(UNKNOWN, "")

    def get_number_tokens(self) -> int:
        """Rows that text embedding and text head need: the highest id plus one, whatever holes there are below."""
        return int(max(self.tokenizer.get_vocab().values())) + 1

    def __len__(self) -> int:
        return int(self.tokenizer.get_vocab_size())

    def _pack(self, lang: str) -> LanguagePack:
        language = _without_region(lang)
        namesakes = (pack for code, pack in self.packs.items() if _without_region(code) == language)
        pack = self.packs.get(lang) or self.packs.get(language) or next(namesakes, None)
        if pack is None:
            raise UserError(f"No language {lang!r} here; this tokenizer speaks {', '.join(sorted(self.packs))}.")
        return pack


def _without_region(code: str) -> str:
    return code.partition("-")[0]


class _CharacterLimits(dict[str, int]):
    """Coqui looks up `char_limits[language]` when it splits sentences itself; any language has a limit here."""

    def __missing__(self, language: str) -> int:
        return DEFAULT_CHARACTER_LIMIT


def _load_tokenizer(vocab: Path) -> Tokenizer:
    if not vocab.is_file():
        raise UserError(f"{vocab}: no such vocabulary file; `xtts tokenize` writes it.")
    try:
        return Tokenizer.from_file(str(vocab))
    except Exception as error:  # the library raises bare Exception
        raise UserError(f"{vocab}: not a vocabulary of the tokenizers library: {error}") from error
