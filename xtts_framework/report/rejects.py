"""What a reject code means, for whoever has to mend the recording or the text."""

from __future__ import annotations

EXPLANATIONS = {
    "missing_audio": "The recording does not exist.",
    "outside_dataset": "The recording lies outside the dataset's folder.",
    "unreadable_audio": "The recording cannot be decoded: empty, truncated, or no audio at all.",
    "empty_audio": "The recording has no samples.",
    "non_finite_samples": "The recording has samples that are not numbers.",
    "too_short": "The recording is shorter than the shortest clip allowed.",
    "too_long": "The recording is longer than the longest clip allowed.",
    "low_sample_rate": "The sample rate is so low that the upper half of speech is lost.",
    "duplicate_audio": "The same recording occurs under another name.",
    "duplicate_file": "The same file occurs in an earlier line.",
    "empty_text": "There is no text to read aloud.",
    "text_too_long": "The text is longer than the model can read at once.",
    "unknown_character": "The text has characters that the language pack does not know.",
    "wrong_script": "The text is written in another script than the language's.",
    "malformed_numeral": "The text has Ethiopic numerals that make no number.",
    "unread_number": "The text has a number that the language pack cannot read. Write it in words.",
    "unknown_abbreviation": "The text has an abbreviation that the language pack does not know. Write it out.",
    "mixed_script": "A word of the text mixes letters of two scripts.",
    "latin": "The text has Latin letters, which the pack's options refuse.",
    "not_cleaned": "Coqui's cleaners for the language failed on the text.",
    "pack_error": "The language pack, or another plugin, failed on the text. Tell its author.",
    "undecided": "The language pack is a skeleton; its author still has to decide how texts are read.",
    "not_romanised": "The text has characters that coqui's cleaners for the language lose.",
    "digits": "The text has digits that the language pack does not read. Write them in words.",
}


def explain_code(code: str) -> str:
    """A sentence about a code of ours; empty for a code that a language pack brought along."""
    return EXPLANATIONS.get(code, "")
