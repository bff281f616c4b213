"""What a training costs: matrix work, parameters, device memory and disk, from the sizes of model and clips alone.

Pure arithmetic, without torch: it can be asked before there is a model, or a GPU. Tests hold it against the real
module. Formulas are written for one clip or one token, with

T tokens of a clip, F frames of its voice prompt, D channels, K = 32 latents, V rows of a vocabulary.

Memory is that of a CUDA device; it describes what `packed_losses` keeps for the backward pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from xtts_framework.audio.rates import AUDIO_STOPS
from xtts_framework.model.freezing import BLOCKS, PARTS, FreezingCounts, ParameterCounts
from xtts_framework.plugins import FreezingPlan

XTTS_V2_ARGS: Mapping[str, Any] = {
    "gpt_layers": 30,
    "gpt_n_model_channels": 1024,
    "gpt_n_heads": 16,
    "gpt_max_text_tokens": 402,
    "gpt_max_audio_tokens": 605,
    "gpt_max_prompt_tokens": 70,
    "gpt_start_text_token": 261,
    "gpt_stop_text_token": 0,
    "gpt_num_audio_tokens": 1026,
    "gpt_start_audio_token": 1024,
    "gpt_stop_audio_token": 1025,
    "gpt_use_perceiver_resampler": True,
    "gpt_code_stride_len": 1024,
}
"""`model_args` of the released XTTS-v2. Source: its `config.json`."""
XTTS_V2_TEXT_ROWS = 6681
"""Text rows of the released XTTS-v2. Source: its `vocab.json`."""

LATENTS = 32
MEL_BANDS = 80
ENCODER_BLOCKS = 6
PERCEIVER_LAYERS, PERCEIVER_HEADS, PERCEIVER_WIDTH = 2, 8, 512
"""Layers and heads of the perceiver, and channels of all its heads together. Source: coqui-tts 0.28.0."""
FP32, BF16 = 4, 2
"""Bytes of a number."""
MOST_TOKENS = 32_768
"""A GPU works at full speed with fewer tokens at once than this."""
ROOM_USED = 0.93
"""Share of a GPU's room that can be planned for; the rest is lost between the pieces."""


@dataclass(frozen=True)
class Architecture:
    """The sizes of coqui's GPT that its cost depends on.

    Args:
        layers: transformer blocks.
        channels: width of the model.
        text_rows, audio_rows: rows of the embedding, and of the head, of each kind.
        text_positions, audio_positions: rows of the position embeddings.
    """

    layers: int
    channels: int
    text_rows: int
    audio_rows: int
    text_positions: int
    audio_positions: int

    @classmethod
    def of(cls, args: Mapping[str, Any], text_rows: int) -> Architecture:
        """From `model_args` (`Base.args`, `XTTS_V2_ARGS`) and the rows of the vocabulary."""
        return cls(
            layers=args["gpt_layers"],
            channels=args["gpt_n_model_channels"],
            text_rows=text_rows,
            audio_rows=args["gpt_num_audio_tokens"],
            text_positions=args["gpt_max_text_tokens"] + 2,
            audio_positions=args["gpt_max_audio_tokens"] + 3,
        )

    @property
    def perceiver_hidden(self) -> int:
        """Hidden width of the perceiver's gated feed-forward."""
        return int(self.channels * 4 * 2 / 3)


@dataclass(frozen=True)
class ClipSize:
    """A training clip, as far as its cost depends on it.

    Args:
        text_ids: language tag included, without start and stop.
        codes: audio codes, without start and stops.
        prompt_frames: mel frames of its voice prompt.
    """

    text_ids: int
    codes: int
    prompt_frames: int

    @property
    def text_targets(self) -> int:
        return self.text_ids + 1

    @property
    def mel_targets(self) -> int:
        return self.codes + AUDIO_STOPS

    @property
    def tokens(self) -> int:
        """Rows of the packed sequence, as `Clip.tokens`."""
        return LATENTS + self.text_targets + self.mel_targets


