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
        longest = max(lengths)
        slots = [torch.arange(clip * longest, clip * longest + length) for clip, length in enumerate(lengths)]
        offsets = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
        return cls(tuple(lengths), offsets, torch.cat(slots))

    @property
    def longest(self) -> int:
        return max(self.lengths)

    @property
    def tokens(self) -> int:
        return sum(self.lengths)

    @property
    def is_rectangular(self) -> bool:
        """All clips are equally long, so the packed sequence is its own padded view."""
        return self.tokens == len(self.lengths) * self.longest

    def to(self, device: torch.device | str) -> Segments:
        return Segments(
            self.lengths, self.offsets.to(device, non_blocking=True), self.slots_T.to(device, non_blocking=True)
        )


def causal_attention(q_TNH: Tensor, k_TNH: Tensor, v_TNH: Tensor, segments: Segments) -> Tensor:
    """Attend from every token to the tokens before it in its own clip, and to itself.

    Flash attention over the packed sequence where it exists (CUDA, half precision); elsewhere torch's own attention
    over a padded view, where causality alone hides the padding: it comes after all tokens of its clip.

    Args:
        q_TNH, k_TNH, v_TNH: [T, N, H], same dtype, any strides with contiguous H.
        segments: of the same T tokens, on the same device.
    Returns:
        [T, N, H], the dtype of the inputs. No dropout: flash attention over packed clips has none, and devices agree.
    """
    if q_TNH.is_cuda and q_TNH.dtype in (torch.bfloat16, torch.float16):
        from torch.nn.attention.varlen import varlen_attn

        offsets, longest = segments.offsets, segments.longest
        attended = varlen_attn(q_TNH, k_TNH, v_TNH, offsets, offsets, longest, longest, window_size=(-1, 0))
        assert isinstance(attended, Tensor)
        return attended
    q_CNPH, k_CNPH, v_CNPH = (_pad(packed, segments).transpose(1, 2) for packed in (q_TNH, k_TNH, v_TNH))
    attended_CNPH = F.scaled_dot_product_attention(q_CNPH, k_CNPH, v_CNPH, is_causal=True)
    return _unpad(attended_CNPH.transpose(1, 2), segments)


def _pad(packed_TNH: Tensor, segments: Segments) -> Tensor:
    """[T, N, H] -> [C, P, N, H], zeros after each clip."""
    clips, longest = len(segments.lengths), segments.longest
    if segments.is_rectangular:
        return torch.unflatten(packed_TNH, 0, (clips, longest))
    padded = packed_TNH.new_zeros(clips * longest, *packed_TNH.shape[1:])
    return torch.unflatten(padded.index_copy(0, segments.slots_T, packed_TNH), 0, (clips, longest))


def _unpad(padded_CPNH: Tensor, segments: Segments) -> Tensor:
    """[C, P, N, H] -> [T, N, H]."""
    flat = padded_CPNH.flatten(0, 1)
    return flat if segments.is_rectangular else flat.index_select(0, segments.slots_T)
