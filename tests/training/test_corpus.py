"""Features reach the model the same way from files and from the device that holds them."""

from __future__ import annotations

import torch
from small_training import DATASET, Prepared, config_with

from xtts_framework.data.features import BYTES_PER_FRAME
from xtts_framework.layout import RunFolder
from xtts_framework.training.corpus import Corpus
from xtts_framework.training.setup import read_inputs


def read(prepared: Prepared) -> Corpus:
    run = RunFolder(prepared.vocab.parent.parent)
    return read_inputs(config_with(), prepared.base, run, {DATASET: prepared.dataset}).corpus


def test_mels_that_a_device_holds_are_those_of_the_files(prepared: Prepared) -> None:
    files, held = read(prepared), read(prepared)
    held.hold_mels(torch.device("cpu"))
    for name, utterance in files.utterances.items():
        for frames in (None, slice(3, 40), slice(10, utterance.mel_frames)):
            mel = held.read_mel(held.utterances[name], frames)
            assert torch.equal(mel, files.read_mel(utterance, frames))
            assert mel.shape[0] == 80 and mel.dtype == torch.float16
    frames_of_all = sum(held.read_mel(utterance).shape[1] for utterance in held.utterances.values())
    assert held.mel_bytes == frames_of_all * BYTES_PER_FRAME
    one = held.read_mel(next(iter(held.utterances.values())))
    assert one.untyped_storage().nbytes() == held.mel_bytes, "all lie in one block, and parts are views of it"
