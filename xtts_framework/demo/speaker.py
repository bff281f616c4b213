"""One speaker of the demo, in a process of its own: an order on stdin becomes wavs; prints seconds of speech."""

from __future__ import annotations

import json
import sys

import soundfile

from xtts_framework.audio.espeak import EspeakVoice, speak


def main() -> None:
    """Speak `{"voice": {...}, "clips": [[path, text], ...]}`."""
    order = json.load(sys.stdin)
    voice = EspeakVoice(**order["voice"])
    duration_s = 0.0
    for path, text in order["clips"]:
        samples, rate_hz = speak(text, voice)
        try:
            soundfile.write(path, samples, rate_hz, subtype="PCM_16")
        except (soundfile.SoundFileError, OSError) as error:
            sys.exit(f"{path}: cannot be written, the disk may be full: {error}")
        duration_s += len(samples) / rate_hz
    print(duration_s)


if __name__ == "__main__":
    main()
