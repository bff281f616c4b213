"""Demo data: an Amharic dataset spoken by espeak-ng, in the layout of the quick-start guide.

The sentences lie in `xtts_framework/demo/amharic_sentences.txt`. A few rows are faulty on purpose, so that the demo
shows what rejects look like.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

from xtts_framework.audio.espeak import EspeakVoice
from xtts_framework.errors import UserError
from xtts_framework.files import replacing_folder

SPEAKERS = {
    "speaker1": EspeakVoice("am", variant="", rate=140, pitch=45),
    "speaker2": EspeakVoice("am", variant="f2", rate=135, pitch=55),
    "speaker3": EspeakVoice("am", variant="m3", rate=145, pitch=30),
    "speaker4": EspeakVoice("am", variant="f4", rate=130, pitch=65),
}
FAULTY_SENTENCES = (
    "ስብሰባው በ፩፪ ሰዓት ይጀምራል።",
    "አቶ አበበ የአ/ጥ ሠራተኛ ናቸው።",
    "አዲሱ ድr-ገጽ ዛሬ ተከፈተ።",
    "this sentence is english, not amharic.",
)
"""A malformed numeral, an unknown abbreviation, a word in two scripts, another script."""
MISSING_RECORDING = ("missing_speaker1.wav", "ይህ ቅጂ ጠፍቷል።")
"""A row whose recording does not exist."""


@dataclass(frozen=True)
class DemoData:
    """What was written.

    Args:
        rows: of `metadata.csv`.
        faulty: of these rows, how many are faulty on purpose.
        duration_s: of all recordings.
    """

    rows: int
    faulty: int
    duration_s: float


def create_demo_data(out: Path, clips: int | None = None) -> DemoData:
    """Write `metadata.csv` and `wavs/`; the same bytes every time.

    Args:
        out: dataset folder; replaced as a whole when it exists.
        clips: good clips; by default one per sentence. With more, sentences return with another speaker.

    Raises:
        UserError: more clips than sentences times speakers, or none.
    """
    sentences = demo_sentences()
    count = len(sentences) if clips is None else clips
    if not 1 <= count <= len(sentences) * len(SPEAKERS):
        raise UserError(
            f"{count} clips asked for; {len(sentences)} sentences and {len(SPEAKERS)} speakers "
            f"give between 1 and {len(sentences) * len(SPEAKERS)}."
        )
    names = list(SPEAKERS)
    texts: dict[str, str] = {}
    speaker_clips: dict[str, list[str]] = {name: [] for name in names}
    for index in range(count + len(FAULTY_SENTENCES)):
        speaker = names[(index + index // len(sentences)) % len(names)]
        text = sentences[index % len(sentences)] if index < count else FAULTY_SENTENCES[index - count]
        file = f"{index + 1:04d}_{speaker}.wav"
        texts[file] = text
        speaker_clips[speaker].append(file)
    with replacing_folder(out) as folder:
        (folder / "wavs").mkdir()
        duration_s = _speak_all(folder / "wavs", texts, speaker_clips)
        rows = [*texts.items(), MISSING_RECORDING]
        lines = [f"{file}|{text}|{text}" for file, text in rows]
        (folder / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return DemoData(rows=len(rows), faulty=len(FAULTY_SENTENCES) + 1, duration_s=duration_s)


def demo_sentences() -> list[str]:
    """The Amharic sentences of the demo: no digits, Ethiopic punctuation."""
    text = resources.files("xtts_framework.demo").joinpath("amharic_sentences.txt").read_text(encoding="utf-8")
    return text.splitlines()


def _speak_all(folder: Path, texts: dict[str, str], speaker_clips: dict[str, list[str]]) -> float:
    """Speak every clip; return seconds of speech.

    espeak-ng carries state from one sentence to the next, so each speaker speaks in a process of its own, in a fixed
    order: the samples then depend on nothing else.
    """
    processes = []
    for speaker, files in speaker_clips.items():
        clips = [[str(folder / file), texts[file]] for file in files]
        order = json.dumps({"voice": asdict(SPEAKERS[speaker]), "clips": clips})
        command = [sys.executable, "-m", "xtts_framework.demo.speaker"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        processes.append((process, order))
    duration_s = 0.0
    for process, order in processes:
        answer, complaint = process.communicate(order.encode())
        if process.returncode != 0:
            raise UserError(f"espeak-ng could not speak the demo sentences.\n{complaint.decode(errors='replace')}")
        duration_s += float(answer)
    return duration_s
