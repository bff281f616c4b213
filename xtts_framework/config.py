"""The configuration: one typed tree, the single source of truth.

`config/config.yaml` and `workflow/schemas/config.schema.json` are generated from it (`xtts config write`), and a test
fails when they drift. Each stage reads only its own slice (`stage_configs`), one small file per stage, dataset and
run: that is how a changed learning rate re-runs training and nothing before it.

This module imports neither torch nor TTS, so that the workflow can read it while it plans.
"""

from __future__ import annotations

import difflib
import itertools
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from xtts_framework.errors import UserError

GUIDE = "quick-start guide"
UPSTREAM = "coqui-tts 0.28.0"
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
BUCKET_PATTERN = re.compile(r"s3://[a-z0-9][a-z0-9.-]+[a-z0-9](/[^/{}*?#@\\\s]+)+")
"""`s3://BUCKET/KEY`: no credentials, no empty part, nothing that Snakemake or a reader of URLs takes otherwise."""
ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")
MODEL_MAX_TEXT_IDS = 401
"""Text ids of one clip, language tag included (position table of XTTS-v2: 404 rows)."""
MODEL_MAX_CODES = 603
"""Audio codes of one clip, 28.0 s (position table of XTTS-v2: 608 rows)."""
MODEL_MAX_DURATION_S = 28.0
MODEL_MAX_TOKENS = 1100
"""More than the longest possible clip takes in a micro-batch: 32 latents, 402 text rows, 607 audio rows."""
CPU_MICRO_BATCH_TOKENS = 8192
"""Of no consequence for speed there; `auto` must be a constant, for equal bits need equal micro-batches."""


