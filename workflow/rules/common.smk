"""The configuration as typed objects, and the inputs that several rules share."""

import errno
import re
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake_interface_common.exceptions import InvalidPluginException

from xtts_framework.config import (
    ProjectConfig,
    dump_yaml,
    parse_config,
    read_yaml,
    refuse_wildcards,
    stage_configs,
)
from xtts_framework.data.recordings import recordings_fingerprint
from xtts_framework.errors import UserError
from xtts_framework.files import sha256_of, write_text_if_changed

try:
    # Snakemake's own reader lets the second of two equal keys win.
    for configfile in workflow.configfiles:
        read_yaml(Path(configfile))
    project = parse_config(config, ProjectConfig, source="configuration")
    refuse_wildcards(project)
except UserError as error:
    raise WorkflowError(str(error))

DATASETS = f"{project.results}/datasets"
RUNS = f"{project.results}/runs"
ENVIRONMENT = "../envs/xtts.yaml"

# One small file per stage holds exactly the settings that stage depends on. A file that would not change is left
# alone, so a new learning rate re-runs training and what follows, and nothing before it.
if workflow.is_main_process:
    for path, content in stage_configs(project):
        try:
            write_text_if_changed(project.results / path, dump_yaml(content))
        except OSError as error:
            raise WorkflowError(
                f"cannot write {project.results / path}: {error.strerror}; check `results` and its rights"
            )


wildcard_constraints:
    part=r"\d+",
    parts=r"\d+",
    dataset="|".join(map(re.escape, project.datasets)) or "-",
    run="|".join(map(re.escape, project.runs)) or "-",


def digest_of(path):
    """Param function: a digest of settings. Once the clock was set back, their file looks older than the results."""
    return lambda wildcards: sha256_of(Path(path.format(**wildcards)))


def metadata_of(wildcards):
    dataset = project.datasets[wildcards.dataset]
    return str(dataset.path / dataset.metadata)


def recordings_of(wildcards):
    """Names, sizes and times of the recordings: a hundred thousand files must not become inputs."""
    metadata = metadata_of(wildcards)
    if not Path(metadata).is_file():
        # How Snakemake is told to ask again once the dataset has been fetched.
        raise FileNotFoundError(errno.ENOENT, "not yet there", metadata)
    return recordings_fingerprint(project.datasets[wildcards.dataset].path)


def encode_parts(wildcards):
    """What the jobs leave that share the encoding of a dataset; nothing where one job does it alone."""
    jobs = project.encode_jobs
    folder = f"{DATASETS}/{wildcards.dataset}/features"
    return [f"{folder}/part-{part}-of-{jobs}.done" for part in range(1, jobs + 1) if jobs > 1]


def of_run(file):
    """Input function: `file` of every dataset of the run."""

    def paths(wildcards):
        return [f"{DATASETS}/{name}/{file}" for name in project.runs[wildcards.run].datasets]

    return paths


def dataset_options(wildcards):
    """`--dataset NAME=FOLDER` for every dataset of the run. Names are checked: no quoting needed."""
    return [f"--dataset={name}={DATASETS}/{name}" for name in project.runs[wildcards.run].datasets]


def base(*files):
    """Input function: files of the base model, with a remedy when they are missing."""

    def paths(wildcards):
        missing = [name for name in files if not (project.base_folder / name).is_file()]
        if missing:
            remedy = (
                "run `xtts base fetch xtts-v2` first"
                if project.base == "xtts-v2"
                else "check `base` in the configuration"
            )
            raise WorkflowError(f"the base {project.base_folder} lacks {', '.join(missing)}: {remedy}")
        return [str(project.base_folder / name) for name in files]

    return paths


def in_storage(address):
    try:
        return storage.s3(address)
    except InvalidPluginException:
        raise WorkflowError(f'{address} needs Snakemake\'s S3 plugin: pip install "xtts-framework[s3]"')


def exists_in_storage(address, what):
    """Snakemake would take an object that it may not read for one that does not exist, or show a traceback."""
    found = in_storage(address)
    try:
        return found.flags["storage_object"].exists()
    except Exception as error:
        raise WorkflowError(
            f"{what}, {address}, cannot be read: {error}\nCheck the address, the endpoint and the credentials."
        )


def source_of(name):
    """The archive that a dataset comes from."""
    dataset = project.datasets[name]
    what = f"the source of dataset {name!r}"
    if workflow.is_main_process and not exists_in_storage(dataset.source, what):
        raise WorkflowError(
            f"{what}, {dataset.source}, does not exist. Correct `source`, or put the dataset into {dataset.path}."
        )
    return in_storage(dataset.source)


def published(runs):
    """What the storage gets of these runs: nothing, unless the configuration says `publish`."""
    if not project.publish:
        return []
    return [in_storage(f"{project.publish}/{run}/{file}") for run in runs for file in ("bundle.tar", "report.html")]
