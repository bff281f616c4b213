"""Extends the vocabulary of a base with languages it does not know, without touching what it does know.

A vocabulary is the JSON of the `tokenizers` library: `model.vocab` (token -> id, perhaps with holes), `model.merges`
(in order of priority) and `added_tokens` (tags, never split). New merges rank below all old ones and join only pieces
that the old ones leave apart; so every token they make is reached, and text of the base's languages never meets them.
"""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from xtts_framework.errors import UserError
from xtts_framework.text.merges import Corpus, learn_merges
from xtts_framework.text.tokenizer import SPACE, START, STOP, UNKNOWN, encode_texts, language_tag

if TYPE_CHECKING:
    from xtts_framework.plugins import LanguagePack

Vocab = dict[str, Any]
"""A tokenizers JSON document."""

LONGEST_TOKENS = 50
LANGUAGE_TAG = re.compile(r"\[[a-z]{2,3}(-[a-z]+)?\]")
PLAIN_TAG = {"special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}


def read_vocab(path: Path) -> Vocab:
    """Read a vocabulary that XTTS can use.

    Raises:
        UserError: no file, no JSON, no BPE vocabulary, or one without XTTS's special tokens.
    """
    try:
        vocab = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such vocabulary file; a base folder holds one called vocab.json.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a JSON file: {error}") from error
    try:
        Tokenizer.from_str(json.dumps(vocab))
        is_bpe = vocab["model"].get("type", "BPE") == "BPE"
    except Exception as error:  # the library raises bare Exception
        raise UserError(f"{path}: not a vocabulary of the tokenizers library: {error}") from error
    if not is_bpe:
        raise UserError(f"{path}: expected a BPE vocabulary, found {vocab['model']['type']!r}.")
    special = {token["content"] for token in vocab.get("added_tokens", ())}
    missing = [token for token in (STOP, UNKNOWN, SPACE, START) if token not in special]
    if missing:
        raise UserError(f"{path}: not a vocabulary of XTTS, it lacks the special tokens {', '.join(missing)}.")
    return dict(vocab)


def row_count(vocab: Vocab) -> int:
    """Rows that the text embedding needs: the highest id plus one, whatever holes there are below."""
    ids: list[int] = [*vocab["model"]["vocab"].values(), *(token["id"] for token in vocab["added_tokens"])]
    return max(ids) + 1


def language_tags(vocab: Vocab) -> dict[str, int]:
    """Language tags that the vocabulary never splits, with their ids: `{"[en]": 259, …}`."""
    return {
        token["content"]: token["id"] for token in vocab["added_tokens"] if LANGUAGE_TAG.fullmatch(token["content"])
    }


def language_rows(base_vocab: Vocab, vocab: Vocab) -> dict[int, list[int]]:
    """For each tag that `vocab` adds, the tags of the base: what `extend_text_rows` averages."""
    old = language_tags(base_vocab)
    return {index: sorted(old.values()) for tag, index in language_tags(vocab).items() if tag not in old}


def extend_vocab(
    base_vocab: Vocab,
    corpora: Sequence[tuple[LanguagePack, Iterable[str]]],
    new_tokens: int,
    own_merges: bool | None,
) -> tuple[Vocab, dict[str, Any]]:
    """Add languages to a vocabulary: their tags, their characters, then merges learnt from their texts.

    Old ids, old merges and the encoding of text in the base's characters stay as they are; new ids are contiguous and
    follow the highest old one; holes stay holes. What the vocabulary already holds is not added again, so extending
    twice changes nothing the second time.

    Merges join characters that are new to the base, and no others. A language whose script the base covers gets none,
    unless `own_merges`; even then a language whose tag the base holds gets none, since another spelling of known text
    would void what the model has learnt about it.

    Args:
        base_vocab: left as it is.
        corpora: a pack and its normalised training texts, one entry per language.
        new_tokens: rows to add in all: tags, characters and merged tokens.
        own_merges: whether merges may consist of characters the base knows. None: each pack decides.
    Returns:
        The extended vocabulary and the report (`docs/tokenizer.md`).
    Raises:
        UserError: `new_tokens` does not even hold tags and characters, or an alphabet has a character that can
            never be a token.
    """
    base_rows = row_count(base_vocab)
    texts = {pack.code: list(corpus) for pack, corpus in corpora}
    packs = [pack for pack, _ in corpora]

    vocab = copy.deepcopy(base_vocab)
    for pack in packs:
        _add_language(vocab, pack)
    spelled = Tokenizer.from_str(json.dumps(vocab))
    for pack in packs:
        _check_alphabet(spelled, pack)
    spare_rows = new_tokens - (row_count(vocab) - base_rows)
    if spare_rows < 0:
        raise UserError(
            f"new_tokens is {new_tokens}, but language tags and characters alone need {new_tokens - spare_rows} rows.\n"
            f"  Set `tokenizer.new_tokens` to more than {new_tokens - spare_rows}; the usual value is 2000."
        )

    characters = frozenset(range(base_rows, row_count(vocab))) - frozenset(language_tags(vocab).values())
    merges = learn_merges(
        spelled,
        [
            Corpus(
                pack.code,
                texts[pack.code],
                mergeable=_unreserved_ids(vocab) if _may_respell(pack, base_vocab, own_merges) else characters,
            )
            for pack in packs
        ],
        max_tokens=spare_rows,
    )
    added_merges = _append_merges(vocab, merges)

    extended = Tokenizer.from_str(json.dumps(vocab))
    added = {token for token, index in vocab["model"]["vocab"].items() if index >= base_rows}
    report = {
        "languages": {
            pack.code: _measure_language(pack, texts[pack.code], spelled, extended, added)
            | _describe_language(pack, base_vocab, extended, added)
            for pack in packs
        },
        "base_rows": base_rows,
        "rows": row_count(vocab),
        "requested_tokens": new_tokens,
        "added_tokens": len(added),
        "added_merges": added_merges,
        "longest_tokens": longest_tokens(added - language_tags(vocab).keys()),
    }
    return vocab, report


def _add_language(vocab: Vocab, pack: LanguagePack) -> None:
    """Add a pack's tag and those characters of its alphabet that the vocabulary lacks, in code point order."""
    ids = vocab["model"]["vocab"]
    tag = language_tag(pack.code)
    if tag not in language_tags(vocab):
        if tag not in ids:
            ids[tag] = row_count(vocab)
        like_others = next((t for t in vocab["added_tokens"] if LANGUAGE_TAG.fullmatch(t["content"])), PLAIN_TAG)
        vocab["added_tokens"].append({**like_others, "id": ids[tag], "content": tag})
    new = sorted(pack.alphabet - ids.keys() - {" "})
    ids |= {character: index for index, character in enumerate(new, start=row_count(vocab))}


def _check_alphabet(spelled: Tokenizer, pack: LanguagePack) -> None:
    lost = sorted(character for character in pack.alphabet - {" "} if spelled.encode(character).tokens != [character])
    if lost:
        named = ", ".join(f"U+{ord(character[0]):04X}" for character in lost)
        raise UserError(
            f"language pack {pack.code!r}: these characters of its alphabet can never be tokens: {named}.\n"
            "  White space other than the space disappears when XTTS reads a text; normalize() has to replace it."
        )


def _may_respell(pack: LanguagePack, base_vocab: Vocab, own_merges: bool | None) -> bool:
    """Whether merges for this language may join characters that the base knows."""
    wanted = pack.own_merges if own_merges is None else own_merges
    return wanted and language_tag(pack.code) not in language_tags(base_vocab)


def _unreserved_ids(vocab: Vocab) -> frozenset[int]:
    reserved = {token["content"] for token in vocab["added_tokens"]} | {UNKNOWN}
    return frozenset(index for token, index in vocab["model"]["vocab"].items() if token not in reserved)


def _append_merges(vocab: Vocab, merges: Iterable[tuple[str, str]]) -> int:
    """Append merges after the old ones, and a token for each new result; return how many were appended."""
    model = vocab["model"]
    as_text = bool(model["merges"]) and isinstance(model["merges"][0], str)
    known = {tuple(merge.split(" ") if as_text else merge) for merge in model["merges"]}
    new = [merge for merge in dict.fromkeys(merges) if merge not in known]
    model["merges"] += [" ".join(merge) if as_text else list(merge) for merge in new]
    results = [result for result in dict.fromkeys(map("".join, new)) if result not in model["vocab"]]
    model["vocab"] |= {result: index for index, result in enumerate(results, start=row_count(vocab))}
    return len(new)


def tokens_per_character(tokenizer: Tokenizer, code: str, texts: Sequence[str]) -> float | None:
    """How long texts are in tokens: `[SPACE]` counts, as spaces do, and the language tag does not.

    1 is a token for each character, 0.5 half as many.

    Args:
        code: language code.
        texts: normalised.
    Returns:
        None for texts without a character.
    """
    characters = sum(map(len, texts))
    tokens = sum(len(encoding) - 1 for encoding in encode_texts(tokenizer, code, texts))
    return round(tokens / characters, 4) if characters else None


def longest_tokens(tokens: Iterable[str]) -> list[str]:
    """At most 50, the longest first. Whole names among them mean that the texts are few or much alike."""
    return sorted(tokens, key=lambda token: (-len(token), token))[:LONGEST_TOKENS]


def unreachable_tokens(tokenizer: Tokenizer, tokens: Iterable[str]) -> list[str]:
    """Tokens that not even the text of their own characters is encoded to."""
    return [token for token in tokens if tokenizer.encode(token).tokens != [token]]


def _measure_language(
    pack: LanguagePack, texts: Sequence[str], spelled: Tokenizer, extended: Tokenizer, added: AbstractSet[str]
) -> dict[str, Any]:
    """What the new merges do to the texts they were learnt from; `spelled` is the vocabulary without them."""
    used = Counter(token for encoding in encode_texts(extended, pack.code, texts) for token in encoding.tokens)
    characters = max(1, sum(map(len, texts)))
    return {
        "tokens_per_character_before": tokens_per_character(spelled, pack.code, texts),
        "tokens_per_character_after": tokens_per_character(extended, pack.code, texts),
        "coverage": 1 - used[UNKNOWN] / characters,
        "unk": used[UNKNOWN],
        "longest_tokens": longest_tokens(used.keys() & added - {language_tag(pack.code)}),
    }


def _describe_language(
    pack: LanguagePack, base_vocab: Vocab, extended: Tokenizer, added: AbstractSet[str]
) -> dict[str, Any]:
    alphabet = pack.alphabet - {" "}
    missing = alphabet - base_vocab["model"]["vocab"].keys()
    merged = [token for token in added if len(token) > 1 and alphabet.issuperset(token)]
    return {
        "unreachable": len(unreachable_tokens(extended, merged)),
        "tag_added": language_tag(pack.code) not in language_tags(base_vocab),
        "characters_added": len(missing),
        "script_in_base": not any(character.isalpha() for character in missing),
        "merged_tokens": len(merged),
    }
