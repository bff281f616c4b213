"""Vocabulary surgery: rows for new text tokens in coqui's GPT, and a learning rate of their own for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from xtts_framework.errors import UserError

if TYPE_CHECKING:
    from TTS.tts.layers.xtts.gpt import GPT

SPLIT_TENSORS = ("text_embedding.weight", "text_head.weight", "text_head.bias")
"""The tensors of coqui's GPT that have one row per text token."""


@torch.no_grad()
def extend_text_rows(gpt: GPT, rows: int, language_rows: Mapping[int, Sequence[int]], seed: int) -> None:
    """Give text embedding and text head more rows, in place. Old rows stay bit for bit as they are.

    A new embedding row is drawn from a normal distribution with the mean and, per dimension, the variance of the old
    rows; a new head row is their mean, without noise, and so is its bias. A new language tag is the mean of the known
    tags. The draw depends on `seed` alone, not on torch's global generator or on the device.

    Args:
        rows: number of rows afterwards; the highest text id plus one.
        language_rows: id of each new language tag -> ids of the tags that the base knows.
        seed: of the draw.
    Raises:
        UserError: fewer rows than there are.
        ValueError: `language_rows` names a new row that is not new, or no old rows.
    """
    old = gpt.text_embedding.num_embeddings
    if rows < old:
        raise UserError(
            f"The base model has {old} text rows, the vocabulary only {rows}; rows are never removed.\n"
            "  The vocabulary was made from another base: run `xtts tokenize` with this one."
        )
    for new, known in language_rows.items():
        if not (old <= new < rows and known and all(0 <= row < old for row in known)):
            raise ValueError(f"row {new} cannot be the mean of rows {list(known)}: {old} old rows, {rows} in all")

    generator = torch.Generator().manual_seed(seed)
    embedding, head, bias = (gpt.get_parameter(name) for name in SPLIT_TENSORS)
    noise = torch.randn(rows - old, embedding.shape[1], generator=generator, dtype=torch.float64).to(embedding.device)
    known_rows = embedding.double()
    drawn = known_rows.mean(0) + noise * known_rows.std(0, correction=0)
    added = {
        "text_embedding.weight": drawn,
        "text_head.weight": head.double().mean(0).expand(rows - old, -1).clone(),
        "text_head.bias": bias.double().mean(0).expand(rows - old).clone(),
    }
    for name, tail in added.items():
        tensor = gpt.get_parameter(name)
        for new, known in language_rows.items():
            tail[new - old] = tensor[list(known)].double().mean(0)
        module, _, attribute = name.partition(".")
        extended = torch.cat([tensor, tail.to(tensor.dtype)])
        setattr(gpt.get_submodule(module), attribute, nn.Parameter(extended, requires_grad=tensor.requires_grad))
    gpt.text_embedding.num_embeddings = gpt.text_head.out_features = gpt.number_text_tokens = rows


class _JoinedRows(nn.Module):
    """A tensor kept as two parameters, its first rows and the rest, and joined wherever it is used."""

    def __init__(self, first_rows: int) -> None:
        super().__init__()
        self.first_rows = first_rows

    def forward(self, first: Tensor, rest: Tensor) -> Tensor:
        return torch.cat([first, rest])

    def right_inverse(self, joined: Tensor) -> tuple[Tensor, Tensor]:
        return joined[: self.first_rows].clone(), joined[self.first_rows :].clone()


def split_new_rows(gpt: GPT, base_rows: int) -> None:
    """Keep the rows from `base_rows` on as parameters of their own, in place; the forward computes the same.

    For `new_token_lr_scale`: AdamW's step hardly depends on the size of a gradient, so only an optimizer group of
    its own lets new rows move faster.

    Raises:
        ValueError: `base_rows` leaves no old or no new rows.
    """
    rows = gpt.text_embedding.num_embeddings
    if not 0 < base_rows < rows:
        raise ValueError(f"cannot split {rows} rows at {base_rows}")
    for name in SPLIT_TENSORS:
        module, _, attribute = name.partition(".")
        parametrize.register_parametrization(gpt.get_submodule(module), attribute, _JoinedRows(base_rows))


def new_row_parameters(gpt: GPT) -> list[nn.Parameter]:
    """The new rows of text embedding, text head and its bias, after `split_new_rows`; before, none."""
    return [parameter for name, parameter in gpt.named_parameters() if name.endswith(".original1")]


def merged_state_dict(gpt: GPT) -> dict[str, Tensor]:
    """The GPT's state under coqui's names and shapes, whether its rows are split or not."""
    state: dict[str, Tensor] = gpt.state_dict()
    for name in SPLIT_TENSORS:
        module, _, attribute = name.partition(".")
        part = f"{module}.parametrizations.{attribute}.original"
        if f"{part}0" in state:
            state[name] = torch.cat([state.pop(f"{part}0"), state.pop(f"{part}1")])
    return state
