"""The training forward: clips packed end to end through coqui's GPT weights, without padding.

Each clip is [32 conditioning latents | start, text | start, codes, stop, stop, stop]; every text and audio row has a
target: [text, stop] and [codes, stop, stop, stop, stop]. XTTS adds its positions before the stack and nulls GPT-2's
own, so a clip needs nothing but its own position numbers and the limits of its segment. Losses are sums in nats: what
they are divided by is a matter of the whole update, not of a micro-batch. See docs/packed-forward.md.

Shapes: C clips, T tokens of all clips, R rows of one kind (latents, text, audio) of all clips,
D channels, V tokens of a vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from xtts_framework.audio.codes import AUDIO_STOPS
from xtts_framework.errors import UserError
from xtts_framework.model.attention import Segments, causal_attention
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
            part.to(device, non_blocking=True) for part in (self.ids_R, self.positions_R, self.targets_R, self.clips_R)
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
            self.slots_T.to(device, non_blocking=True),
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
    """Lay clips end to end, on the CPU.

    Args:
        clips: at least one; their tensors are on the CPU.
        gpt: coqui's GPT; only its sizes and its start and stop tokens are read.
    Raises:
        UserError: a token or a length that the model has no row for; names the clip.
        ValueError: no clips.
    """
    for clip in clips:
        _check(clip, gpt)
    text = [
        _rows(index, clip.text_ids, None, start=gpt.start_text_token, stop=gpt.stop_text_token, stops=1)
        for index, clip in enumerate(clips)
    ]
    audio = [
        _rows(index, clip.codes, clip.loss_mask, gpt.start_audio_token, gpt.stop_audio_token, stops=AUDIO_STOPS)
        for index, clip in enumerate(clips)
    ]
    segments = Segments.of([clip.tokens for clip in clips])
    return MicroBatch(
        clip_ids=tuple(clip.clip_id for clip in clips),
        segments=segments,
        mels=PaddedMels.of([clip.conditioning_mel for clip in clips]),
        text=_join(text),
        audio=_join(audio),
        slots_T=_slots(segments, [len(rows.ids_R) for rows in text]),
    )


def packed_losses(gpt: Any, batch: MicroBatch, *, dropout: float, checkpoint_blocks: bool = False) -> LossSums:
    """Loss sums of every clip of a micro-batch, equal to coqui's GPT.forward on the same clips.

    Works in float32 and under `torch.autocast`; norms and losses are float32 in both.

    Args:
        gpt: coqui's GPT on the device of `batch`.
        dropout: probability on the whole input sequence, after the attention projections and after the MLPs; nowhere
            else. Drawn from torch's generator of the device.
        checkpoint_blocks: recompute each block in the backward pass: less memory, a third more work, same result.
    """
    latents_RD = encode_voices(gpt, batch.mels).flatten(0, 1)
    text_RD = gpt.text_embedding(batch.text.ids_R) + gpt.text_pos_embedding.emb(batch.text.positions_R)
    audio_RD = gpt.mel_embedding(batch.audio.ids_R) + gpt.mel_pos_embedding.emb(batch.audio.positions_R)
    inputs_TD = torch.cat((latents_RD, text_RD, audio_RD))
    x_TD = torch.zeros_like(inputs_TD).index_copy(0, batch.slots_T, inputs_TD)
    x_TD = F.dropout(x_TD, dropout)
    for block in gpt.gpt.h:
        if checkpoint_blocks:
            x_TD = checkpoint(_pass_block, block, x_TD, batch.segments, dropout, use_reentrant=False)
        else:
            x_TD = _pass_block(block, x_TD, batch.segments, dropout)
    predicting_RD = x_TD.index_select(0, batch.slots_T[len(latents_RD) :])
    h_text_RD, h_audio_RD = gpt.final_norm(gpt.gpt.ln_f(predicting_RD)).tensor_split([len(text_RD)])
    return LossSums(
        mel_C=_loss_per_clip(gpt.mel_head(h_audio_RD), batch.audio, len(batch.clip_ids)),
        text_C=_loss_per_clip(gpt.text_head(h_text_RD), batch.text, len(batch.clip_ids)),
        mel_tokens=batch.audio.targets,
        text_tokens=batch.text.targets,
    )


def _pass_block(block: Any, x_TD: Tensor, segments: Segments, dropout: float) -> Tensor:
    """GPT2Block of transformers, over packed clips."""
    attention, mlp = block.attn, block.mlp
    q_TNH, k_TNH, v_TNH = attention.c_attn(block.ln_1(x_TD)).unflatten(1, (3, attention.num_heads, -1)).unbind(1)
    attended_TD = causal_attention(q_TNH, k_TNH, v_TNH, segments).flatten(1)
    x_TD = x_TD + F.dropout(attention.c_proj(attended_TD), dropout)
    hidden = F.gelu(mlp.c_fc(block.ln_2(x_TD)), approximate="tanh")
    return x_TD + F.dropout(mlp.c_proj(hidden), dropout)


def _loss_per_clip(logits_RV: Tensor, rows: Rows, clips: int) -> Tensor:
    """[R, V] logits -> [C] summed cross entropy in float32."""
    loss_R = F.cross_entropy(logits_RV.float(), rows.targets_R, ignore_index=NO_TARGET, reduction="none")
    return loss_R.new_zeros(clips).index_add(0, rows.clips_R, loss_R)


def _rows(clip: int, ids: Tensor, loss_mask: slice | None, start: int, stop: int, stops: int) -> Rows:
    """Inputs [start, ids, stop * (stops - 1)] and targets [ids, stop * stops] of one clip."""
    ids_R = F.pad(F.pad(ids.long(), (1, 0), value=start), (0, stops - 1), value=stop)
    targets_R = F.pad(ids.long(), (0, stops), value=stop)
    if loss_mask is not None:
        targets_R[: len(ids)][loss_mask] = NO_TARGET
    return Rows(
        ids_R=ids_R,
        positions_R=torch.arange(len(ids_R)),
        targets_R=targets_R,
        clips_R=torch.full((len(ids_R),), clip),
        targets=int((targets_R != NO_TARGET).sum()),
    )


def _join(rows: Sequence[Rows]) -> Rows:
    return Rows(
        ids_R=torch.cat([one.ids_R for one in rows]),
        positions_R=torch.cat([one.positions_R for one in rows]),
        targets_R=torch.cat([one.targets_R for one in rows]),
        clips_R=torch.cat([one.clips_R for one in rows]),
        targets=sum(one.targets for one in rows),
    )


def _slots(segments: Segments, text_rows: Sequence[int]) -> Tensor:
    """[T] place in the packed sequence of [all latents | all text rows | all audio rows]."""
    latents, text, audio = [], [], []
    for slots, text_length in zip(
        torch.split(torch.arange(segments.tokens), list(segments.lengths)), text_rows, strict=True
    ):
        latent_slots, text_slots, audio_slots = slots.tensor_split(
            [CONDITIONING_LATENTS, CONDITIONING_LATENTS + text_length]
        )
        latents.append(latent_slots)
        text.append(text_slots)
        audio.append(audio_slots)
    return torch.cat(latents + text + audio)


def _check(clip: Clip, gpt: Any) -> None:
    """Refuse what the model has no embedding row for; the device would only say that an index is out of range.

    The limits are coqui's, which at inference places one more token after the text and one more after the audio.
    """
    text_limit = gpt.text_pos_embedding.seq_len - 3
    code_limit = gpt.mel_pos_embedding.seq_len - AUDIO_STOPS - 1
    _check_ids(clip.clip_id, "text ids", clip.text_ids, limit=text_limit, rows=gpt.text_embedding.num_embeddings)
    _check_ids(clip.clip_id, "audio codes", clip.codes, limit=code_limit, rows=gpt.start_audio_token)
    mel = clip.conditioning_mel
    if mel.ndim != 2 or mel.shape[0] != MEL_BANDS or mel.shape[1] == 0 or not mel.is_floating_point():
        raise UserError(
            f"clip {clip.clip_id}: its voice prompt is a {mel.dtype} of shape {tuple(mel.shape)}; expected floats "
            f"[{MEL_BANDS}, frames] with at least one frame. Encode the dataset again."
        )


def _check_ids(clip_id: str, name: str, ids: Tensor, *, limit: int, rows: int) -> None:
    if not 1 <= len(ids) <= limit:
        raise UserError(
            f"clip {clip_id}: {len(ids)} {name}; the model takes 1 to {limit}. Validate the dataset again, so that "
            "the clip is refused with a reason."
        )
    lowest, highest = (int(bound) for bound in ids.aminmax())
    if lowest < 0 or highest >= rows:
        raise UserError(
            f"clip {clip_id}: {name} from {lowest} to {highest}; the model knows 0 to {rows - 1}. The features or the "
            "vocabulary belong to another base: encode and tokenize again."
        )