class Strict(BaseModel):
    """Unknown keys are errors, and so are infinite numbers; values cannot be reassigned."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LanguageConfig(Strict):
    """Which language pack prepares the text."""

    code: str = Field(description="Language code of an installed pack (`xtts plugins list`), for example `am`.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of that pack; each pack documents and checks its own."
    )


Severity = Literal["reject", "warn", "ignore"]
"""What a finding means for its clip: it does not train, it trains and warnings.csv names it, or nobody looks."""
EDGES = "a voice learns silence where it hears it"


class SeverityConfig(Strict):
    """What becomes of a clip with a finding: `reject`, `warn` or `ignore`. Codes not listed here always reject."""

    low_sample_rate: Severity = Field("reject", description="Below `min_sample_rate_hz`.")
    mostly_silent: Severity = Field("reject", description="Less speech than `min_speech_share`.")
    leading_silence: Severity = Field("warn", description="Starts with more than `max_edge_silence_s` of silence.")
    trailing_silence: Severity = Field("warn", description="Ends with more than `max_edge_silence_s` of silence.")
    clipped: Severity = Field("warn", description="More than `max_clipped_share` of the samples are cut off.")
    low_level: Severity = Field("warn", description="Speech is below `min_level_dbfs`.")
    noisy: Severity = Field("warn", description="Speech is less than `min_speech_over_noise_db` above the noise.")
    dc_offset: Severity = Field("warn", description="Samples lie off centre by more than `max_dc_offset`.")
    channels_differ: Severity = Field("warn", description="Channels differ by more than `max_channel_difference`.")
    length_mismatch: Severity = Field(
        "reject", description="Nobody says so much, or so little: `min_` and `max_characters_per_s`."
    )
    unusual_speed: Severity = Field("warn", description="Beyond `max_speed_deviation` of the speaker's usual speed.")
    digits_left: Severity = Field("warn", description="Digits that the language pack left in the text.")
    duplicate_text: Severity = Field("warn", description="The text of an earlier clip of the same speaker.")
    uneven_durations: Severity = Field("warn", description="The same text, `max_duration_ratio` times as long.")


class ValidationConfig(Strict):
    """What a clip must be to enter the manifest. Every refusal is written to rejects.csv with a reason."""

    min_duration_s: float = Field(
        0.5, gt=0, description=f"Shortest clip, seconds. Source: {UPSTREAM} drops shorter ones."
    )
    max_duration_s: float = Field(
        11.6,
        gt=0,
        le=MODEL_MAX_DURATION_S,
        description=f"Longest clip, seconds; the model's limit is {MODEL_MAX_DURATION_S}. Source: {UPSTREAM}.",
    )
    min_sample_rate_hz: int = Field(
        16000, gt=0, description="Lowest sample rate, Hz. Source: below it, speech above 8 kHz is lost for good."
    )
    min_speech_share: float = Field(
        0.2, ge=0, le=1, description=f"Least share of a clip that is speech, by energy. Source: ours; {EDGES}."
    )
    max_edge_silence_s: float = Field(
        1.0, gt=0, description=f"Most silence before, and after, the speech, seconds. Source: ours; {EDGES}."
    )
    max_clipped_share: float = Field(
        0.001,
        ge=0,
        le=1,
        description="Most samples in a row at full scale, share of all. Source: ours; one in a thousand is audible.",
    )
    min_level_dbfs: float = Field(
        -40.0,
        le=0,
        description="Lowest RMS of the speech, dB below full scale. Source: ours; spoken audio is mixed to about -23.",
    )
    min_speech_over_noise_db: float = Field(
        15.0,
        ge=0,
        description="Least distance from the noise floor to the speech, dB. Source: ours; clean recordings have 30.",
    )
    max_dc_offset: float = Field(
        0.02,
        ge=0,
        le=1,
        description="Largest mean sample, share of full scale. Source: ours; sound cards stay below 0.01.",
    )
    max_channel_difference: float = Field(
        0.1,
        ge=0,
        le=1,
        description="RMS of what channels do not share, relative to their own: 0.7 for two unrelated ones. "
        "Source: ours; channels are averaged, and what differs is blurred.",
    )
    min_characters_per_s: float = Field(
        1.0,
        ge=0,
        description="Least text, normalised characters per second of speech. Source: ours.",
    )
    max_characters_per_s: float = Field(
        40.0,
        gt=0,
        description="Most text, normalised characters per second of speech. Source: ours.",
    )
    max_speed_deviation: float = Field(
        5.0,
        gt=0,
        description="Farthest from a speaker's median characters per second, in standard deviations estimated from the "
        "median deviation. Source: ours; one in two million, were speed normally distributed.",
    )
    max_duration_ratio: float = Field(
        2.0,
        ge=1,
        description="Longest to shortest recording of one text by one speaker. Source: ours; nobody halves the speed.",
    )
    min_clips: int = Field(
        500, ge=0, description=f"Fewer clips to train on are a warning. Source: {GUIDE}, its smallest dataset."
    )
    min_minutes: float = Field(
        60.0, ge=0, description="Less speech to train on is a warning, minutes. Source: ours; a language takes hours."
    )
    max_share_of_one: float = Field(
        0.8,
        gt=0,
        le=1,
        description="A speaker, or a recording, with more of the speech than this, beside others, is a warning. "
        "Source: ours.",
    )
    severity: SeverityConfig = Field(default_factory=SeverityConfig, description="What a finding means for its clip.")
    eval_fraction: float = Field(0.05, ge=0, lt=1, description="Share of the accepted clips held out for evaluation.")
    eval_min: int = Field(20, ge=1, description="At least this many evaluation clips (but never more than half).")
    eval_max: int = Field(500, ge=1, description="At most this many evaluation clips.")
    seed: int = Field(1, ge=0, description="Seed of the train/eval split.")

    @model_validator(mode="after")
    def _least_below_most(self) -> ValidationConfig:
        for least, most in (
            ("min_duration_s", "max_duration_s"),
            ("min_characters_per_s", "max_characters_per_s"),
            ("eval_min", "eval_max"),
        ):
            if getattr(self, least) > getattr(self, most):
                raise ValueError(f"{least} {getattr(self, least):g} is above {most} {getattr(self, most):g}")
        return self


class DatasetConfig(Strict):
    """One folder of recordings with a metadata file, one language. Never modified."""

    path: Path = Field(description="Folder of the dataset, relative to the working directory.")
    metadata: str = Field("metadata.csv", description="Metadata file inside the folder, one clip per line.")
    language: LanguageConfig = Field(description="Language code, or `{code: …, options: {…}}`.")
    validation: ValidationConfig = Field(default_factory=ValidationConfig)

    @field_validator("language", mode="before")
    @classmethod
    def _code_alone(cls, value: Any) -> Any:
        return {"code": value} if isinstance(value, str) else value


def _in_a_bucket(value: str) -> str:
    if not BUCKET_PATTERN.fullmatch(value) or {".", ".."} & set(value.split("/")):
        raise ValueError(
            "expected s3://BUCKET/KEY without credentials, '..', spaces, braces, '*', '?', '#', '@' or a last '/'"
        )
    return value


BucketAddress = Annotated[str, AfterValidator(_in_a_bucket)]


class ProjectDataset(DatasetConfig):
    """A dataset, and where it comes from: no stage depends on that, so it enters no slice."""

    source: BucketAddress | None = Field(
        None,
        description="Archive in object storage that is unpacked into `path` while that holds no metadata file: "
        f"`s3://BUCKET/KEY`, ending in {', '.join(ARCHIVE_SUFFIXES)}. Empty: nothing is fetched.",
    )

    @field_validator("source")
    @classmethod
    def _is_an_archive(cls, value: str | None) -> str | None:
        if value is not None and not value.endswith(ARCHIVE_SUFFIXES):
            raise ValueError(f"expected an archive: {', '.join(ARCHIVE_SUFFIXES)}")
        return value


class DatasetUse(Strict):
    """How a run uses a dataset."""

    share: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of all training samples drawn from this dataset (replay). Empty: it is part of the epoch.",
    )


class TokenizerConfig(Strict):
    """How the vocabulary of the base is extended."""

    new_tokens: int = Field(
        2000,
        ge=0,
        description="Rows added to the vocabulary, characters and merges together. Source: published experience.",
    )
    own_merges: bool | None = Field(
        None,
        description="Allow merges made only of characters the base knows; changes how base languages encode. "
        "Empty: the language pack decides.",
    )


class FreezingConfig(Strict):
    """Which parts of the model stay as they are. Empty fields: the language pack decides."""

    policy: Literal["auto", "none"] = Field(
        "auto",
        description=f"`auto`: frozen below `threshold` training clips; `none`: everything trains. Source: {GUIDE}.",
    )
    threshold: int = Field(3000, ge=0, description=f"Training clips below which `auto` freezes. Source: {GUIDE}.")
    frozen_blocks: list[int] | None = Field(
        None, description="GPT blocks to freeze, counted from 0; overrides the policy."
    )
    text_embedding: bool | None = Field(None, description="Whether the text embedding trains; overrides the policy.")
    audio_embedding: bool | None = Field(None, description="Whether the audio embedding trains; overrides the policy.")
    heads: bool | None = Field(None, description="Whether both heads train; overrides the policy.")
    conditioning: bool | None = Field(
        None, description="Whether conditioning encoder and perceiver train; overrides the policy."
    )


class TrainingConfig(Strict):
    """The training recipe. Counted in steps: one step is `batch_size` samples, whatever the hardware."""

    learning_rate: float = Field(5e-6, gt=0, description=f"Peak learning rate. Source: {GUIDE}.")
    milestones: list[int] = Field(
        default=[50_000, 150_000, 300_000],
        description=f"Steps at which the rate is multiplied by `gamma`. Source: {GUIDE}.",
    )
    gamma: float = Field(0.5, gt=0, le=1, description=f"Factor at each milestone. Source: {GUIDE}.")
    batch_size: int = Field(
        4, ge=1, description=f"Samples per step; moves the milestones, not the memory. Source: {GUIDE}."
    )
    grad_accum: int = Field(
        128, ge=1, description=f"Steps per optimizer update. Source: {GUIDE} (4 x 128 = 512 samples)."
    )
    max_steps: int = Field(300_000, ge=1, description=f"Steps after which the run ends. Source: {GUIDE}.")
    max_epochs: int | None = Field(
        None, ge=1, description="Epochs after which the run ends, if sooner. Empty: no limit."
    )
    warmup_steps: int = Field(
        0, ge=0, description=f"Steps over which the rate rises in a line from 0. Source: {GUIDE} (off)."
    )
    weight_decay: float = Field(
        1e-2, ge=0, description=f"AdamW decay of weights (no biases, norms, embeddings). Source: {GUIDE}."
    )
    betas: tuple[float, float] = Field((0.9, 0.96), description=f"AdamW betas. Source: {GUIDE}.")
    eps: float = Field(1e-8, gt=0, description="AdamW epsilon. Source: XTTS-v2 recipe.")
    new_token_lr_scale: float = Field(1.0, gt=0, description="Factor on the rate of the added embedding and head rows.")
    max_grad_norm: float | None = Field(
        None,
        gt=0,
        description="Gradients are scaled down to this L2 norm. Empty: no clipping. Source: XTTS-v2 recipe.",
    )
    ema_decay: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Keep a moving average of the weights with this decay per update; it is what is evaluated, saved "
        f"and spoken with. Empty: off. Source: {GUIDE} (off).",
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of each training target spread over all tokens; evaluation never has any. "
        f"Source: {UPSTREAM} (none).",
    )
    mel_loss_weight: float = Field(1.0, ge=0, description=f"Weight of the audio-code loss. Source: {UPSTREAM}.")
    text_loss_weight: float = Field(0.01, ge=0, description=f"Weight of the text loss. Source: {UPSTREAM}.")
    dropout: float = Field(
        0.1, ge=0, lt=1, description=f"After embeddings, attention projections and MLPs. Source: {UPSTREAM}."
    )
    conditioning: Literal["self", "speaker"] = Field(
        "self",
        description=f"Voice prompt: a slice of the clip itself, or of another clip of its speaker. Source: {UPSTREAM}.",
    )
    mask_conditioned_loss: bool = Field(False, description="Leave the audio under the voice prompt out of the loss.")
    precision: Literal["fp32", "bf16", "fp32_strict"] = Field(
        "fp32",
        description="fp32 uses TF32 matmuls where there are any; bf16 keeps fp32 master weights; "
        "fp32_strict never uses TF32. Source: guide (mixed precision off).",
    )
    seed: int = Field(1, ge=0, description="Seed of new rows, sample order, voice prompts and dropout.")
    log_every_updates: int = Field(1, ge=1, description="Updates between two log lines.")
    eval_every_steps: int = Field(2500, ge=1, description="Steps between two evaluations.")
    save_every_steps: int = Field(10_000, ge=1, description="Steps between two full checkpoints.")
    save_every_minutes: float = Field(15.0, gt=0, description="Minutes between two full checkpoints, if sooner.")
    keep_best: int = Field(3, ge=1, description="Best evaluated weights kept.")
    keep_last: int = Field(2, ge=1, description="Latest full checkpoints kept.")
    early_stopping_evals: int | None = Field(
        None, ge=1, description="Stop after this many evaluations without improvement. Empty: never."
    )
    micro_batch_tokens: Literal["auto"] | Annotated[int, Field(ge=MODEL_MAX_TOKENS)] = Field(
        "auto",
        description="Tokens through the device at once; memory only, never the result. `auto`: the most that the GPU "
        f"has room for, measured at the start and remembered; {CPU_MICRO_BATCH_TOKENS} on a CPU.",
    )
    activation_checkpointing: Literal["auto"] | bool = Field(
        "auto",
        description="Compute each block again in the backward pass: much less memory, a third more work, the same "
        "result. `auto`: only where the GPU has no room otherwise.",
    )
    compile: bool = Field(
        False,
        description="Compile the model with torch.compile: faster on a GPU after minutes of compiling; needs a C++ "
        "compiler.",
    )

    @field_validator("milestones")
    @classmethod
    def _increasing(cls, value: list[int]) -> list[int]:
        if any(step < 1 for step in value) or any(a >= b for a, b in itertools.pairwise(value)):
            raise ValueError(f"milestones must be positive and strictly increasing, found {value}")
        return value

    @model_validator(mode="after")
    def _warm_before_the_first_drop(self) -> TrainingConfig:
        if self.milestones and self.warmup_steps > self.milestones[0]:
            raise ValueError(f"warmup_steps {self.warmup_steps} reach beyond the first milestone, {self.milestones[0]}")
        return self


class SynthesisConfig(Strict):
    """What the finished voice says, at the selected and at each kept checkpoint."""

    sentences: list[str] = Field(
        default_factory=list, description="Sentences to speak. Empty: from the evaluation clips."
    )
    language: str | None = Field(None, description="Language of the sentences. Empty: that of the run's first dataset.")
    speaker: Path | None = Field(None, description="Reference recording of the voice. Empty: an evaluation clip.")
    count: int = Field(3, ge=0, description="How many evaluation sentences to speak when `sentences` is empty.")
    checkpoints: Literal["all", "selected"] = Field(
        "all", description="Speak at every kept checkpoint, or the selected only."
    )
    temperature: float = Field(0.75, gt=0, description=f"Sampling temperature. Source: {UPSTREAM}.")
    top_k: int = Field(50, ge=1, description=f"Sampling pool. Source: {UPSTREAM}.")
    top_p: float = Field(0.85, gt=0, le=1, description=f"Sampling mass. Source: {UPSTREAM}.")
    repetition_penalty: float = Field(10.0, gt=0, description=f"Penalty on repeated codes. Source: {UPSTREAM}.")
    seed: int = Field(1, ge=0, description="Seed of the sampling: the same text, voice and seed give the same audio.")


class RunConfig(Strict):
    """One training configuration over one or more datasets."""

    datasets: dict[str, DatasetUse] = Field(description="Datasets by name: a list of names, or `{name: {share: …}}`.")
    tokenizer: TokenizerConfig = Field(default_factory=TokenizerConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    freezing: FreezingConfig = Field(default_factory=FreezingConfig)
    synthesis: SynthesisConfig = Field(default_factory=SynthesisConfig)

    @field_validator("datasets", mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = [value]
        if isinstance(value, list):
            if len(set(value)) < len(value):
                raise ValueError(f"a dataset is named twice: {value}")
            value = {name: {} for name in value}
        if isinstance(value, dict):
            value = {name: use or {} for name, use in value.items()}
        return value

    @model_validator(mode="after")
    def _some_epoch(self) -> RunConfig:
        if not self.datasets:
            raise ValueError("a run needs at least one dataset")
        if all(use.share is not None for use in self.datasets.values()):
            raise ValueError("at least one dataset of a run must have no `share`: it defines the epoch")
        if sum(use.share or 0.0 for use in self.datasets.values()) >= 1:
            raise ValueError("the shares of a run's replay datasets must add up to less than 1")
        return self


class HubConfig(Strict):
    """Where `xtts base fetch xtts-v2` downloads from."""

    repository: str = Field("coqui/XTTS-v2", description="Repository on the Hugging Face hub.")
    revision: str = Field(
        "6c2b0d75eae4b7047358e3b6bd9325f857d43f77",
        description="Commit of that repository; pinned, so that a base never changes under a run.",
    )


class ProjectConfig(Strict):
    """Everything `snakemake` needs to know."""

    results: Path = Field(Path("results"), description="Folder of all results, relative to the working directory.")
    base: str = Field(
        "xtts-v2",
        description="Checkpoint to start from: a folder, or `xtts-v2`, which `xtts base fetch` puts in bases/xtts-v2.",
    )
    hub: HubConfig = Field(default_factory=HubConfig)
    encode_jobs: int = Field(
        1,
        ge=1,
        description="Jobs that share the encoding of each dataset, on a cluster; never the result. Each takes whole "
        "thousands of clips, so more jobs than thousands of clips find nothing to do.",
    )
    publish: BucketAddress | None = Field(
        None,
        description="Where bundle and report of every run are copied to, each run below its name: "
        "`s3://BUCKET/PREFIX`. Empty: nowhere.",
    )
    datasets: dict[str, ProjectDataset] = Field(description="Datasets by name; the name becomes a folder.")
    runs: dict[str, RunConfig] = Field(description="Runs by name; the name becomes a folder.")

    @field_validator("datasets", "runs", mode="before")
    @classmethod
    def _plain_names(cls, value: Any) -> Any:
        for name in value if isinstance(value, dict) else ():
            if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name):
                raise ValueError(
                    f"{name!r} is no usable name: letters, digits, '_', '-' and '.', starting with a letter or digit"
                )
        return value

    @model_validator(mode="after")
    def _known_datasets(self) -> ProjectConfig:
        for run_name, run in self.runs.items():
            for name in run.datasets:
                if name not in self.datasets:
                    raise ValueError(
                        f"run {run_name!r} uses dataset {name!r}, but the datasets are {sorted(self.datasets)}"
                    )
        return self

    @model_validator(mode="after")
    def _usable_storage(self) -> ProjectConfig:
        fetched: dict[Path, str] = {}
        for name, dataset in self.datasets.items():
            other = fetched.setdefault(dataset.path, name) if dataset.source else name
            if other != name:
                raise ValueError(f"datasets {other!r} and {name!r} would both be fetched into {dataset.path}")
        return self

    @property
    def base_folder(self) -> Path:
        return Path("bases/xtts-v2") if self.base == "xtts-v2" else Path(self.base)


def refuse_wildcards(project: ProjectConfig) -> None:
    """Refuse what the workflow cannot carry: Snakemake takes braces in the path of a file for a wildcard.

    Raises:
        UserError: names the paths.
    """
    paths = {"results": project.results, "base": project.base_folder}
    paths |= {f"datasets.{name}": dataset.path / dataset.metadata for name, dataset in project.datasets.items()}
    wrong = [f"  {key}: {str(path)!r}" for key, path in paths.items() if "{" in str(path) or "}" in str(path)]
    if wrong:
        listed = "\n".join(wrong)
        raise UserError(f"braces in a path mean something else to Snakemake; rename these without them:\n{listed}")


# One slice per stage: exactly what its result depends on, nothing more.


class ValidateConfig(Strict):
    """Slice of `xtts validate`."""

    dataset: DatasetConfig


class EncodeConfig(Strict):
    """Slice of `xtts encode`: where the recordings of the manifest are."""

    dataset_path: Path


class TokenizeConfig(Strict):
    """Slice of `xtts tokenize`. `languages` maps dataset name to its language."""

    languages: dict[str, LanguageConfig]
    tokenizer: TokenizerConfig


class TrainConfig(Strict):
    """Slice of `xtts train`."""

    datasets: dict[str, DatasetUse]
    languages: dict[str, LanguageConfig]
    training: TrainingConfig
    freezing: FreezingConfig


class ExportConfig(Strict):
    """Slice of `xtts export`: what the model card tells about the recipe."""

    run: str
    base: str
    languages: dict[str, LanguageConfig]
    dataset_paths: dict[str, Path]
    training: TrainingConfig


class SynthesizeConfig(Strict):
    """Slice of `xtts synthesize` for a run."""

    synthesis: SynthesisConfig
    languages: dict[str, LanguageConfig]
    dataset_paths: dict[str, Path]


class ReportConfig(Strict):
    """Slice of `xtts report`."""

    run: str
    dataset_paths: dict[str, Path]


def stage_configs(project: ProjectConfig) -> Iterator[tuple[str, Strict]]:
    """Yield `(path below results, slice)` for every stage of every dataset and run."""
    for name, dataset in project.datasets.items():
        yield f"datasets/{name}/config/validate.yaml", ValidateConfig(dataset=dataset)
        yield f"datasets/{name}/config/encode.yaml", EncodeConfig(dataset_path=dataset.path)
    for name, run in project.runs.items():
        languages = {dataset: project.datasets[dataset].language for dataset in run.datasets}
        paths = {dataset: project.datasets[dataset].path for dataset in run.datasets}
        folder = f"runs/{name}/config"
        yield f"{folder}/tokenize.yaml", TokenizeConfig(languages=languages, tokenizer=run.tokenizer)
        yield (
            f"{folder}/train.yaml",
            TrainConfig(datasets=run.datasets, languages=languages, training=run.training, freezing=run.freezing),
        )
        yield (
            f"{folder}/export.yaml",
            ExportConfig(run=name, base=project.base, languages=languages, dataset_paths=paths, training=run.training),
        )
        yield (
            f"{folder}/synthesize.yaml",
            SynthesizeConfig(synthesis=run.synthesis, languages=languages, dataset_paths=paths),
        )
        yield f"{folder}/report.yaml", ReportConfig(run=name, dataset_paths=paths)


# Reading


ConfigModel = typing.TypeVar("ConfigModel", bound=BaseModel)


def read_config(path: Path, model: type[ConfigModel]) -> ConfigModel:
    """Read and check a YAML file.

    Raises:
        UserError: missing file, no YAML, a key given twice, an unknown key (names the nearest), a bad value.
    """
    return parse_config(read_yaml(path), model, source=str(path))


def read_yaml(path: Path) -> Any:
    """Read YAML in which a key given twice is an error: two runs of one name are a mistake, not a choice.

    Raises:
        UserError: missing file, no UTF-8, no YAML, a key given twice.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot read the configuration: {error}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from error


