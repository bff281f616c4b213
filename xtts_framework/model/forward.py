"""The training forward: clips packed end to end through coqui's GPT weights, without padding.

Each clip is [32 conditioning latents | start, text | start, codes, stop, stop, stop]; every text and audio row has a
target: [text, stop] and [codes, stop, stop, stop, stop]. XTTS adds its positions before the stack and nulls GPT-2's
own, so a clip needs nothing but its own position numbers and the limits of its segment. Losses are sums in nats: what
they are divided by is a matter of the whole update, not of a micro-batch. See docs/packed-forward.md.

Shapes: C clips, T tokens of all clips, R rows of one kind (latents, text, audio) of all clips,
D channels, V tokens of a vocabulary.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from xtts_framework.audio.rates import AUDIO_STOPS
from xtts_framework.errors import UserError
from xtts_framework.model.attention import Segments, causal_attention, send
from xtts_framework.model.conditioning import PaddedMels, encode_voices

CONDITIONING_LATENTS = 32
MEL_BANDS = 80
NO_TARGET = -1


@dataclass(frozen=True)
class Clip:
    """One clip, ready for the model.

    Args:
        clip_id: names the clip in errors.
        text_ids: [T] int64, language tag included, without start and stop.
        codes: [L] int64, audio codes, without start and stop.
        conditioning_mel: [80, F] float, the voice prompt.
        loss_mask: code positions that are left out of the loss; None: all count.
    """

    clip_id: str
    text_ids: Tensor
    codes: Tensor
    conditioning_mel: Tensor
    loss_mask: slice | None = None

    @property
    def tokens(self) -> int:
        """Rows of the packed sequence that the clip takes: what a micro-batch's token budget counts."""
        return CONDITIONING_LATENTS + len(self.text_ids) + 1 + len(self.codes) + AUDIO_STOPS


@dataclass(frozen=True)
class Rows:
    """The text rows, or the audio rows, of all clips.

    Args:
        ids_R: [R] input tokens.
        positions_R: [R] position of each within its clip's text or audio.
        targets_R: [R] the token to predict, NO_TARGET where it is left out of the loss.
        clips_R: [R] which clip of the micro-batch.
        targets: number of targets that count.
    """

    ids_R: Tensor
    positions_R: Tensor
    targets_R: Tensor
    clips_R: Tensor
    targets: int

    def to(self, device: torch.device | str) -> Rows:
        ids, positions, targets, clips = (
            send(part, device) for part in (self.ids_R, self.positions_R, self.targets_R, self.clips_R)
        )
        return Rows(ids, positions, targets, clips, self.targets)


@dataclass(frozen=True)
class MicroBatch:
    """What passes through the device at once. All indices are made on the CPU by `pack_clips`.

    Args:
        clip_ids: in packed order.
        segments: of the packed sequence.
        mels: the voice prompts.
        text, audio: rows of each kind.
        slots_T: [T] where in the packed sequence each of [all latents | all text rows | all audio rows] belongs.
    """

    clip_ids: tuple[str, ...]
    segments: Segments
    mels: PaddedMels
    text: Rows
    audio: Rows
    slots_T: Tensor

    def to(self, device: torch.device | str) -> MicroBatch:
        return MicroBatch(
            self.clip_ids,
            self.segments.to(device),
            self.mels.to(device),
            self.text.to(device),
            self.audio.to(device),
            send(self.slots_T, device),
        )


@dataclass(frozen=True)
class LossSums:
    """Losses of a micro-batch, before any division.

    Args:
        mel_C, text_C: [C] float32 on the device, summed cross entropy of each clip in nats.
        mel_tokens, text_tokens: number of targets behind those sums.
    """

    mel_C: Tensor
    text_C: Tensor
    mel_tokens: int
    text_tokens: int


def pack_clips(clips: Sequence[Clip], gpt: Any) -> MicroBatch:
    """Lay clips end to end. Mels stay on their device, everything else is made on the CPU.

    Args:
        clips: at least one; their text ids and codes are on the CPU.
        gpt: coqui's GPT; only its sizes and its start and stop tokens are read.
    Raises:
        UserError: a token or a length that the model has no row for; names the clip.
        ValueError: no clips.
    """
    segments = Segments.of([clip.tokens for clip in clips])
    _check(clips, gpt)
    text = _rows([clip.text_ids for clip in clips], gpt.start_text_token, gpt.stop_text_token, stops=1)
    audio = _rows([clip.codes for clip in clips], gpt.start_audio_token, gpt.stop_audio_token, stops=AUDIO_STOPS)
    first_C = segments.offsets[:-1].long()
    first_text_C = first_C + CONDITIONING_LATENTS
    first_audio_C = first_text_C + torch.tensor([len(clip.text_ids) + 1 for clip in clips])
    slots = (
        (first_C[:, None] + torch.arange(CONDITIONING_LATENTS)).flatten(),
        first_text_C[text.clips_R] + text.positions_R,
        first_audio_C[audio.clips_R] + audio.positions_R,
    )
    return MicroBatch(
        clip_ids=tuple(clip.clip_id for clip in clips),
        segments=segments,
        mels=PaddedMels.of([clip.conditioning_mel for clip in clips]),
        text=text,
        audio=_without_masked_targets(audio, clips),
        slots_T=torch.cat(slots),
    )


