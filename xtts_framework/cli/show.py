"""`xtts show`: where a finished run's results are, and the two numbers that matter."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("show")
@click.argument("run", type=click.Path(path_type=Path))
def command(run: Path) -> None:
    """Print where the report, bundle and speech of RUN (a folder below results/runs) are, and its losses."""
    from xtts_framework.errors import UserError
    from xtts_framework.files import read_json
    from xtts_framework.layout import RunFolder

    folder = RunFolder(run)
    missing = [path for path in (folder.summary, folder.selected, folder.report) if not path.is_file()]
    if missing:
        raise UserError(
            f"{run}: not a finished run, {', '.join(path.name for path in missing)} missing; run `snakemake`"
        )
    evaluations = read_json(folder.summary)["eval"]
    first, best = evaluations["first"], evaluations["best"]
    click.echo(f"report   {folder.report}")
    click.echo(f"bundle   {folder.bundle}")
    click.echo(f"speech   {folder.synthesis}")
    click.echo(f"eval loss before training  {first['loss_total']:.3f}  (audio {first['loss_mel']:.3f})")
    click.echo(
        f"eval loss after training   {best['loss_total']:.3f}  (audio {best['loss_mel']:.3f}, step {best['step']})"
    )
