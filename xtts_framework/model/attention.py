"""Causal attention over clips packed end to end.

Shapes: C clips, T tokens of all clips, N heads, H channels of a head, P tokens of the longest clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Segments:
    """Where each clip of a packed sequence lies; made once per micro-batch, used by every layer.

    Args:
        lengths: tokens of each clip, in packed order.
        offsets: [C + 1] int32, first token of each clip, then T.
        slots_T: [T] int64, row of each token in the padded view [C * P]; padding follows a clip's own tokens.
    """

    lengths: tuple[int, ...]
    offsets: Tensor
    slots_T: Tensor

    @classmethod
    def of(cls, lengths: Sequence[int]) -> Segments:
        """Index the clips of a packed sequence, on the CPU.

        Raises:
            ValueError: no clip, or a clip without tokens.
        """
        if not lengths or min(lengths) < 1:
            raise ValueError(f"expected at least one clip, each of at least one token, found lengths {list(lengths)}")
        offsets = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
        padding_before = torch.arange(len(lengths)) * max(lengths) - offsets[:-1]
        slots_T = torch.arange(sum(lengths)) + padding_before.repeat_interleave(torch.tensor(lengths))
        return cls(tuple(lengths), offsets, slots_T)

    @property
    def longest(self) -> int:
        return max(self.lengths)

    @property
    def tokens(self) -> int:
        return sum(self.lengths)

    def to(self, device: torch.device | str) -> Segments:
        return Segments(self.lengths, send(self.offsets, device), send(self.slots_T, device))


def send(tensor: Tensor, device: torch.device | str) -> Tensor:
    """A tensor on another device, without waiting for it: through page-locked memory where the device is a GPU."""
    if tensor.is_cpu and torch.device(device).type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def causal_attention(q_TNH: Tensor, k_TNH: Tensor, v_TNH: Tensor, segments: Segments) -> Tensor:
    """Attend from every token to itself and to the tokens before it in its own clip.

    There is no dropout: flash attention over packed clips has none, and all devices shall agree.

    Args:
        q_TNH, k_TNH, v_TNH: [T, N, H], same dtype, any strides with contiguous H.
        segments: of the same T tokens, on the same device.
    Returns:
        [T, N, H], the dtype of the inputs.
    """
    if q_TNH.is_cpu:
        return attend_each(q_TNH, k_TNH, v_TNH, segments)
    if q_TNH.is_cuda and q_TNH.dtype in (torch.bfloat16, torch.float16):
        return attend_packed(q_TNH, k_TNH, v_TNH, segments)
    return attend_padded(q_TNH, k_TNH, v_TNH, segments)


def attend_packed(q_TNH: Tensor, k_TNH: Tensor, v_TNH: Tensor, segments: Segments) -> Tensor:
    """Flash attention that knows of segments: no padding. CUDA and half precision only."""
    from torch.nn.attention.varlen import varlen_attn

    offsets, longest = segments.offsets, segments.longest
    attended = varlen_attn(q_TNH, k_TNH, v_TNH, offsets, offsets, longest, longest, window_size=(-1, 0))
    assert isinstance(attended, Tensor)
    return attended


def attend_padded(q_TNH: Tensor, k_TNH: Tensor, v_TNH: Tensor, segments: Segments) -> Tensor:
    """One call over a padded view. Causality alone hides the padding: it comes after all tokens of its clip."""
    q_CNPH, k_CNPH, v_CNPH = (_pad(packed_TNH, segments).transpose(1, 2) for packed_TNH in (q_TNH, k_TNH, v_TNH))
    attended_CNPH = F.scaled_dot_product_attention(q_CNPH, k_CNPH, v_CNPH, is_causal=True)
    return attended_CNPH.transpose(1, 2).flatten(0, 1).index_select(0, segments.slots_T)


def attend_each(q_TNH: Tensor, k_TNH: Tensor, v_TNH: Tensor, segments: Segments) -> Tensor:
    """One call per clip: no padding and no copies. Where a call costs nothing, as on the CPU, this is the fastest."""
    attended = []
    for clip_TNH in zip(*(torch.split(x_TNH, list(segments.lengths)) for x_TNH in (q_TNH, k_TNH, v_TNH)), strict=True):
        q_1NTH, k_1NTH, v_1NTH = (x_TNH.transpose(0, 1)[None] for x_TNH in clip_TNH)
        attended_1NTH = F.scaled_dot_product_attention(q_1NTH, k_1NTH, v_1NTH, is_causal=True)
        attended.append(attended_1NTH[0].transpose(0, 1))
    return torch.cat(attended)


def _pad(packed_TNH: Tensor, segments: Segments) -> Tensor:
    """[T, N, H] -> [C, P, N, H], zeros after each clip."""
    clips, longest = len(segments.lengths), segments.longest
    padded = packed_TNH.new_zeros(clips * longest, *packed_TNH.shape[1:])
    return torch.unflatten(padded.index_copy(0, segments.slots_T, packed_TNH), 0, (clips, longest))
