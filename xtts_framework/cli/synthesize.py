"""`xtts synthesize`: let a bundle speak, for a person or for the workflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from xtts_framework.cli.datasets import dataset_option

if TYPE_CHECKING:
    from xtts_framework.layout import DatasetFolder


@click.command("synthesize")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="What to say. May be repeated.")
@click.option("--text-file", type=click.Path(path_type=Path), help="What to say, UTF-8, one text per line.")
@click.option("--speaker", type=click.Path(path_type=Path), help="Recording of the voice. [default: the bundle's]")
@click.option("--language", metavar="CODE", help="Language of the text, if the bundle speaks several.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Another seed, another take.")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Speak with this checkpoint of the same run.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--config", type=click.Path(path_type=Path), help="Workflow's form: slice of the configuration (YAML).")
@dataset_option(required=False)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="A .wav file, or a folder for one file per text."
)
def command(
    bundle: Path,
    texts: tuple[str, ...],
    text_file: Path | None,
    speaker: Path | None,
    language: str | None,
    seed: int,
    checkpoint: Path | None,
    device: str,
    config: Path | None,
    datasets: dict[str, DatasetFolder],
    out: Path,
) -> None:
    """Speak text with BUNDLE, a folder that `xtts export` wrote.

    \b
    xtts synthesize BUNDLE --text "ሰላም ለዓለም" --speaker me.wav --out hello.wav
    xtts synthesize BUNDLE --text-file story.txt --out story/

    Writes 24 kHz WAV. The same text, voice and seed give the same audio on the CPU.

    The workflow's form, --config with --dataset, speaks the configured sentences at the selected and at each kept
    checkpoint of the run --out, and writes its synthesis/ folder.
    """
    if config:
        if texts or text_file or speaker or language or checkpoint:
            raise click.UsageError(
                "--config names sentences, voice and checkpoints itself; leave the other options out"
            )
        _speak_run(bundle, config, datasets, out, device)
        return
    if bool(texts) == bool(text_file):
        raise click.UsageError("say what to speak, with either --text or --text-file")
    from xtts_framework.model.inference import Sampling
    from xtts_framework.stages.synthesize import synthesize_texts
    from xtts_framework.training.device import choose_device

    synthesize_texts(
        bundle,
        list(texts) or _read_lines(text_file),
        out,
        language=language,
        speaker=speaker,
        checkpoint=checkpoint,
        sampling=Sampling(seed=seed),
        device=str(choose_device(device)),
    )


def _speak_run(bundle: Path, config: Path, datasets: dict[str, DatasetFolder], out: Path, device: str) -> None:
    from xtts_framework.config import SynthesizeConfig, read_config
    from xtts_framework.layout import RunFolder
    from xtts_framework.stages.synthesize import synthesize_run
    from xtts_framework.training.device import choose_device

    settings = read_config(config, SynthesizeConfig)
    synthesize_run(settings, bundle, RunFolder(out), datasets, device=str(choose_device(device)))


def _read_lines(path: Path | None) -> list[str]:
    from xtts_framework.errors import UserError

    assert path is not None
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8.") from error
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise UserError(f"{path}: no text in it; expected one text per line.")
    return texts
