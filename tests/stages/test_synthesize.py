"""Synthesize: a person's two lines, and the workflow's table of sentences and checkpoints."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars
import pytest
import soundfile
import torch
from click.testing import CliRunner
from trained_run import LOSSES, TrainedRun

from xtts_framework.cli.synthesize import command
from xtts_framework.config import dump_yaml
from xtts_framework.data.evaluation_clips import EvaluationClip, choose_sentences, choose_voice, read_evaluation_clips
from xtts_framework.errors import UserError
from xtts_framework.files import read_json, sha256_of
from xtts_framework.model.inference import SAMPLE_RATE_HZ, Sampling
from xtts_framework.stages.synthesize import synthesize_run, synthesize_texts

SENTENCES = ["ሰላም", "እሺ"]


@pytest.fixture(scope="module", autouse=True)
def brevity() -> Iterator[None]:
    """Random weights babble up to the limit, and the vocoder is slow: let them babble for half a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xtts_framework.model.inference.CODES_PER_SENTENCE", 10)
        patch.setattr("xtts_framework.model.inference.CODES_PER_CHARACTER", 0)
        yield


@pytest.fixture(scope="module")
def spoken(exported_run: TrainedRun, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """The run after the workflow's form of the command."""
    run = exported_run.copied(tmp_path_factory.mktemp("spoken") / "results")
    config = run.folder / "synthesize.yaml"
    config.write_text(dump_yaml(run.synthesize_config(sentences=SENTENCES)), encoding="utf-8")
    arguments = [run.run.bundle, "--config", config, "--out", run.run.path, f"--dataset=speech={run.dataset.path}"]
    CliRunner().invoke(command, ["--device", "cpu", *map(str, arguments)], catch_exceptions=False)
    return run


def test_each_sentence_is_spoken_at_each_kept_checkpoint(spoken: TrainedRun) -> None:
    entries = read_json(spoken.run.synthesis / "synthesis.json")
    assert [(entry["step"], entry["sentence"]) for entry in entries] == [
        (step, sentence) for step in sorted(LOSSES) for sentence in SENTENCES
    ]
    assert {entry["step"] for entry in entries if entry["selected"]} == {16}
    for entry in entries:
        header = soundfile.info(spoken.run.synthesis / entry["file"])
        assert entry["file"].startswith(f"step-{entry['step']:08}/")
        assert (header.samplerate, header.subtype) == (SAMPLE_RATE_HZ, "PCM_16")
        assert header.duration == pytest.approx(entry["duration_s"], abs=1e-3)
        assert (spoken.run.path / entry["checkpoint"] / "model.safetensors").is_file()
        assert entry["language"] == "am"
    assert sha256_of(spoken.run.synthesis / "reference.wav") == sha256_of(spoken.run.bundle / "reference.wav")


def test_other_weights_speak_otherwise(spoken: TrainedRun) -> None:
    entries = read_json(spoken.run.synthesis / "synthesis.json")
    takes = [sha256_of(spoken.run.synthesis / entry["file"]) for entry in entries if entry["sentence"] == SENTENCES[0]]
    assert len(set(takes)) == len(LOSSES)


def test_a_person_hears_what_the_workflow_wrote(spoken: TrainedRun, tmp_path: Path) -> None:
    """One text path: same bundle, text, voice and seed, same file; and the same for another checkpoint."""
    arguments = ["--text", SENTENCES[0], "--text", SENTENCES[1], "--device", "cpu", "--out", str(tmp_path / "selected")]
    CliRunner().invoke(command, [str(spoken.run.bundle), *arguments], catch_exceptions=False)
    synthesize_texts(spoken.run.bundle, SENTENCES[:1], tmp_path / "eight.wav", checkpoint=spoken.checkpoint(8))
    for number in (1, 2):
        of_workflow = spoken.run.synthesis / "step-00000016" / f"{number:02}.wav"
        assert sha256_of(tmp_path / "selected" / f"{number:02}.wav") == sha256_of(of_workflow)
    assert sha256_of(tmp_path / "eight.wav") == sha256_of(spoken.run.synthesis / "step-00000008" / "01.wav")


def test_texts_without_sentences_of_the_user_come_from_evaluation_clips(
    exported_run: TrainedRun, tmp_path: Path
) -> None:
    run = exported_run.copied(tmp_path / "results")
    config = run.synthesize_config(count=1, checkpoints="selected")
    synthesize_run(config, run.run.bundle, run.run, run.datasets)
    (entry,) = read_json(run.run.synthesis / "synthesis.json")
    table = polars.read_parquet(run.dataset.manifest).filter(polars.col("split") == "eval")
    assert entry["sentence"] in table["text"].to_list()
    assert Path(entry["recording"]).is_file()
    assert entry["cut"]


def test_a_bad_sentence_leaves_the_older_folder(exported_run: TrainedRun, tmp_path: Path) -> None:
    run = exported_run.copied(tmp_path / "results")
    run.run.synthesis.mkdir()
    (run.run.synthesis / "synthesis.json").write_text("[]")
    config = run.synthesize_config(sentences=["በ፩፪ ተጀመረ"], checkpoints="selected")
    with pytest.raises(UserError, match="malformed_numeral"):
        synthesize_run(config, run.run.bundle, run.run, run.datasets)
    assert [path.name for path in run.run.synthesis.iterdir()] == ["synthesis.json"]
    assert not list(run.run.path.glob(".partial-*"))


def test_a_bad_last_text_is_refused_before_anything_is_spoken(exported_run: TrainedRun, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="malformed_numeral"):
        synthesize_texts(exported_run.run.bundle, ["ሰላም", "በ፩፪"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_recording_of_the_voice_is_not_overwritten(exported_run: TrainedRun, tmp_path: Path) -> None:
    voice = tmp_path / "01.wav"
    shutil.copyfile(next((exported_run.recordings / "wavs").glob("*.wav")), voice)
    before = voice.read_bytes()
    for out in (voice, tmp_path):
        with pytest.raises(UserError, match=r"01\.wav: --out would overwrite the recording of the voice"):
            synthesize_texts(exported_run.run.bundle, ["ሰላም"], out, speaker=voice)
    assert voice.read_bytes() == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named() -> None:
    result = CliRunner().invoke(command, ["bundle", "--out", "x.wav", "--text", "ሰላም", "--device", "cuda"])
    assert isinstance(result.exception, UserError)
    assert "no CUDA GPU" in str(result.exception)


def test_several_texts_become_one_wav_when_out_is_one(exported_run: TrainedRun, tmp_path: Path) -> None:
    files = synthesize_texts(exported_run.run.bundle, SENTENCES, tmp_path / "all.wav", sampling=Sampling(seed=3))
    parts = synthesize_texts(exported_run.run.bundle, SENTENCES, tmp_path / "parts", sampling=Sampling(seed=3))
    whole, _ = soundfile.read(files[0], dtype="int16")
    first, second = (soundfile.read(part, dtype="int16")[0] for part in parts)
    assert np.array_equal(whole[: len(first)], first)
    assert np.array_equal(whole[-len(second) :], second)


def test_a_checkpoint_of_another_vocabulary_is_refused(exported_run: TrainedRun, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(exported_run.run.bundle, bundle)
    with (bundle / "vocab.json").open("a", encoding="utf-8") as stream:
        stream.write("\n")
    with pytest.raises(UserError, match="another vocabulary"):
        synthesize_texts(bundle, ["ሰላም"], tmp_path / "x.wav", checkpoint=exported_run.checkpoint(8))
    with pytest.raises(UserError, match="no complete checkpoint"):
        synthesize_texts(bundle, ["ሰላም"], tmp_path / "x.wav", checkpoint=tmp_path)


def test_a_bundle_without_a_voice_asks_for_one(exported_run: TrainedRun, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(exported_run.run.bundle, bundle)
    (bundle / "reference.wav").unlink()
    with pytest.raises(UserError, match="--speaker"):
        synthesize_texts(bundle, ["ሰላም"], tmp_path / "x.wav")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either --text or --text-file"),
        (["--text", "ሰላም", "--text-file", "x.txt"], "either --text or --text-file"),
        (["--text", "ሰላም", "--config", "x.yaml"], "leave the other options out"),
        (["--text", "ሰላም", "--dataset", "nonsense"], "expected NAME=FOLDER"),
        (["--text", "ሰላም", "--device", "tpu"], "tpu"),
    ],
)
def test_contradictory_options_are_explained(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(command, ["bundle", "--out", "x.wav", *arguments])
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize(("content", "message"), [(b"\n \n", "no text in it"), (b"\xff\xfeh\x00", "not UTF-8")])
def test_a_useless_text_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "story.txt"
    file.write_bytes(content)
    result = CliRunner().invoke(command, ["bundle", "--out", "x.wav", "--text-file", str(file)])
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)


def clip(text: str, duration_s: float) -> EvaluationClip:
    return EvaluationClip(text, Path(f"{text}.wav"), duration_s, text, "am")


def test_the_choice_of_voice_and_sentences_is_fixed_and_varied(exported_run: TrainedRun) -> None:
    clips = [clip("a" * length, length / 2) for length in (30, 5, 12, 1, 20, 12)]
    assert choose_voice(clips) == clips[2]
    assert [len(chosen.text) for chosen in choose_sentences(clips, 2)] == [5, 20]
    assert [len(chosen.text) for chosen in choose_sentences(clips, 9)] == [1, 5, 12, 20, 30]
    assert choose_sentences(clips, 0) == []
    assert choose_voice([]) is None
    found = read_evaluation_clips(exported_run.dataset, exported_run.recordings)
    assert len(found) == 4
    assert all(one.recording.is_file() for one in found)
