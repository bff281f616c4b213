"""Measures the figures of docs/ingest.md: python tests/ingest/measure_alignment.py

Five recordings of 60 sentences each, of different voices, speeds and pauses, against transcripts that fit and others.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from pathlib import Path

from spoken_recordings import sentences, write_recording
from test_ingest_transcript import count_right_and_wrong, without

from xtts_framework.audio.espeak import EspeakVoice
from xtts_framework.ingest.voice_activity import find_speech

COUNT = 60
SPEAKERS = (
    (EspeakVoice("am", rate=140), (0.3, 0.9)),
    (EspeakVoice("am", rate=140), (0.25, 0.5)),
    (EspeakVoice("am", variant="f2", rate=170), (0.5, 1.5)),
    (EspeakVoice("am", variant="m3", rate=120), (0.3, 1.2)),
    (EspeakVoice("am", variant="f4", rate=155, pitch=65), (0.3, 0.7)),
)
LEAST = (0.5, 0.8, 0.95)


def transcripts(lines: list[str], number: int) -> dict[str, list[str]]:
    """Transcripts of a recording by name, the right one first."""
    tenth = range(5, COUNT, 10)
    more = [
        part
        for index, line in enumerate(lines)
        for part in ([*sentences(1, 260 + index), line] if index in tenth else [line])
    ]
    swapped = list(lines)
    for index in tenth:
        swapped[index], swapped[index + 1] = swapped[index + 1], swapped[index]
    shuffled = random.Random(number).sample(lines, len(lines))
    return {
        "as it is spoken": lines,
        "one line missing": without(lines, 30),
        "every tenth line missing": without(lines, *tenth),
        "one line that is not spoken": [*lines[:30], *sentences(1, 300 + number), *lines[30:]],
        "every tenth line is not spoken": more,
        "every tenth line swapped with the next": swapped,
        "only the second half": lines[30:],
        "second half of another text": [*lines[:30], *sentences(30, (number * 41 + 150) % 300)],
        "in reverse order": lines[::-1],
        "in random order": shuffled,
        "another text": sentences(COUNT, number * 41 + 120),
    }


def main() -> None:
    totals: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (voice, pauses_s) in enumerate(SPEAKERS):
            path = Path(folder, f"{number}.wav")
            truth = write_recording(path, sentences(COUNT, number * 41), number, pauses_s, voice)
            segments, _ = find_speech(path)
            for name, lines in transcripts([spoken.text for spoken in truth], number).items():
                counts = totals.setdefault(name, Counter())
                counts["lines"] += len(lines)
                for least in LEAST:
                    right, wrong = count_right_and_wrong(lines, truth, segments, least)
                    counts[f"right {least}"] += right
                    counts[f"wrong {least}"] += wrong
    print("| transcript | lines |", " | ".join(f"right / wrong at {least}" for least in LEAST), "|")
    print("|---|---|", "|".join("---" for _ in LEAST), "|", sep="")
    for name, counts in totals.items():
        cells = [f"{counts[f'right {least}']} / {counts[f'wrong {least}']}" for least in LEAST]
        print(f"| {name} | {counts['lines']} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
