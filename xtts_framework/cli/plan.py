"""`xtts plan`: what a run will be like, before any GPU hour is spent on it."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("plan")
@click.argument("run", required=False)
@click.option("--config", type=click.Path(path_type=Path), default="config.yaml", show_default=True)
@click.option("--clips-per-s", type=click.FloatRange(min=1e-6, max=1e9), help="Speed to plan with.")
@click.option(
    "--bench",
    "bench_file",
    type=click.Path(path_type=Path),
    default="bench.csv",
    show_default=True,
    help="What `xtts bench` has measured.",
)
@click.option("--json", "machine", is_flag=True, help="For machines: a list of plans on stdout.")
def command(run: str | None, config: Path, clips_per_s: float | None, bench_file: Path, machine: bool) -> None:
    """Say what RUN (or every run) of a project will be like: epochs, milestones, hours, memory, disk.

    Reads the configuration and results/datasets/NAME/manifest.parquet, which `xtts validate` writes; features,
    vocabulary and base where they are there, and says what it assumed where they are not. Writes nothing. Warns when
    milestones will never be reached, or the run is too short to learn the rows of new tokens.

    Hours come from --clips-per-s, else from this run's last training, else from the last row of `xtts bench`.
    """
    import json

    from xtts_framework.config import ProjectConfig, read_config
    from xtts_framework.planning.describe import as_json, describe_plan
    from xtts_framework.planning.inputs import plan_runs

    plans = plan_runs(read_config(config, ProjectConfig), run, clips_per_s=clips_per_s, bench_file=bench_file)
    if machine:
        click.echo(json.dumps([as_json(one) for one in plans], ensure_ascii=False, indent=2))
        return
    for number, one in enumerate(plans):
        if number:
            click.echo()
        for line in describe_plan(one):
            click.echo(line)
