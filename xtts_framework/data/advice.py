"""What each code means and what to do about it: for `docs/data.md`, the log and the pages."""

from __future__ import annotations

from typing import NamedTuple


class Advice(NamedTuple):
    """One sentence each."""

    meaning: str
    remedy: str


ADVICE = {
    "wrong_field_count": Advice(
        "The line has another number of fields than its layout.",
        "Write file and text on one line, with '|' between; quote a text that contains '|'.",
    ),
    "missing_audio": Advice("The recording does not exist.", "Put it where the row says, or mend the name."),
    "outside_dataset": Advice(
        "The recording lies outside of the dataset folder and was not opened.", "Copy it into the dataset."
    ),
    "unreadable_audio": Advice(
        "The recording is empty, damaged, no audio, or may not be read.", "Export it again, as WAV or FLAC."
    ),
    "truncated_audio": Advice("The recording ends before its header says it does.", "Copy or download it again."),
    "empty_audio": Advice("The recording has no samples.", "Export it again, or remove the row."),
    "non_finite_samples": Advice("The recording has samples that are NaN or infinite.", "Export it again."),
    "too_short": Advice("The recording is too short to learn from.", "Join it with its neighbour, or remove the row."),
    "too_long": Advice(
        "The recording is longer than the model learns from.",
        "Divide recording and text, or give both to `xtts ingest`.",
    ),
    "low_sample_rate": Advice(
        "Half of what makes speech clear is missing.", "Find the original; resampling brings nothing back."
    ),
    "mostly_silent": Advice(
        "Hardly any of the recording is speech.",
        "Cut the silence: `xtts validate --fix`; remove the row if nothing is said.",
    ),
    "leading_silence": Advice("There is a long silence before the speech.", "Cut it: `xtts validate --fix`."),
    "trailing_silence": Advice("There is a long silence after the speech.", "Cut it: `xtts validate --fix`."),
    "clipped": Advice(
        "It was recorded or exported too loud: its peaks are cut off.", "Find the original; nothing mends it."
    ),
    "low_level": Advice("The speech is very quiet.", "Raise it: `xtts validate --fix`; listen for the noise then."),
    "noisy": Advice("The pauses are probably full of noise or echo.", "Listen; remove rows that you hear it in."),
    "dc_offset": Advice(
        "The samples do not lie around zero: a faulty sound card.", "Centre them: `xtts validate --fix`."
    ),
    "channels_differ": Advice(
        "The channels hold different sounds, and the average of them is what trains.",
        "Keep the better channel, with your editor.",
    ),
    "empty_text": Advice("Nothing is left to say.", "Write what is said, or remove the row."),
    "text_too_long": Advice("The text may be longer than the model can read.", "Divide recording and text."),
    "digits_left": Advice(
        "The text has digits that the pack did not spell out, and digits are read in many ways.",
        "Write numbers in words, as they are said.",
    ),
    "length_mismatch": Advice(
        "Nobody can say so much, or so little, in that time: text and recording do not belong together.",
        "Listen; mend the text.",
    ),
    "unusual_speed": Advice(
        "Much faster or slower than this speaker usually is: often a text of another clip, or half of one.",
        "Listen; mend the text where it is wrong.",
    ),
    "duplicate_audio": Advice("The same sound occurs under another name.", "Remove one of the rows."),
    "duplicate_file": Advice("The same file occurs in an earlier line.", "Remove one of the rows."),
    "duplicate_text": Advice("This speaker says the same in another clip.", "Nothing, unless there are many."),
    "uneven_durations": Advice(
        "The same text takes this speaker very different times: one of the two is wrong.", "Listen to both."
    ),
    "in_train_and_eval": Advice(
        "By its text, recording or sound the clip belongs to the training clips and to the evaluation clips.",
        "Nothing; or delete `split.parquet` to divide the dataset afresh.",
    ),
    "few_clips": Advice("There are few clips.", "Record more; below 500 a model imitates little else than these."),
    "few_minutes": Advice("There is little speech.", "Record more; a voice takes minutes, a language hours."),
    "dominant_speaker": Advice(
        "Nearly all of the speech is of one speaker.", "Nothing, if that is the voice you want."
    ),
    "dominant_recording": Advice("Nearly all of the speech is from one recording.", "Add others, if there are any."),
    "recording_in_train_and_eval": Advice(
        "Segments of one recording train and are evaluated: evaluation losses look better than they are.",
        "Add recordings, so that one can be held out.",
    ),
    "pack_error": Advice("The language pack, or another plugin, failed on the text.", "Tell its author."),
    "unknown_character": Advice(
        "The text has characters that the language's vocabulary lacks.",
        "Replace them, or write them out; if most rows have it, is the language right?",
    ),
    "wrong_script": Advice(
        "The text is written in another script than the language's.", "Write it in the language's script."
    ),
    "mixed_script": Advice("A word mixes letters of two scripts.", "Write it in one; look-alikes are easily mistyped."),
    "latin": Advice(
        "The text has Latin letters, which the pack's options refuse.", "Write it in the language's script."
    ),
    "malformed_numeral": Advice("The text has Ethiopic numerals that make no number.", "Write the number in words."),
    "unread_number": Advice("The text has a number that the pack cannot read.", "Write it in words."),
    "unknown_abbreviation": Advice("The text has an abbreviation that the pack does not know.", "Write it out."),
    "digits": Advice("The text has digits that the pack does not read.", "Write them in words."),
    "not_cleaned": Advice("coqui's cleaners for the language failed on the text.", "Write it in simpler words."),
    "not_romanised": Advice("The text has characters that coqui's cleaners lose.", "Replace them."),
    "undecided": Advice("The language pack is a skeleton.", "Its author has to decide how texts are read."),
}


def explain(code: str) -> Advice:
    """Advice about a code; empty for one that somebody else's pack or plugin brought along."""
    return ADVICE.get(code, Advice("", ""))
