"""`xtts ingest`: turn recordings and texts as people have them into a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

FORMATS = ("auto", "table", "common-voice", "kaldi", "jsonl", "subtitles", "transcript")


@click.command("ingest")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Dataset folder to write, or to add to.")
@click.option("--format", "wanted", type=click.Choice(FORMATS), default="auto", show_default=True)
@click.option("--audio", type=click.Path(path_type=Path), help="Folder of the recordings, if SOURCE is another.")
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    default=0.8,
    show_default=True,
    help="Of transcripts: sentences found less surely are left out.",
)
@click.option("--name", help="Name of the source in the dataset; default: that of its folder.")
def command(source: Path, out: Path, wanted: str, audio: Path | None, min_confidence: float, name: str | None) -> None:
    """Turn SOURCE, a file or a folder, into a dataset, or add what is new in it.

    Reads the guide's, LJSpeech's and coqui's metadata (table), Common Voice, Kaldi directories, JSON Lines manifests,
    subtitles beside recordings, and transcripts (a sentence per line) beside long recordings.

    Writes OUT/metadata.csv, a row per clip; OUT/wavs/; and OUT/left_out.csv, every utterance that is no clip, with the
    reason. SOURCE is only read. Run it again when SOURCE has grown: only what is new or changed is written.
    """
    from xtts_framework.ingest.recognition import Format
    from xtts_framework.stages.ingest import ingest

    chosen = None if wanted == "auto" else cast(Format, wanted)
    ingest(source, out, wanted=chosen, audio=audio, min_confidence=min_confidence, name=name)
