"""Synthetic speech: the same bytes every time, varied voices, clear errors."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from xtts_framework.audio.espeak import EspeakVoice, speak
from xtts_framework.errors import UserError

SENTENCE = "ሰላም፣ እንደምን አደራችሁ?"


def test_a_sentence_becomes_audible_speech() -> None:
    samples, rate_hz = speak(SENTENCE, EspeakVoice("am"))
    assert rate_hz == 22050
    assert samples.dtype == np.int16 and samples.ndim == 1
    assert 0.8 < len(samples) / rate_hz < 5
    assert 2000 < np.abs(samples).max() < 32767, "loud enough, not clipped"


def test_rate_pitch_and_variant_are_heard() -> None:
    plain = speak(SENTENCE, EspeakVoice("am", rate=140))[0]
    fast = speak(SENTENCE, EspeakVoice("am", rate=280))[0]
    assert len(fast) < 0.75 * len(plain)
    low, high = (dominant_pitch_hz(speak(SENTENCE, EspeakVoice("am", pitch=pitch))[0]) for pitch in (10, 90))
    assert high > 1.3 * low
    assert not np.array_equal(speak(SENTENCE, EspeakVoice("am", variant="f2", rate=140))[0], plain)


def dominant_pitch_hz(samples: np.ndarray) -> float:
    """Strongest periodicity between 60 and 350 Hz, from the autocorrelation."""
    signal = samples.astype(np.float64) - samples.mean()
    spectrum = np.fft.rfft(signal, 2 * len(signal))
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)
    shortest, longest = 22050 // 350, 22050 // 60
    return 22050 / (shortest + int(np.argmax(correlation[shortest:longest])))


def test_an_unknown_voice_is_named() -> None:
    with pytest.raises(UserError, match=r"no voice 'xx-nowhere'"):
        speak(SENTENCE, EspeakVoice("xx-nowhere"))
    assert len(speak(SENTENCE, EspeakVoice("am"))[0]) > 0, "the library is usable after a refusal"


def test_silence_is_no_error() -> None:
    samples, rate_hz = speak("", EspeakVoice("am"))
    assert rate_hz == 22050 and len(samples) < rate_hz


def test_threads_do_not_mix_their_speech() -> None:
    texts = [SENTENCE, SENTENCE * 3]
    lengths = [len(speak(text, EspeakVoice("am"))[0]) for text in texts]
    spoken: dict[int, int] = {}

    def work(index: int) -> None:
        spoken[index] = len(speak(texts[index % 2], EspeakVoice("am"))[0])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(spoken) == 8
    # espeak-ng carries a little state along, worth a period of the voice or two.
    assert all(abs(length - lengths[index % 2]) < 1000 for index, length in spoken.items())
