"""What extending a vocabulary keeps, and what it adds."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_languages import (
    AMHARIC,
    ETHIOPIC,
    REAL_VOCAB,
    SWAHILI,
    YORUBA,
    Amharic,
    SmallPack,
    Swahili,
    Yoruba,
    small_vocab,
    write_vocab,
)
from tokenizers import Tokenizer

from xtts_framework.errors import UserError
from xtts_framework.plugins import LanguagePack
from xtts_framework.text.tokenizer import UNKNOWN, tagged
from xtts_framework.text.vocabulary import (
    extend_vocab,
    language_rows,
    language_tags,
    read_vocab,
    row_count,
    tokens_per_character,
    unreachable_tokens,
)

NEW_TOKENS = 160


def real_vocab() -> dict[str, Any]:
    if not REAL_VOCAB.is_file():
        pytest.skip("the vocabulary of the released model is not beside the repository")
    return read_vocab(REAL_VOCAB)


@pytest.fixture(scope="module", params=[small_vocab, real_vocab], ids=["small", "real"])
def base(request: pytest.FixtureRequest) -> dict[str, Any]:
    read: Callable[[], dict[str, Any]] = request.param
    return read()


@pytest.fixture(scope="module")
def extended(base: dict[str, Any]) -> dict[str, Any]:
    return extend_vocab(base, [(Amharic(), AMHARIC)], NEW_TOKENS, None)[0]


def load(vocab: dict[str, Any]) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(vocab))


def added_tokens(base: dict[str, Any], vocab: dict[str, Any]) -> dict[str, int]:
    return {token: index for token, index in vocab["model"]["vocab"].items() if token not in base["model"]["vocab"]}


def assert_every_token_is_reached(base: dict[str, Any], vocab: dict[str, Any]) -> None:
    tokenizer = load(vocab)
    unreached = [token for token in added_tokens(base, vocab) if tokenizer.encode(token).tokens != [token]]
    assert not unreached


def text_of_the_base(base: dict[str, Any]) -> st.SearchStrategy[str]:
    """Texts in many scripts: whole tokens of the base, its characters, characters that nobody knows; no Ethiopic."""
    tokens = sorted(token for token in base["model"]["vocab"] if not token.startswith("["))
    anything = st.characters(exclude_categories=["Cs"], exclude_characters=sorted(ETHIOPIC))
    pieces = st.one_of(st.sampled_from(tokens), st.just(" "), anything)
    return st.lists(pieces, max_size=40).map("".join).filter(lambda text: "[am]" not in text)


def test_old_vocab_encodes_identically_after_extension(base: dict[str, Any], extended: dict[str, Any]) -> None:
    before, after, tags = load(base), load(extended), sorted(language_tags(base))
    assert len(tags) >= 3

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(text=text_of_the_base(base))
    def check(text: str) -> None:
        for tag in tags:
            spelled = tagged(text, tag[1:-1])
            assert before.encode(spelled).ids == after.encode(spelled).ids

    check()


def test_old_ids_and_merges_stay(base: dict[str, Any], extended: dict[str, Any]) -> None:
    old = base["model"]
    assert {token: extended["model"]["vocab"][token] for token in old["vocab"]} == old["vocab"]
    assert extended["model"]["merges"][: len(old["merges"])] == old["merges"]
    assert extended["added_tokens"][: len(base["added_tokens"])] == base["added_tokens"]


def test_new_ids_are_contiguous_and_follow_the_highest(base: dict[str, Any], extended: dict[str, Any]) -> None:
    new = sorted(added_tokens(base, extended).values())
    assert new == list(range(max(base["model"]["vocab"].values()) + 1, row_count(extended)))
    assert row_count(extended) == max(load(extended).get_vocab().values()) + 1


def test_holes_stay_holes(base: dict[str, Any], extended: dict[str, Any]) -> None:
    holes = set(range(row_count(base))) - set(base["model"]["vocab"].values())
    assert holes
    assert not holes & set(extended["model"]["vocab"].values())


def test_alphabet_and_texts_have_no_unknown(extended: dict[str, Any]) -> None:
    tokenizer = load(extended)
    for text in [*AMHARIC, *(Amharic().alphabet - {" "})]:
        assert UNKNOWN not in tokenizer.encode(tagged(text, "am")).tokens


def test_every_added_token_is_reached(base: dict[str, Any], extended: dict[str, Any]) -> None:
    assert any(len(token) > 1 for token in added_tokens(base, extended) if not token.startswith("["))
    assert_every_token_is_reached(base, extended)


def test_the_tag_is_a_token_like_the_other_tags(base: dict[str, Any], extended: dict[str, Any]) -> None:
    tags = [token for token in extended["added_tokens"] if token["content"] in ("[en]", "[am]")]
    assert [{**tag, "id": 0, "content": ""} for tag in tags] == 2 * [{**tags[0], "id": 0, "content": ""}]
    assert load(extended).encode("[am]").ids == [extended["model"]["vocab"]["[am]"]]
    assert language_rows(base, extended) == {tags[1]["id"]: sorted(language_tags(base).values())}


def test_a_tag_that_is_only_a_word_of_the_vocabulary_keeps_its_id(base: dict[str, Any]) -> None:
    """Some published vocabularies list a tag without protecting it, so that it is read letter by letter."""
    vocab = copy.deepcopy(base)
    vocab["model"]["vocab"]["[am]"] = row_count(base)
    extended, _ = extend_vocab(vocab, [(Amharic(), AMHARIC)], NEW_TOKENS, None)
    assert load(vocab).encode("[am]").ids != [row_count(base)]
    assert load(extended).encode("[am]").ids == [row_count(base)]


def test_input_is_left_as_it_is() -> None:
    vocab = small_vocab()
    extend_vocab(vocab, [(Amharic(), AMHARIC)], NEW_TOKENS, None)
    assert vocab == small_vocab()


def test_extending_twice_changes_nothing(base: dict[str, Any], extended: dict[str, Any]) -> None:
    again, report = extend_vocab(extended, [(Amharic(), AMHARIC)], NEW_TOKENS, None)
    assert again == extended
    assert (report["added_tokens"], report["added_merges"]) == (0, 0)


def test_same_input_gives_the_same_vocabulary(base: dict[str, Any], extended: dict[str, Any]) -> None:
    again, _ = extend_vocab(base, [(Amharic(), iter(AMHARIC))], NEW_TOKENS, None)
    assert json.dumps(again) == json.dumps(extended)


def test_a_known_language_gets_only_what_is_missing(extended: dict[str, Any]) -> None:
    class WiderAmharic(Amharic):
        characters = Amharic.characters | {"ꬁ"}

    wider, report = extend_vocab(extended, [(WiderAmharic(), ["ꬁሰላምꬁꬁ ሰላምꬁꬁ", *AMHARIC])], NEW_TOKENS, None)
    assert list(added_tokens(extended, wider)) == ["ꬁ", "ꬁꬁ"]
    assert report["languages"]["am"]["characters_added"] == 1
    for text in AMHARIC:
        assert load(wider).encode(tagged(text, "am")).ids == load(extended).encode(tagged(text, "am")).ids


def test_another_language_of_the_same_script_changes_nothing_for_the_first(extended: dict[str, Any]) -> None:
    class Tigrinya(Amharic):
        code = "ti"

    both, report = extend_vocab(
        extended, [(Tigrinya(), [text.replace("ሰ", "ቀ") for text in AMHARIC])], NEW_TOKENS, None
    )
    assert list(added_tokens(extended, both)) == ["[ti]"]
    assert report["languages"]["ti"]["script_in_base"]
    for text in AMHARIC:
        assert load(both).encode(tagged(text, "am")).ids == load(extended).encode(tagged(text, "am")).ids


def test_new_tokens_counts_tag_characters_and_merges(base: dict[str, Any]) -> None:
    needed = 1 + len(ETHIOPIC)
    for extra in (0, 1, 4):
        vocab, report = extend_vocab(base, [(Amharic(), AMHARIC)], needed + extra, None)
        assert row_count(vocab) - row_count(base) == report["added_tokens"] == needed + extra
        assert report["added_merges"] == extra
    with pytest.raises(UserError, match=f"need {needed} rows"):
        extend_vocab(base, [(Amharic(), AMHARIC)], needed - 1, None)


def test_report_shows_when_the_texts_support_fewer_merges(base: dict[str, Any]) -> None:
    _, report = extend_vocab(base, [(Amharic(), AMHARIC)], 5000, None)
    assert report["requested_tokens"] == 5000
    assert 0 < report["added_merges"] < 100
    assert report["rows"] == report["base_rows"] + report["added_tokens"] < report["base_rows"] + 5000


def test_report_counts_what_the_tokenizer_does(base: dict[str, Any], extended: dict[str, Any]) -> None:
    _, report = extend_vocab(base, [(Amharic(), AMHARIC)], NEW_TOKENS, None)
    language = report["languages"]["am"]
    tokens = sum(len(load(extended).encode(tagged(text, "am"))) - 1 for text in AMHARIC)
    assert language["tokens_per_character_before"] == 1.0
    assert language["tokens_per_character_after"] == pytest.approx(tokens / sum(map(len, AMHARIC)), abs=1e-4)
    assert language["tokens_per_character_after"] < 0.7
    assert (language["unreachable"], language["unk"], language["coverage"]) == (0, 0, 1.0)
    assert report["longest_tokens"][:4] == ["ሁሉም", "ሰላም", "ሁሉ", "ላም"]
    assert language["longest_tokens"][:3] == ["ሁሉም", "ሰላም", "ሁሉ"]  # no text is left with a `ላም`
    assert len(report["longest_tokens"]) <= 50


def test_report_of_a_text_worked_out_by_hand(base: dict[str, Any]) -> None:
    """`ሀሁ` three times and `ሀሁሂ` twice are learnt in this order, `ሃ` once is not; each space is a token."""
    texts = ["ሀሁ ሀሁሂ", "ሀሁሂ ሃ ሀሁ", "ሀሁ"]
    vocab, report = extend_vocab(base, [(Amharic(), texts)], NEW_TOKENS, None)
    assert vocab["model"]["merges"][-2:] in (["ሀ ሁ", "ሀሁ ሂ"], [["ሀ", "ሁ"], ["ሀሁ", "ሂ"]])
    assert report["added_merges"] == report["languages"]["am"]["merged_tokens"] == 2
    assert report["languages"]["am"]["tokens_per_character_before"] == 1.0
    assert report["languages"]["am"]["tokens_per_character_after"] == round((3 + 5 + 1) / (6 + 8 + 2), 4)
    assert report["languages"]["am"]["longest_tokens"] == ["ሀሁሂ", "ሀሁ", "ሃ"]
    assert report["longest_tokens"][:2] == ["ሀሁሂ", "ሀሁ"]


def test_merges_of_the_base_count_before_as_well_as_after() -> None:
    """`hab|ari|[SPACE]|in`, though the base has merges for `ari` and `in`: what the run adds makes no difference."""
    _, report = extend_vocab(small_vocab(), [(Swahili(), ["habari in"])], NEW_TOKENS, None)
    language = report["languages"]["sw"]
    tokens = len(["h", "a", "b", "ari", "[SPACE]", "in"])
    assert language["tokens_per_character_before"] == round(tokens / len("habari in"), 4)
    assert language["tokens_per_character_after"] == language["tokens_per_character_before"]


def test_each_language_lists_the_tokens_that_its_texts_use(base: dict[str, Any]) -> None:
    _, report = extend_vocab(base, [(Amharic(), AMHARIC), (Yoruba(), YORUBA)], NEW_TOKENS, None)
    amharic, yoruba = (report["languages"][code]["longest_tokens"] for code in ("am", "yo"))
    assert amharic[:2] == ["ሁሉም", "ሰላም"] and yoruba == ["ọọ", "ṣ", "ẹ", "ọ"]
    assert not set(amharic) & set(yoruba)


def test_length_is_measured_in_tokens_per_character() -> None:
    tokenizer = load(small_vocab())
    assert tokens_per_character(tokenizer, "en", ["the in", "an"]) == round((3 + 1) / (6 + 2), 4)
    assert tokens_per_character(tokenizer, "en", ["", ""]) is None


def test_a_token_that_an_older_merge_prevents_is_found() -> None:
    vocab = small_vocab()
    vocab["model"]["vocab"] |= {"ሀ": row_count(vocab), "hሀ": row_count(vocab) + 1, "thሀ": row_count(vocab) + 2}
    vocab["model"]["merges"] += ["h ሀ", "t hሀ"]
    assert unreachable_tokens(load(vocab), ["ሀ", "hሀ", "thሀ", "the"]) == ["thሀ"]


def test_report_admits_what_the_alphabet_lacks(base: dict[str, Any]) -> None:
    _, report = extend_vocab(base, [(Amharic(), ["ሰላም☂☂ ሰላም"])], NEW_TOKENS, None)
    assert report["languages"]["am"]["unk"] == 2
    assert report["languages"]["am"]["coverage"] == pytest.approx(1 - 2 / 9)


def test_a_script_the_base_covers_gets_no_merges(base: dict[str, Any]) -> None:
    vocab, report = extend_vocab(base, [(Swahili(), SWAHILI)], NEW_TOKENS, None)
    assert list(added_tokens(base, vocab)) == ["[sw]"]
    assert report["added_merges"] == 0
    assert report["languages"]["sw"]["script_in_base"]


@pytest.mark.parametrize("wish", ["configuration", "pack"])
def test_own_merges_give_the_promise_to_other_languages_up(wish: str) -> None:
    class Willing(Swahili):
        own_merges = wish == "pack"

    base = small_vocab()
    chosen = True if wish == "configuration" else None
    vocab, report = extend_vocab(base, [(Willing(), SWAHILI)], 30, chosen)
    assert report["added_merges"] > 0
    assert_every_token_is_reached(base, vocab)
    english = tagged("habari", "en")
    assert len(load(vocab).encode(english)) < len(load(base).encode(english))
    assert extend_vocab(vocab, [(Willing(), SWAHILI)], 30, chosen)[0] == vocab


def test_own_merges_can_be_refused_to_a_pack_that_wants_them() -> None:
    class Willing(Swahili):
        own_merges = True

    assert extend_vocab(small_vocab(), [(Willing(), SWAHILI)], NEW_TOKENS, False)[1]["added_merges"] == 0


def test_several_languages_share_the_rows(base: dict[str, Any]) -> None:
    vocab, report = extend_vocab(base, [(Amharic(), AMHARIC), (Yoruba(), YORUBA)], NEW_TOKENS, None)
    assert set(report["languages"]) == {"am", "yo"}
    assert {"[am]", "[yo]"} <= language_tags(vocab).keys()
    assert report["added_tokens"] <= NEW_TOKENS
    assert_every_token_is_reached(base, vocab)
    for code, texts in (("am", AMHARIC), ("yo", YORUBA)):
        assert all(UNKNOWN not in load(vocab).encode(tagged(text, code)).tokens for text in texts)


def test_an_alphabet_with_vanishing_characters_is_refused() -> None:
    class Careless(Amharic):
        characters = Amharic.characters | {"\u00a0"}

    with pytest.raises(UserError, match=r"'am'.*U\+00A0"):
        extend_vocab(small_vocab(), [(Careless(), AMHARIC)], NEW_TOKENS, None)


class Mixed(SmallPack):
    """Letters old and new, so that merges of all kinds compete."""

    code = "xx"
    name = "Mixed"
    characters = frozenset("theinሀሁ ")


@settings(max_examples=150, deadline=None)
@given(
    texts=st.lists(st.text(alphabet="theinሀሁ ", max_size=30), max_size=12),
    new_tokens=st.integers(3, 40),
    own_merges=st.booleans(),
    merges_are_pairs=st.booleans(),
)
def test_invariants_hold_for_any_texts(
    texts: list[str], new_tokens: int, own_merges: bool, merges_are_pairs: bool
) -> None:
    base = small_vocab()
    if merges_are_pairs:
        base["model"]["merges"] = [merge.split(" ") for merge in base["model"]["merges"]]
    corpora: list[tuple[LanguagePack, list[str]]] = [(Mixed(), texts)]
    vocab, report = extend_vocab(base, corpora, new_tokens, own_merges)

    assert_every_token_is_reached(base, vocab)
    assert report["languages"]["xx"]["unreachable"] == report["languages"]["xx"]["unk"] == 0
    new = sorted(added_tokens(base, vocab).values())
    assert new == list(range(row_count(base), row_count(vocab)))
    assert len(new) <= new_tokens
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in vocab["model"]["merges"]]
    assert len(merges) == len(set(merges))
    if not own_merges:
        assert all({"ሀ", "ሁ"} & set(left + right) for left, right in merges[len(base["model"]["merges"]) :])
    assert extend_vocab(vocab, corpora, new_tokens, own_merges)[0] == vocab


def test_merges_rank_by_frequency_in_the_texts() -> None:
    """The commonest pair comes first, which is what makes few rows go far."""
    texts = ["ሀሁ"] * 5 + ["ሂሃ"] * 9
    vocab, _ = extend_vocab(small_vocab(), [(Amharic(), texts)], NEW_TOKENS, None)
    base_merges = len(small_vocab()["model"]["merges"])
    assert vocab["model"]["merges"][base_merges:] == ["ሂ ሃ", "ሀ ሁ"]


BROKEN = {
    "no JSON": "{",
    "not an object": "[]",
    "no model": "{}",
    "no vocabulary": json.dumps({**small_vocab(), "model": {"type": "BPE"}}),
    "another model": json.dumps({**small_vocab(), "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}),
    "a merge of unknown tokens": json.dumps({**small_vocab(), "model": {**small_vocab()["model"], "merges": ["q zz"]}}),
    "no special tokens": json.dumps({**small_vocab(), "added_tokens": []}),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_malformed_vocabulary_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "vocab.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"vocab\.json: "):
        read_vocab(path)


def test_a_missing_vocabulary_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere/vocab\.json: no such"):
        read_vocab(tmp_path / "nowhere" / "vocab.json")


def test_a_written_vocabulary_is_read_back(tmp_path: Path, extended: dict[str, Any]) -> None:
    assert read_vocab(write_vocab(tmp_path / "vocab.json", extended)) == extended


def test_old_merges_come_first_within_a_mixed_word() -> None:
    """The trap that `own_merges` has to avoid: a joint that an older merge closes before."""
    base = small_vocab()
    texts = ["ሀthe ሀthe ሀthe", "ሁthe ሁthe"]
    vocab, _ = extend_vocab(base, [(Mixed(), texts)], 20, True)
    assert set(added_tokens(base, vocab)) == {"[xx]", "ሀ", "ሁ", "ሀthe", "ሁthe"}
    for word in itertools.chain.from_iterable(text.split() for text in texts):
        assert load(vocab).encode(word).tokens == [word]


def test_a_merge_the_base_has_keeps_its_rank() -> None:
    """The base joins `abc` and `d`, but never makes an `abc` of `a` and `bc`; what is learnt is that joint alone."""
    base = small_vocab()
    base["model"]["merges"] = ["b c", "a b", "ab c", "abc d"]
    pieces = ["bc", "ab", "abc", "abcd"]
    base["model"]["vocab"] |= {piece: index for index, piece in enumerate(pieces, start=row_count(base))}
    assert load(base).encode("abcd").tokens == ["a", "bc", "d"]
    vocab, report = extend_vocab(base, [(Swahili(), ["abcd abcd"])], 20, True)
    assert vocab["model"]["merges"] == [*base["model"]["merges"], "a bc"]
    assert (list(added_tokens(base, vocab)), report["added_merges"]) == (["[sw]"], 1)
    assert load(vocab).encode("abcd").tokens == ["abcd"]