@dataclass(frozen=True)
class Execution:
    """How the forward is computed. The result is the same but for rounding; dropout noise is another when compiled.

    Args:
        recompute: compute each block again in the backward pass: less memory, a third more work.
        compiled: through torch.compile.
    """

    recompute: bool = False
    compiled: bool = False

    def of(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return _compile(function) if self.compiled else function


@functools.cache
def _compile(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """One compilation serves every block and every number of tokens."""
    return torch.compile(function, dynamic=True)


def packed_losses(
    gpt: Any, batch: MicroBatch, *, dropout: float, label_smoothing: float = 0.0, execution: Execution | None = None
) -> LossSums:
    """Loss sums of every clip of a micro-batch, equal to coqui's GPT.forward on the same clips.

    Works in float32 and under `torch.autocast`; norms and losses are float32 in both.

    Args:
        gpt: coqui's GPT on the device of `batch`.
        dropout: probability on the whole input sequence, after the attention projections and after the MLPs; nowhere
            else. Drawn from torch's generator of the device.
        label_smoothing: share of each target that is spread evenly over all tokens.
        execution: None: nothing is recomputed or compiled.
    """
    execution = execution or Execution()
    latents_RD = encode_voices(gpt, batch.mels).flatten(0, 1)
    text_RD = gpt.text_embedding(batch.text.ids_R) + gpt.text_pos_embedding.emb(batch.text.positions_R)
    audio_RD = gpt.mel_embedding(batch.audio.ids_R) + gpt.mel_pos_embedding.emb(batch.audio.positions_R)
    inputs_TD = torch.cat((latents_RD, text_RD, audio_RD))
    x_TD = torch.zeros_like(inputs_TD).index_copy(0, batch.slots_T, inputs_TD)
    x_TD = F.dropout(x_TD, dropout)
    for block in gpt.gpt.h:
        if execution.recompute:
            x_TD = checkpoint(_pass_block, block, x_TD, batch.segments, dropout, execution, use_reentrant=False)
        else:
            x_TD = _pass_block(block, x_TD, batch.segments, dropout, execution)
    predicting_RD = x_TD.index_select(0, batch.slots_T[len(latents_RD) :])
    h_text_RD, h_audio_RD = gpt.final_norm(gpt.gpt.ln_f(predicting_RD)).tensor_split([len(text_RD)])
    cross_entropy = execution.of(_cross_entropy)
    mel_R = cross_entropy(gpt.mel_head, h_audio_RD, batch.audio.targets_R, label_smoothing)
    text_R = cross_entropy(gpt.text_head, h_text_RD, batch.text.targets_R, label_smoothing)
    return LossSums(
        mel_C=_sum_per_clip(mel_R, batch.audio, len(batch.clip_ids)),
        text_C=_sum_per_clip(text_R, batch.text, len(batch.clip_ids)),
        mel_tokens=batch.audio.targets,
        text_tokens=batch.text.targets,
    )


def _pass_block(block: Any, x_TD: Tensor, segments: Segments, dropout: float, execution: Execution) -> Tensor:
    """GPT2Block of transformers, over packed clips. Attention itself is never compiled: it is one kernel already."""
    qkv_TD = execution.of(_before_attention)(block, x_TD)
    q_TNH, k_TNH, v_TNH = torch.unflatten(qkv_TD, 1, (3, block.attn.num_heads, -1)).unbind(1)
    attended_TD = causal_attention(q_TNH, k_TNH, v_TNH, segments).flatten(1)
    return execution.of(_after_attention)(block, x_TD, attended_TD, dropout)


def _before_attention(block: Any, x_TD: Tensor) -> Tensor:
    qkv: Tensor = block.attn.c_attn(block.ln_1(x_TD))
    return qkv


def _after_attention(block: Any, x_TD: Tensor, attended_TD: Tensor, dropout: float) -> Tensor:
    x_TD = x_TD + F.dropout(block.attn.c_proj(attended_TD), dropout)
    hidden = F.gelu(block.mlp.c_fc(block.ln_2(x_TD)), approximate="tanh")
    return x_TD + F.dropout(block.mlp.c_proj(hidden), dropout)


def _cross_entropy(head: Any, h_RD: Tensor, targets_R: Tensor, label_smoothing: float) -> Tensor:
    """[R, D] -> [R] in nats, float32; 0 where there is no target."""
    return F.cross_entropy(
        head(h_RD).float(), targets_R, ignore_index=NO_TARGET, reduction="none", label_smoothing=label_smoothing
    )


def _sum_per_clip(loss_R: Tensor, rows: Rows, clips: int) -> Tensor:
    return loss_R.new_zeros(clips).index_add(0, rows.clips_R, loss_R)


def _rows(sequences: Sequence[Tensor], start: int, stop: int, *, stops: int) -> Rows:
    """Inputs [start, ids, stop * (stops - 1)] and targets [ids, stop * stops] of each clip, one after another."""
    head, stop_ids = torch.tensor([start]), torch.full((stops,), stop)
    lengths = torch.tensor([len(ids) + stops for ids in sequences])
    clips_R = torch.arange(len(sequences)).repeat_interleave(lengths)
    first_C = lengths.cumsum(0) - lengths
    return Rows(
        ids_R=torch.cat([part for ids in sequences for part in (head, ids, stop_ids[1:])]),
        positions_R=torch.arange(len(clips_R)) - first_C[clips_R],
        targets_R=torch.cat([part for ids in sequences for part in (ids, stop_ids)]),
        clips_R=clips_R,
        targets=len(clips_R),
    )


def _without_masked_targets(audio: Rows, clips: Sequence[Clip]) -> Rows:
    """The codes under a clip's `loss_mask` are no targets; its stops always are."""
    masks = {clip: masked.loss_mask for clip, masked in enumerate(clips) if masked.loss_mask is not None}
    if not masks:
        return audio
    targets_R = audio.targets_R.clone()
    for clip, own_targets in enumerate(torch.split(targets_R, [len(clip.codes) + AUDIO_STOPS for clip in clips])):
        if clip in masks:
            own_targets[: len(clips[clip].codes)][masks[clip]] = NO_TARGET
    return replace(audio, targets_R=targets_R, targets=int((targets_R != NO_TARGET).sum()))


def _check(clips: Sequence[Clip], gpt: Any) -> None:
    """Refuse what the model has no embedding row for; the device would only say that an index is out of range.

    The limits are coqui's, which at inference places one more token after the text and one more after the audio.
    """
    text_limit = gpt.text_pos_embedding.seq_len - 3
    code_limit = gpt.mel_pos_embedding.seq_len - AUDIO_STOPS - 1
    texts, codes = {clip.clip_id: clip.text_ids for clip in clips}, {clip.clip_id: clip.codes for clip in clips}
    _check_ids("text ids", texts, limit=text_limit, rows=gpt.text_embedding.num_embeddings)
    _check_ids("audio codes", codes, limit=code_limit, rows=gpt.start_audio_token)
    for clip in clips:
        mel = clip.conditioning_mel
        if mel.ndim != 2 or mel.shape[0] != MEL_BANDS or mel.shape[1] == 0 or not mel.is_floating_point():
            raise UserError(
                f"clip {clip.clip_id}: its voice prompt is a {mel.dtype} of shape {tuple(mel.shape)}; expected floats "
                f"[{MEL_BANDS}, frames] with at least one frame. Encode the dataset again."
            )


def _check_ids(name: str, ids_of_clips: Mapping[str, Tensor], *, limit: int, rows: int) -> None:
    for clip_id, ids in ids_of_clips.items():
        if not 1 <= len(ids) <= limit:
            raise UserError(
                f"clip {clip_id}: {len(ids)} {name}; the model takes 1 to {limit}. Validate the dataset again, so that "
                "the clip is refused with a reason."
            )
    if _are_known(torch.cat(list(ids_of_clips.values())), rows):
        return
    clip_id, ids = next((clip_id, ids) for clip_id, ids in ids_of_clips.items() if not _are_known(ids, rows))
    raise UserError(
        f"clip {clip_id}: {name} from {ids.min()} to {ids.max()}; the model knows 0 to {rows - 1}. The features or the "
        "vocabulary belong to another base: encode and tokenize again."
    )


def _are_known(ids: Tensor, rows: int) -> bool:
    lowest, highest = ids.aminmax()
    return int(lowest) >= 0 and int(highest) < rows
