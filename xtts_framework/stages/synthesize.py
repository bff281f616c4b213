"""Stage synthesize: the finished voice speaks, through the same text path as in training."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xtts_framework.config import SynthesisConfig, SynthesizeConfig
from xtts_framework.console import progress, say
from xtts_framework.data.evaluation_clips import choose_sentences, choose_voice, read_evaluation_clips
from xtts_framework.errors import UserError
from xtts_framework.files import replacing_folder, sha256_of, write_json
from xtts_framework.layout import DatasetFolder, RunFolder, require_datasets
from xtts_framework.model.bundle import REFERENCE_FILE, read_bundle
from xtts_framework.model.inference import Sampling, SpeakingModel, say_cut, write_wav
from xtts_framework.plugins.registry import load_plugins
from xtts_framework.stages.select import read_selected
from xtts_framework.training.checkpoint import MODEL_FILE, Checkpoint, list_checkpoints, read_checkpoint

SYNTHESIS_FILE = "synthesis.json"


@dataclass(frozen=True)
class Sentence:
    """A text to speak and, if it comes from an evaluation clip, how a person said it."""

    text: str
    recording: Path | None = None


def synthesize_run(
    config: SynthesizeConfig,
    bundle: Path,
    run: RunFolder,
    datasets: Mapping[str, DatasetFolder],
    *,
    device: str = "cpu",
) -> None:
    """Write `synthesis/` of a run: the same sentences at the selected and at each kept checkpoint.

    Sentences: the configured ones, else texts of evaluation clips from short to long. Voice: the configured
    recording, else the bundle's own. The folder appears whole or not at all.

    Raises:
        UserError: nothing selected yet, a dataset that is missing or not of this run, a sentence that the language
            pack cannot read, a missing recording, a checkpoint that does not fit.
    """
    require_datasets(config.languages, datasets)
    selected = read_selected(run)
    first = next(iter(config.languages))
    language = config.synthesis.language or config.languages[first].code
    sentences = _sentences(config, datasets, language)
    reference = _reference(config, bundle, datasets)
    kept = _kept_checkpoints(run, selected) if config.synthesis.checkpoints == "all" else []
    model = SpeakingModel.load(bundle, load_plugins(), device=device)
    sampling = sampling_of(config.synthesis)
    entries: list[dict[str, Any]] = []
    with (
        replacing_folder(run.synthesis) as folder,
        progress("speaking", (len(kept) + 1) * len(sentences), "sentences") as advance,
    ):
        # Without a checkpoint the bundle's own weights speak: those of the selected one.
        for checkpoint in [None, *kept]:
            if checkpoint:
                model.replace_gpt(checkpoint.tensors(MODEL_FILE), checkpoint.folder)
            voice = model.hear(reference)  # each checkpoint hears with its own conditioning encoder
            step = checkpoint.step if checkpoint else selected["step"]
            for number, sentence in enumerate(sentences, start=1):
                speech = model.speak(sentence.text, language, voice, sampling)
                file = Path(f"step-{step:08d}") / f"{number:02d}.wav"
                write_wav(folder / file, speech.samples)
                entries.append(
                    {
                        "checkpoint": _relative(checkpoint.folder, run.path) if checkpoint else selected["folder"],
                        "step": step,
                        "selected": checkpoint is None,
                        "sentence": sentence.text,
                        "normalized": " ".join(speech.sentences),
                        "language": language,
                        "speaker": str(reference),
                        "file": file.as_posix(),
                        "duration_s": round(speech.duration_s, 3),
                        "cut": bool(speech.cut),
                        "recording": str(sentence.recording) if sentence.recording else None,
                    }
                )
                advance(1)
        shutil.copyfile(reference, folder / REFERENCE_FILE)
        write_json(folder / SYNTHESIS_FILE, sorted(entries, key=lambda entry: (entry["step"], entry["file"])))
    if cut := sum(entry["cut"] for entry in entries):
        say(f"{cut} of {len(entries)} were cut: the model did not find the end of the sentence")


def synthesize_texts(
    bundle: Path,
    texts: Sequence[str],
    out: Path,
    *,
    language: str | None = None,
    speaker: Path | None = None,
    checkpoint: Path | None = None,
    sampling: Sampling | None = None,
    device: str = "cpu",
) -> list[Path]:
    """Speak texts into one wav (`out` ends in .wav) or into a folder, one wav per text.

    Args:
        language: needed only if the bundle speaks several.
        speaker: reference recording; the bundle's own if None.
        checkpoint: folder of another checkpoint of the same run, to speak with its weights.
    Returns:
        The files written.
    Raises:
        UserError: a text that cannot be read, a missing recording or one that would be overwritten, no bundle, a
            checkpoint that does not fit.
    """
    reference = speaker or _own_reference(bundle)
    groups = _name_files(texts, out)
    if reference.resolve() in {file.resolve() for file in groups}:
        raise UserError(f"{reference}: --out would overwrite the recording of the voice; choose another name.")
    model = SpeakingModel.load(bundle, load_plugins(), device=device)
    language = language or _only_language(bundle, model.languages)
    for text in texts:
        model.split_text(text, language)  # refuse before speaking: a bad last line must not cost the whole run
    if checkpoint:
        model.replace_gpt(_checkpoint_of(bundle, checkpoint).tensors(MODEL_FILE), checkpoint)
    voice = model.hear(reference)
    for file, group in groups.items():
        speech = model.speak_all(group, language, voice, sampling)
        write_wav(file, speech.samples)
        say_cut(speech.cut)
        say(f"{file}: {speech.duration_s:.1f} s")
    return list(groups)


def _name_files(texts: Sequence[str], out: Path) -> dict[Path, list[str]]:
    """Which texts each file says."""
    if out.suffix.lower() == ".wav":
        return {out: list(texts)}
    digits = max(2, len(str(len(texts))))
    return {out / f"{number:0{digits}d}.wav": [text] for number, text in enumerate(texts, start=1)}


def sampling_of(config: SynthesisConfig) -> Sampling:
    """The sampling that a configuration asks for."""
    return Sampling(config.temperature, config.top_k, config.top_p, config.repetition_penalty, config.seed)


def _sentences(config: SynthesizeConfig, datasets: Mapping[str, DatasetFolder], language: str) -> list[Sentence]:
    if config.synthesis.sentences:
        return [Sentence(text) for text in config.synthesis.sentences]
    clips = [
        clip
        for name, dataset in datasets.items()
        for clip in read_evaluation_clips(dataset, config.dataset_paths[name])
        if clip.language == language
    ]
    return [Sentence(clip.text, clip.recording) for clip in choose_sentences(clips, config.synthesis.count)]


def _reference(config: SynthesizeConfig, bundle: Path, datasets: Mapping[str, DatasetFolder]) -> Path:
    """The configured recording, the bundle's, or an evaluation clip."""
    if config.synthesis.speaker:
        return config.synthesis.speaker
    if own := read_bundle(bundle).reference:
        return own
    for name, dataset in datasets.items():
        if clip := choose_voice(read_evaluation_clips(dataset, config.dataset_paths[name])):
            return clip.recording
    raise UserError("No reference voice: set `synthesis.speaker` to a recording of a few seconds.")


