"""Long recordings and a sentence per line: what is cut is what is said, and what is not certain is left out.

The sentences are spoken by espeak-ng, so that it is known where each of them is.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_sources import contents, read_left_out, read_rows, write_noise
from spoken_recordings import Spoken, sentences, write_recording

from xtts_framework.errors import UserError
from xtts_framework.ingest.alignment import align_sentences, count_characters
from xtts_framework.ingest.voice_activity import Segments, find_speech
from xtts_framework.stages.ingest import ingest

COUNT = 40
TOLERANCE_S = 0.25


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Spoken], Segments]:
    """A recording, where its sentences are, and the segments of speech that are heard in it."""
    path = tmp_path_factory.mktemp("recordings") / "talk.wav"
    truth = write_recording(path, sentences(COUNT), pauses_s=(0.3, 0.9))
    return path, truth, find_speech(path)[0]


def count_right_and_wrong(
    lines: Sequence[str], truth: Sequence[Spoken], segments: Segments, least: float = 0.8
) -> tuple[int, int]:
    """Lines that are placed with some confidence where they are said, and elsewhere."""
    right = wrong = 0
    where = {spoken.text: spoken for spoken in truth}
    placements, _ = align_sentences([count_characters(line) for line in lines], segments)
    for placement in placements:
        if placement.confidence < least:
            continue
        texts = lines[placement.sentence : placement.sentence + placement.sentences]
        start_s, end_s = segments[placement.segment, 0], segments[placement.segment + placement.segments - 1, 1]
        spoken = [where.get(text) for text in texts]
        good = (
            None not in spoken
            and abs(spoken[0].start_s - start_s) < TOLERANCE_S  # type: ignore[union-attr]
            and abs(spoken[-1].end_s - end_s) < TOLERANCE_S  # type: ignore[union-attr]
        )
        right += placement.sentences if good else 0
        wrong += 0 if good else placement.sentences
    return right, wrong


def without(lines: list[str], *numbers: int) -> list[str]:
    return [line for number, line in enumerate(lines) if number not in numbers]


def swapped(lines: list[str]) -> list[str]:
    """Every tenth line changes places with the next whose length differs by a half."""
    for number in range(5, len(lines) - 6, 10):
        for other in range(number + 1, number + 5):
            short, long = sorted((len(lines[number]), len(lines[other])))
            if long > 1.5 * short:
                lines[number], lines[other] = lines[other], lines[number]
                break
    return lines


@pytest.mark.parametrize(
    ("change", "least_right", "most_wrong"),
    [
        pytest.param(lambda lines: lines, COUNT - 1, 0, id="as it is spoken"),
        pytest.param(lambda lines: without(lines, 20), COUNT - 6, 0, id="a line is missing"),
        pytest.param(lambda lines: without(lines, *range(5, COUNT, 10)), COUNT - 16, 1, id="every tenth is missing"),
        pytest.param(lambda lines: [*lines[:20], *sentences(1, 300), *lines[20:]], COUNT - 8, 0, id="a line too many"),
        pytest.param(lambda lines: lines[20:], COUNT - 20 - 10, 0, id="only the second half"),
        pytest.param(swapped, COUNT - 16, 2, id="lines of different length swapped"),
        pytest.param(lambda lines: lines[::-1], 0, 5, id="in reverse"),
        pytest.param(lambda lines: sentences(COUNT, 150), 0, 5, id="another text"),
        pytest.param(lambda lines: [*lines[:20], *sentences(20, 250)], 14, 4, id="another text in the second half"),
    ],
)
def test_confidence_means_something(
    change: Callable[[list[str]], list[str]],
    least_right: int,
    most_wrong: int,
    recording: tuple[Path, list[Spoken], Segments],
) -> None:
    _, truth, segments = recording
    lines = change([spoken.text for spoken in truth])
    right, wrong = count_right_and_wrong(lines, truth, segments)
    assert right >= least_right
    assert wrong <= most_wrong


def test_clips_hold_their_sentence_and_nothing_of_its_neighbours(
    recording: tuple[Path, list[Spoken], Segments], source: Path, out: Path
) -> None:
    path, truth, _ = recording
    (source / "talk.wav").symlink_to(path)
    with pytest.raises(UserError, match="no format is recognised"):
        ingest(source, out)  # the link leads out of the source
    (source / "talk.wav").unlink()
    (source / "talk.wav").hardlink_to(path)
    (source / "talk.txt").write_text("\n\n".join(spoken.text for spoken in truth) + "\n", encoding="utf-8")
    (source / "README.txt").write_text("not a transcript\n")
    done = ingest(source, out)
    assert (done.read, done.left_out) == (COUNT, done.codes["low_confidence"])
    where = {spoken.text: index for index, spoken in enumerate(truth)}
    rows = read_rows(out)
    assert len(rows) >= COUNT - 2
    for row in rows:
        index = where[row["text"]]
        start_s, end_s = (int(part) / 1000 for part in Path(row["audio_file"]).stem.split("-")[-2:])
        assert truth[index].start_s - 0.35 < start_s < truth[index].start_s + 0.1
        assert truth[index].end_s - 0.1 < end_s < truth[index].end_s + 0.35
        assert not index or start_s > truth[index - 1].end_s
        assert index + 1 == COUNT or end_s < truth[index + 1].start_s
        assert row["recording"] == "source/talk.wav"
        assert soundfile.info(out / row["audio_file"]).duration == pytest.approx(end_s - start_s, abs=2e-3)


def test_a_known_transcript_is_not_listened_to_again(
    recording: tuple[Path, list[Spoken], Segments], source: Path, out: Path
) -> None:
    path, truth, _ = recording
    (source / "talk.wav").hardlink_to(path)
    lines = [spoken.text for spoken in truth]
    lines[10:10] = ["ይህ አልተነገረም፤ ቢሆንም ረጅም ዓረፍተ ነገር ነው ብለን እናስብ።", "..."]
    (source / "talk.txt").write_text("\n".join(lines), encoding="utf-8")
    first = ingest(source, out)
    assert first.codes["no_text"] == 1
    assert first.codes["low_confidence"] >= 1
    before = contents(out)
    program = (
        "import sys\nfrom pathlib import Path\nfrom xtts_framework.stages.ingest import ingest\n"
        "done = ingest(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "assert 'torch' not in sys.modules and 'silero_vad' not in sys.modules\n"
        "print(done.read, done.kept, done.left_out)"
    )
    again = subprocess.run(
        [sys.executable, "-c", program, str(source), str(out)], capture_output=True, text=True, check=True
    )
    assert again.stdout.split() == [str(first.read), str(first.added), str(first.left_out)]
    assert contents(out) == before
    # With less asked of it, what was left out for its confidence may come in; what is there stays.
    lower = ingest(source, out, min_confidence=0.05)
    assert lower.kept == first.added
    assert lower.replaced == 0
    assert lower.read == lower.kept + lower.added + lower.left_out


def test_a_changed_transcript_replaces_the_clips_that_change(
    recording: tuple[Path, list[Spoken], Segments], source: Path, out: Path
) -> None:
    path, truth, _ = recording
    (source / "talk.wav").hardlink_to(path)
    lines = [spoken.text for spoken in truth]
    (source / "talk.txt").write_text("\n".join(lines[:10] + lines[11:]), encoding="utf-8")
    ingest(source, out)
    (source / "talk.txt").write_text("\n".join(lines), encoding="utf-8")
    done = ingest(source, out)
    rows = read_rows(out)
    texts = [row["text"] for row in rows]
    assert len(texts) == len(set(texts)) == done.kept + done.replaced + done.added
    assert lines[10] in texts
    spans = sorted(tuple(map(int, Path(row["audio_file"]).stem.split("-")[-2:])) for row in rows)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))


def test_sentences_without_a_pause_between_share_a_clip(source: Path, out: Path) -> None:
    lines = sentences(24)
    joined = [f"{lines[n]} {lines[n + 1]}" if n == 10 else lines[n] for n in range(24) if n != 11]
    truth = write_recording(source / "talk.flac", [line.replace("። ", " ").replace("! ", " ") for line in joined])
    (source / "talk.txt").write_text("\n".join(lines), encoding="utf-8")
    done = ingest(source, out)
    assert done.read == 24
    shared = [row for row in read_rows(out) if ":lines " in row["source"]]
    for row in shared:
        assert row["text"] == f"{lines[10]} {lines[11]}"
        start_s, end_s = (int(part) / 1000 for part in Path(row["audio_file"]).stem.split("-")[-2:])
        assert (start_s, end_s) == pytest.approx((truth[10].start_s, truth[10].end_s), abs=0.35)
    assert len(shared) == 1


def test_what_cannot_be_heard_has_its_reason(source: Path, out: Path) -> None:
    soundfile.write(source / "silence.wav", np.zeros(16000 * 5), 16000)
    (source / "silence.txt").write_text("ሰላም\nዓለም\n", encoding="utf-8")
    (source / "broken.wav").write_bytes(b"nothing")
    (source / "broken.txt").write_text("ሰላም\n", encoding="utf-8")
    (source / "alone.txt").write_text("ሰላም\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"not one of 3 sentences"):
        ingest(source, out)
    codes = [(row["code"], row["confidence"]) for row in read_left_out(out)]
    assert codes == [("unreadable_audio", ""), ("low_confidence", "0.000"), ("low_confidence", "0.000")]
    with pytest.raises(UserError, match=r"missing_audio.*no recording beside alone\.txt, alone\.wav for example"):
        ingest(source / "alone.txt", out, wanted="transcript")


def test_noise_is_no_speech(source: Path, out: Path) -> None:
    write_noise(source / "noise.wav", 20)
    (source / "noise.txt").write_text("\n".join(sentences(5)), encoding="utf-8")
    with pytest.raises(UserError, match="not one of 5 sentences"):
        ingest(source, out)


def test_half_an_hour_is_aligned_in_seconds() -> None:
    """450 sentences in 1,350 segments, with the spread that readers have."""
    draw = np.random.default_rng(0)
    characters = draw.integers(10, 60, 450).astype(float)
    segments, first, position = [], [], 0.0
    for length in characters:
        seconds = length / 9 * np.exp(draw.normal(0, 0.1))
        position += np.exp(draw.normal(np.log(0.6), 0.35))
        first.append(len(segments))
        for part in draw.dirichlet(np.ones(max(1, round(seconds / 1.3))) * 4) * seconds:
            position += np.exp(draw.normal(np.log(0.2), 0.3)) if len(segments) > first[-1] else 0.0
            segments.append((position, position + part))
            position += part
    ends = [*first[1:], len(segments)]
    started = time.monotonic()
    placements, _ = align_sentences(list(characters), np.array(segments))
    seconds = time.monotonic() - started
    sure = [each for each in placements if each.confidence >= 0.8]
    right = [
        each
        for each in sure
        if each.segment == first[each.sentence] and each.segment + each.segments == ends[each.sentence]
    ]
    assert len(right) >= 0.8 * len(characters)
    assert len(right) >= 0.98 * len(sure)
    assert seconds < 60


def test_no_sentences_and_no_speech_are_no_placements() -> None:
    assert align_sentences([], np.array([[0.0, 1.0]]))[0] == []
    placements, best_J = align_sentences([5.0, 6.0], np.zeros((0, 2)))
    assert placements == []
    assert best_J.tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="too many to align at once"):
        align_sentences([5.0] * 20000, np.cumsum(np.ones((20000, 2)), axis=0))
