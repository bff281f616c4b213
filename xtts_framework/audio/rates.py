"""The rates of XTTS-v2: samples, mel frames, audio codes. Numbers only; nothing heavy is imported for them."""

SAMPLE_RATE_HZ = 22050
"""The rate at which XTTS hears; it speaks at 24 kHz."""
HOP = 256
"""Samples from one mel frame to the next."""
SAMPLES_PER_CODE = 1024
FRAMES_PER_CODE = SAMPLES_PER_CODE // HOP
AUDIO_STOPS = 4
"""Stop tokens after the codes of each training clip. Source: `GPT.forward` of coqui-tts 0.28.0."""


def code_count(samples: int) -> int:
    """Codes of a clip of so many samples at 22050 Hz."""
    return -(-samples // SAMPLES_PER_CODE)


def frame_count(samples: int) -> int:
    """Mel frames of a clip of so many samples at 22050 Hz."""
    return 1 + samples // HOP