def _own_reference(bundle: Path) -> Path:
    reference = read_bundle(bundle).reference
    if reference is None:
        raise UserError(f"{bundle}: no {REFERENCE_FILE} in this bundle; name a recording with `--speaker`.")
    return reference


def _only_language(bundle: Path, languages: Sequence[str]) -> str:
    if len(languages) != 1:
        raise UserError(f"{bundle} speaks {', '.join(languages)}: choose one with `--language`.")
    return languages[0]


def _kept_checkpoints(run: RunFolder, selected: Mapping[str, Any]) -> list[Checkpoint]:
    """The checkpoints beside the selected one, by step; the selected one itself speaks from the bundle."""
    folder: Path = run.path / selected["folder"]
    return [checkpoint for checkpoint in list_checkpoints(folder.parent) if checkpoint.step != selected["step"]]


def _checkpoint_of(bundle: Path, folder: Path) -> Checkpoint:
    """A complete checkpoint that was trained with the bundle's vocabulary."""
    checkpoint = read_checkpoint(folder)
    if checkpoint is None:
        raise UserError(
            f"{folder}: no complete checkpoint; expected a folder such as "
            "results/runs/RUN/checkpoints/FINGERPRINT/step-00010000."
        )
    if checkpoint.state["vocab_sha256"] != sha256_of(bundle / "vocab.json"):
        raise UserError(
            f"{folder} was trained with another vocabulary than {bundle}: the same text would be other ids to it. "
            "Use a checkpoint of the run that the bundle was exported from."
        )
    return checkpoint


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