# Work


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of the matrix products of one forward pass; a multiplication and an addition are two.

    Args:
        blocks: the linear layers of the transformer blocks.
        attention: of the blocks, each token over itself and those before it (not over the half that is masked).
        heads: text head and audio head.
        conditioning: conditioning encoder and perceiver.
    """

    blocks: int = 0
    attention: int = 0
    heads: int = 0
    conditioning: int = 0

    def __add__(self, other: Flops) -> Flops:
        return Flops(
            self.blocks + other.blocks,
            self.attention + other.attention,
            self.heads + other.heads,
            self.conditioning + other.conditioning,
        )

    @property
    def forward(self) -> int:
        return self.blocks + self.attention + self.heads + self.conditioning

    @property
    def training(self) -> int:
        """Forward and backward: three times the forward. What is recomputed is no work, and nothing is frozen."""
        return 3 * self.forward


def count_flops(architecture: Architecture, clips: Iterable[ClipSize]) -> Flops:
    """The work of one forward pass over all clips; real tokens and frames only."""
    return sum((_clip_flops(architecture, clip) for clip in clips), Flops())


def _clip_flops(architecture: Architecture, clip: ClipSize) -> Flops:
    channels = architecture.channels
    pairs = clip.tokens * (clip.tokens + 1) // 2
    rows = clip.text_targets * architecture.text_rows + clip.mel_targets * architecture.audio_rows
    return Flops(
        blocks=2 * clip.tokens * architecture.layers * 12 * channels**2,
        attention=2 * pairs * architecture.layers * 2 * channels,
        heads=2 * rows * channels,
        conditioning=_encoder_flops(architecture, clip.prompt_frames) + _perceiver_flops(architecture, clip),
    )


def _encoder_flops(architecture: Architecture, frames: int) -> int:
    channels = architecture.channels
    block = frames * 4 * channels**2 + 2 * frames**2 * channels
    return 2 * (frames * MEL_BANDS * channels + ENCODER_BLOCKS * block)


def _perceiver_flops(architecture: Architecture, clip: ClipSize) -> int:
    channels, context = architecture.channels, LATENTS + clip.prompt_frames
    projections = 2 * LATENTS * channels * PERCEIVER_WIDTH + context * channels * 2 * PERCEIVER_WIDTH
    attention = 2 * LATENTS * context * PERCEIVER_WIDTH
    feed_forward = LATENTS * 3 * channels * architecture.perceiver_hidden
    return 2 * PERCEIVER_LAYERS * (projections + attention + feed_forward)


# Parameters


def count_parameters(architecture: Architecture) -> dict[str, int]:
    """Parameters of each part of coqui's GPT: `blocks`, then those of `freezing.PARTS`."""
    channels, hidden = architecture.channels, architecture.perceiver_hidden
    encoder = (MEL_BANDS + 1) * channels + ENCODER_BLOCKS * (4 * channels**2 + 6 * channels)
    perceiver_layer = 4 * channels * PERCEIVER_WIDTH + (channels + 1) * 2 * hidden + (hidden + 1) * channels
    perceiver = (LATENTS + 1) * channels + PERCEIVER_LAYERS * perceiver_layer
    return {
        BLOCKS: architecture.layers * (12 * channels**2 + 13 * channels),
        "text_embedding": (architecture.text_rows + architecture.text_positions) * channels,
        "audio_embedding": (architecture.audio_rows + architecture.audio_positions) * channels,
        "heads": (architecture.text_rows + architecture.audio_rows) * (channels + 1) + 4 * channels,
        "conditioning": encoder + perceiver,
    }


def count_trainable(architecture: Architecture, plan: FreezingPlan) -> FreezingCounts:
    """What trains and what stays under a freezing plan, as `apply_freezing` counts it on the real module."""
    counts = count_parameters(architecture)
    frozen_blocks = counts[BLOCKS] // architecture.layers * len(plan.frozen_blocks)
    parts = {BLOCKS: ParameterCounts(counts[BLOCKS] - frozen_blocks, frozen_blocks)}
    for part in PARTS:
        trains = bool(getattr(plan, part))
        parts[part] = ParameterCounts(counts[part] * trains, counts[part] * (not trains))
    return FreezingCounts(
        trainable=sum(part.trainable for part in parts.values()),
        frozen=sum(part.frozen for part in parts.values()),
        parts=parts,
    )


# Memory and disk, in bytes


@dataclass(frozen=True)
class ModelMemory:
    """What lies on the device all the time, whatever passes through it. Frozen parts are weights alone.

    Args:
        weights: fp32 master weights.
        gradients: of what trains.
        optimizer: AdamW's two moments of what trains.
        average: the moving average of what trains, when there is one.
    """

    weights: int
    gradients: int
    optimizer: int
    average: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.average


def model_memory(counts: FreezingCounts, *, moving_average: bool) -> ModelMemory:
    trained = FP32 * counts.trainable
    return ModelMemory(
        weights=FP32 * (counts.trainable + counts.frozen),
        gradients=trained,
        optimizer=2 * trained,
        average=trained if moving_average else 0,
    )


@dataclass(frozen=True)
class Activations:
    """What a micro-batch adds while it passes through the device.

    Args:
        casts: bf16 copies of weights, whatever the micro-batch; those of blocks that are recomputed come and go.
        blocks: kept by the transformer blocks for the backward pass, or their inputs alone when they are recomputed.
        conditioning: kept by conditioning encoder and perceiver; nothing when they are frozen.
        heads: kept after the last block, fp32 log-probabilities included.
        working: comes and goes: logits and their gradient at the end of the forward pass, or one block recomputed.
    """

    casts: int
    blocks: int
    conditioning: int
    heads: int
    working: int

    @property
    def kept(self) -> int:
        """What autograd holds at the end of the forward pass."""
        return self.casts + self.blocks + self.conditioning + self.heads

    @property
    def total(self) -> int:
        return self.kept + self.working


