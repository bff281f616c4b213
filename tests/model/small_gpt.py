"""A small coqui GPT with every weight in play, clips of random tokens, and coqui's own loss for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from xtts_framework.model.base import build_gpt
from xtts_framework.model.forward import Clip

TEXT_ROWS = 300
AUDIO_CODES = 1024
CODE_STRIDE = 1024
ARGS = {
    "gpt_layers": 3,
    "gpt_n_model_channels": 64,
    "gpt_n_heads": 4,
    "gpt_max_text_tokens": 402,
    "gpt_max_audio_tokens": 605,
    "gpt_max_prompt_tokens": 70,
    "gpt_start_text_token": 261,
    "gpt_stop_text_token": 0,
    "gpt_num_audio_tokens": AUDIO_CODES + 2,
    "gpt_start_audio_token": AUDIO_CODES,
    "gpt_stop_audio_token": AUDIO_CODES + 1,
    "gpt_use_perceiver_resampler": True,
    "gpt_code_stride_len": CODE_STRIDE,
}


def build_small_gpt(**changed: int) -> Any:
    """In evaluation mode, so coqui's own forward has no dropout. Biases and the encoder's zero projections get values:
    fresh ones would hide mistakes."""
    torch.manual_seed(0)
    gpt = build_gpt({**ARGS, **changed}, text_rows=TEXT_ROWS)
    with torch.no_grad():
        for name, parameter in gpt.named_parameters():
            if parameter.ndim == 1 or "proj_out" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return gpt.eval()


def draw_clips(
    sizes: Sequence[tuple[int, int]], frames: int | Sequence[int] = 40, loss_masks: dict[int, slice] | None = None
) -> list[Clip]:
    """Clips of random tokens.

    Args:
        sizes: (text ids, codes) of each clip.
        frames: of the voice prompts, the same for all or one number per clip.
        loss_masks: clip index -> its loss mask.
    """
    dice = torch.Generator().manual_seed(1)
    lengths = [frames] * len(sizes) if isinstance(frames, int) else frames
    return [
        Clip(
            clip_id=f"clip-{index}",
            text_ids=torch.randint(1, TEXT_ROWS, (texts,), generator=dice),
            codes=torch.randint(0, AUDIO_CODES, (codes,), generator=dice),
            conditioning_mel=torch.randn(80, lengths[index], generator=dice),
            loss_mask=(loss_masks or {}).get(index),
        )
        for index, (texts, codes) in enumerate(sizes)
    ]


def compute_coqui_losses(gpt: Any, clips: Sequence[Clip]) -> tuple[Tensor, Tensor, Tensor]:
    """(text loss, mel loss, mel logits) of coqui's GPT.forward on a padded batch, as its trainer calls it."""
    pad = torch.nn.utils.rnn.pad_sequence
    text_loss, mel_loss, mel_logits = gpt(
        pad([clip.text_ids for clip in clips], batch_first=True),
        torch.tensor([len(clip.text_ids) for clip in clips]),
        pad([clip.codes for clip in clips], batch_first=True),
        torch.tensor([len(clip.codes) * CODE_STRIDE for clip in clips]),
        cond_mels=torch.stack([clip.conditioning_mel for clip in clips])[:, None],
        cond_idxs=None,
        cond_lens=None,
    )
    return text_loss, mel_loss, mel_logits


def take_gradients(gpt: Any) -> dict[str, Tensor]:
    """Gradients by parameter name; the model's own are cleared."""
    taken = {name: parameter.grad.clone() for name, parameter in gpt.named_parameters()}
    gpt.zero_grad(set_to_none=True)
    return taken


def measure_difference(gradients: dict[str, Tensor], reference: dict[str, Tensor]) -> tuple[float, float]:
    """|dg| / |g| over all parameters together, and the largest over single tensors."""
    assert gradients.keys() == reference.keys()
    differences = torch.stack([(gradients[name] - reference[name]).norm() for name in reference])
    norms = torch.stack([gradient.norm() for gradient in reference.values()])
    return float(differences.norm() / norms.norm()), float((differences / norms).max())
