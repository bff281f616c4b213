"""What a reject code means, for whoever has to mend the recording or the text."""

from __future__ import annotations

EXPLANATIONS = {
    "bad_field_count": "The line has another number of fields than the format allows.",
    "file_missing": "The recording does not exist.",
    "file_unreadable": "The recording cannot be decoded: empty, truncated, or no audio at all.",
    "audio_empty": "The recording has no samples.",
    "too_short": "The recording is shorter than the shortest clip allowed.",
    "too_long": "The recording is longer than the longest clip allowed.",
    "low_sample_rate": "The sample rate is so low that the upper half of speech is lost.",
    "text_empty": "There is no text.",
    "digits": "The text contains digits; the language pack does not read numbers aloud yet.",
    "unknown_characters": "The text contains characters that the language pack does not know.",
    "too_many_tokens": "The text is longer than the model can read at once.",
}


def explain_code(code: str) -> str:
    """A sentence about a code of ours; empty for a code that a language pack brought along."""
    return EXPLANATIONS.get(code, "")