def activation_memory(
    architecture: Architecture,
    clips: Iterable[ClipSize],
    plan: FreezingPlan,
    *,
    precision: str,
    recompute: bool,
    dropout: bool,
) -> Activations:
    """Memory of one micro-batch. It grows in proportion to the clips, but for the bf16 copies.

    Args:
        plan: what trains; a frozen layer keeps less, and one without a trained layer before it nothing.
        precision: as in the configuration; only bf16 differs.
        recompute: activation checkpointing of the transformer blocks.
        dropout: whether there are masks to keep.
    """
    clips = list(clips)
    width = BF16 if precision == "bf16" else FP32
    channels = architecture.channels
    tokens = sum(clip.tokens for clip in clips)
    text_rows, audio_rows = (sum(clip.text_targets for clip in clips), sum(clip.mel_targets for clip in clips))
    block_bytes = [
        tokens * channels * _block_bytes(trains, width, dropout) if has_gradient else 0
        for trains, has_gradient in _gradient_path(architecture, plan)
    ]
    inputs = [tokens * channels * FP32 if kept else 0 for kept in block_bytes]
    logits = (FP32 * text_rows * architecture.text_rows, FP32 * audio_rows * architecture.audio_rows)
    block_casts, other_casts = _cast_bytes(architecture, plan) if width == BF16 else (0, 0)
    leaving_the_forward = 2 * max(logits) + (block_casts if recompute else 0)
    return Activations(
        casts=other_casts if recompute else block_casts + other_casts,
        blocks=tokens * channels * dropout + sum(inputs if recompute else block_bytes),
        conditioning=sum(_conditioning_bytes(architecture, clip, width) for clip in clips) if plan.conditioning else 0,
        heads=(text_rows + audio_rows) * channels * (2 * FP32 + width) + sum(logits),
        working=max(leaving_the_forward, max(block_bytes) if recompute else 0),
    )


def _gradient_path(architecture: Architecture, plan: FreezingPlan) -> list[tuple[bool, bool]]:
    """For each block, whether it trains, and whether anything in it or before it does."""
    has_gradient = plan.text_embedding or plan.audio_embedding or plan.conditioning
    path = []
    for block in range(architecture.layers):
        trains = block not in plan.frozen_blocks
        has_gradient = has_gradient or trains
        path.append((trains, has_gradient))
    return path


def _block_bytes(trains: bool, width: int, dropout: bool) -> int:
    """Bytes per token and channel that one block keeps.

    The residual stream before both norms is fp32; then q, k, v and the attention's output, and the hidden layer before
    its activation. A block that trains also keeps the inputs of its four matrix products (in fp32 the attention's
    output twice, for it is a copy out of the padded view).
    """
    residuals, masks = 2 * FP32, 2 * dropout
    needed = residuals + masks + (3 + 1 + 4) * width
    inputs = (1 + 1 + 4) * width + (width if width == FP32 else 0)
    return needed + inputs * trains


def _cast_bytes(architecture: Architecture, plan: FreezingPlan) -> tuple[int, int]:
    """bf16 copies that autocast makes of weights: of the blocks; of the heads and the voice prompt's path."""
    counts = count_parameters(architecture)
    heads = counts["heads"] - 4 * architecture.channels
    return BF16 * counts[BLOCKS], BF16 * (heads + (counts["conditioning"] if plan.conditioning else 0))


def _conditioning_bytes(architecture: Architecture, clip: ClipSize, width: int) -> int:
    """What the voice prompt of one clip keeps, side by side with others.

    Per frame and encoder block: the input of the norm and its deviations from the mean, in fp32; the norm's output; q,
    k, v and the attention's output. Per perceiver layer: for each frame and latent the input, k, v and what every
    latent pays attention to it; for each latent q, the attention's output, and the stages of the feed-forward.
    """
    channels, context = architecture.channels, LATENTS + clip.prompt_frames
    encoder_block = clip.prompt_frames * channels * (2 * FP32 + 5 * width)
    of_context = channels + 2 * PERCEIVER_WIDTH + PERCEIVER_HEADS * LATENTS
    of_latents = 2 * channels + 2 * PERCEIVER_WIDTH + 4 * architecture.perceiver_hidden
    perceiver_layer = (context * of_context + LATENTS * of_latents) * width
    return ENCODER_BLOCKS * encoder_block + PERCEIVER_LAYERS * perceiver_layer


@dataclass(frozen=True)
class CheckpointSizes:
    """Bytes on disk.

    Args:
        full: one checkpoint that can be continued.
        weights: one that can only be evaluated and spoken with.
        run: all that a run keeps at most, and the one that is being written.
    """

    full: int
    weights: int
    run: int


def checkpoint_sizes(
    counts: FreezingCounts, *, keep_last: int, keep_best: int, moving_average: bool
) -> CheckpointSizes:
    """Disk of a run's checkpoints: the last full ones, the weights of the best, and one more while it is written.

    With a moving average a full checkpoint holds what trains twice: its average, and as the training goes on with it.
    """
    trained = FP32 * counts.trainable
    weights = trained + FP32 * counts.frozen
    full = weights + (3 if moving_average else 2) * trained
    return CheckpointSizes(full, weights, run=(keep_last + 1) * full + keep_best * weights)
