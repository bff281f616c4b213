"""Speech from espeak-ng, through the library that the `espeakng-loader` wheel brings along.

The demo speaks with it: no download, no system package. The C library keeps one global state per process, so all calls
go through one lock, and a voice is set anew for every sentence.

Source: espeak-ng 1.52, `src/include/espeak-ng/speak_lib.h`.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xtts_framework.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OUTPUT_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: retrieval, the call returns when all samples were delivered
DONT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: report missing data instead of ending the process
CHARS_UTF8 = 1
POSITION_CHARACTER = 1
RATE, VOLUME, PITCH, RANGE = 1, 2, 3, 4  # espeak_PARAMETER
OK = 0

_lock = threading.Lock()
_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True)
class EspeakVoice:
    """How a sentence is spoken.

    Args:
        language: espeak-ng voice name, e.g. "am".
        variant: timbre, one of the `!v` voices, e.g. "f2"; "" for the plain voice.
        rate: words per minute, 80 to 450.
        pitch: base pitch, 0 to 100.
        pitch_range: liveliness, 0 (monotone) to 100.
    """

    language: str
    variant: str = ""
    rate: int = 160
    pitch: int = 50
    pitch_range: int = 50

    @property
    def name(self) -> str:
        return f"{self.language}+{self.variant}" if self.variant else self.language


def speak(text: str, voice: EspeakVoice) -> tuple[NDArray[np.int16], int]:
    """Synthesise one text.

    Returns:
        mono samples [N] and their rate in Hz (22050).

    Raises:
        UserError: the library cannot be loaded, or does not know the voice.
    """
    import numpy as np

    chunks: list[NDArray[np.int16]] = []

    def collect(samples: ctypes._Pointer[ctypes.c_short], count: int, _events: int | None) -> int:
        if samples and count > 0:
            chunks.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        return 0

    callback = _SynthCallback(collect)
    with _lock:
        library, sample_rate_hz = _library()
        if library.espeak_SetVoiceByName(voice.name.encode()) != OK:
            raise UserError(
                f"espeak-ng has no voice {voice.name!r}. "
                "The language is a code such as 'am', the variant a name such as 'f2'."
            )
        for parameter, value in ((RATE, voice.rate), (PITCH, voice.pitch), (RANGE, voice.pitch_range), (VOLUME, 100)):
            if library.espeak_SetParameter(parameter, value, 0) != OK:
                raise UserError(f"espeak-ng refused the value {value} for {voice}.")
        library.espeak_ng_SetRandSeed(1)  # by default the time of day; breathy voices are made of noise
        library.espeak_SetSynthCallback(callback)
        encoded = text.encode("utf-8") + b"\0"
        status = library.espeak_Synth(encoded, len(encoded), 0, POSITION_CHARACTER, 0, CHARS_UTF8, None, None)
        library.espeak_SetSynthCallback(_SynthCallback())
    if status != OK:
        raise UserError(f"espeak-ng could not speak {text!r} (status {status}).")
    return np.concatenate(chunks) if chunks else np.zeros(0, dtype=np.int16), sample_rate_hz


@functools.cache
def _library() -> tuple[ctypes.CDLL, int]:
    """Load and initialise the library once per process; return it with its sample rate."""
    import espeakng_loader

    try:
        library = ctypes.CDLL(espeakng_loader.get_library_path())
    except OSError as error:
        raise UserError(
            f"The espeak-ng library of the espeakng-loader package does not load on this machine: {error}.\n"
            "  Reinstall the package `espeakng-loader` for this platform."
        ) from error
    library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
    library.espeak_SetSynthCallback.argtypes = [_SynthCallback]
    library.espeak_SetSynthCallback.restype = None
    library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    library.espeak_SetParameter.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int]
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.POINTER(ctypes.c_uint),
        ctypes.c_void_p,
    ]
    library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    library.espeak_ng_SetRandSeed.restype = None
    data = espeakng_loader.get_data_path()
    sample_rate_hz = library.espeak_Initialize(OUTPUT_SYNCHRONOUS, 0, data.encode(), DONT_EXIT)
    if sample_rate_hz <= 0:
        raise UserError(f"espeak-ng found no usable voices in {data}. Reinstall the package `espeakng-loader`.")
    return library, sample_rate_hz