def parse_config(data: Any, model: type[ConfigModel], *, source: str) -> ConfigModel:
    """Check a configuration that is already in memory; `source` names it in errors."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = "\n".join(f"  {_explain(problem, model)}" for problem in error.errors())
        raise UserError(f"{source}: {error.error_count()} problem(s):\n{problems}") from error


def dump_yaml(model: BaseModel) -> str:
    """YAML of a configuration, stable key order, no comments."""
    return yaml.safe_dump(model.model_dump(mode="json"), allow_unicode=True, sort_keys=False, width=100)


class _UniqueKeys(yaml.SafeLoader):
    """YAML that refuses a key written twice."""


def _mapping_of_unique_keys(loader: _UniqueKeys, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: dict[Any, yaml.Mark] = {}
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} is given twice, first in line {seen[key].line + 1}", key_node.start_mark
            )
        seen[key] = key_node.start_mark
    loader.flatten_mapping(node)
    return {
        loader.construct_object(key_node, deep=True): loader.construct_object(value_node, deep=True)
        for key_node, value_node in node.value
    }


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_of_unique_keys)


def _explain(problem: Any, model: type[BaseModel]) -> str:
    location = ".".join(str(part) for part in problem["loc"]) or "(top level)"
    if problem["type"] == "extra_forbidden":
        known = _fields_at(model, problem["loc"][:-1])
        nearest = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known keys: {', '.join(known)}"
        return f"{location}: unknown key; {hint}"
    if problem["type"] == "missing":
        return f"{location}: required, but missing"
    message = problem["msg"].removeprefix("Value error, ")
    if isinstance(problem["input"], dict | list):
        return f"{location}: {message}"
    found = re.sub(r"//[^/@]*@", "//", repr(problem["input"]))  # no password of an address
    return f"{location}: {message}, found {found}"


def _fields_at(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """Field names of the model that `location` leads to."""
    current: Any = model
    for part in location:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(str(part))
            current = field.annotation if field else None
        elif typing.get_origin(current) is dict:
            current = typing.get_args(current)[1]
        if typing.get_origin(current) in (typing.Union, types.UnionType, Annotated):
            models = [a for a in typing.get_args(current) if isinstance(a, type) and issubclass(a, BaseModel)]
            current = models[0] if models else None
    if isinstance(current, type) and issubclass(current, BaseModel):
        return list(current.model_fields)
    return []
