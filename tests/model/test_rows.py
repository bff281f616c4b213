"""New text rows in coqui's GPT: what they start from, and how they learn at a rate of their own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from TTS.tts.layers.xtts.gpt import GPT

from xtts_framework.errors import UserError
from xtts_framework.model.rows import extend_text_rows, merged_state_dict, new_row_parameters, split_new_rows

BASE_ROWS, ROWS, WIDTH = 400, 1000, 32
TAGS = [11, 12, 390]
NEW_TAG = BASE_ROWS
TEXT_TENSORS = ("text_embedding.weight", "text_head.weight", "text_head.bias")


def small_gpt(rows: int = BASE_ROWS) -> GPT:
    torch.manual_seed(5)
    gpt = GPT(
        layers=2,
        model_dim=WIDTH,
        heads=2,
        number_text_tokens=rows,
        start_text_token=261,
        num_audio_tokens=66,
        start_audio_token=64,
        stop_audio_token=65,
        use_perceiver_resampler=True,
    )
    with torch.no_grad():  # rows that differ in mean and spread, as trained ones do
        gpt.text_embedding.weight.mul_(torch.linspace(0.1, 2, WIDTH)).add_(torch.linspace(-1, 1, WIDTH))
        gpt.text_head.bias.uniform_(-1, 3)
    return gpt.eval()


def extended_gpt(seed: int = 1) -> GPT:
    gpt = small_gpt()
    extend_text_rows(gpt, ROWS, {NEW_TAG: TAGS}, seed)
    return gpt


def losses(gpt: GPT) -> Tensor:
    """Coqui's own training loss on two clips whose texts use old and new rows."""
    draw = torch.Generator().manual_seed(3)
    text = torch.randint(1, ROWS, (2, 9), generator=draw)
    codes = torch.randint(0, 64, (2, 12), generator=draw)
    mels = torch.randn(2, 1, 80, 40, generator=draw)
    loss_text, loss_mel, _ = gpt(
        text, torch.tensor([9, 7]), codes, torch.tensor([12 * 1024, 10 * 1024]), cond_mels=mels
    )
    return loss_text + loss_mel


def test_old_rows_stay_bit_for_bit() -> None:
    before, after = small_gpt().state_dict(), extended_gpt().state_dict()
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        kept = after[name][:BASE_ROWS] if name in TEXT_TENSORS else after[name]
        assert torch.equal(kept, tensor), name


def test_shapes_are_those_of_a_model_built_with_so_many_rows() -> None:
    gpt, built = extended_gpt(), small_gpt(ROWS)
    assert {name: t.shape for name, t in gpt.state_dict().items()} == {
        n: t.shape for n, t in built.state_dict().items()
    }
    assert (gpt.number_text_tokens, gpt.text_embedding.num_embeddings, gpt.text_head.out_features) == (ROWS,) * 3
    assert losses(gpt).isfinite()


def test_new_embeddings_have_mean_and_spread_of_the_old_per_dimension() -> None:
    weight = extended_gpt().text_embedding.weight.detach()
    old, new = weight[:BASE_ROWS], weight[BASE_ROWS + 1 :]
    standard_error = old.std(0) / len(new) ** 0.5
    assert ((new.mean(0) - old.mean(0)).abs() < 5 * standard_error).all()
    assert torch.allclose(new.std(0), old.std(0), rtol=0.2)
    assert len(new.unique(dim=0)) == len(new)


def test_new_head_rows_are_the_mean_without_noise() -> None:
    head = extended_gpt().text_head
    for tensor in (head.weight, head.bias):
        old, new = tensor[:BASE_ROWS], tensor[BASE_ROWS + 1 :]
        assert torch.allclose(new, old.mean(0).expand_as(new), atol=1e-6)


def test_a_new_tag_is_the_mean_of_the_known_tags() -> None:
    state = extended_gpt().state_dict()
    for name in TEXT_TENSORS:
        assert torch.allclose(state[name][NEW_TAG], state[name][TAGS].mean(0), atol=1e-6), name


def test_rows_depend_on_the_seed_and_on_nothing_else() -> None:
    first = extended_gpt(seed=1)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    second = small_gpt()
    torch.set_rng_state(state)
    extend_text_rows(second, ROWS, {NEW_TAG: TAGS}, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.text_embedding.weight, second.text_embedding.weight)
    assert not torch.equal(first.text_embedding.weight, extended_gpt(seed=2).text_embedding.weight)


def test_frozen_stays_frozen() -> None:
    gpt = small_gpt()
    gpt.text_embedding.requires_grad_(False)
    extend_text_rows(gpt, ROWS, {}, seed=1)
    assert [gpt.get_parameter(name).requires_grad for name in TEXT_TENSORS] == [False, True, True]
    split_new_rows(gpt, BASE_ROWS)
    assert [parameter.requires_grad for parameter in new_row_parameters(gpt)] == [False, True, True]


def test_as_many_rows_change_nothing() -> None:
    gpt = small_gpt()
    extend_text_rows(gpt, BASE_ROWS, {}, seed=1)
    assert all(torch.equal(tensor, gpt.state_dict()[name]) for name, tensor in small_gpt().state_dict().items())


def test_rows_are_never_removed() -> None:
    with pytest.raises(UserError, match=f"{BASE_ROWS} text rows, the vocabulary only 399"):
        extend_text_rows(small_gpt(), BASE_ROWS - 1, {}, seed=1)


@pytest.mark.parametrize("language_rows", [{5: TAGS}, {ROWS: TAGS}, {NEW_TAG: []}, {NEW_TAG: [BASE_ROWS]}])
def test_a_tag_must_be_new_and_have_known_ones(language_rows: dict[int, list[int]]) -> None:
    with pytest.raises(ValueError, match="cannot be the mean"):
        extend_text_rows(small_gpt(), ROWS, language_rows, seed=1)


def test_split_rows_compute_the_same_loss_and_gradients() -> None:
    plain, split = extended_gpt(), extended_gpt()
    split_new_rows(split, BASE_ROWS)
    loss_plain, loss_split = losses(plain), losses(split)
    loss_plain.backward()
    loss_split.backward()
    assert torch.equal(loss_plain, loss_split)
    gradients = dict(split.named_parameters())
    for name, parameter in plain.named_parameters():
        if name in TEXT_TENSORS:
            module, attribute = name.split(".")
            parts = [gradients[f"{module}.parametrizations.{attribute}.original{part}"].grad for part in (0, 1)]
            assert torch.equal(torch.cat(parts), parameter.grad), name
        elif parameter.grad is not None:
            assert torch.equal(gradients[name].grad, parameter.grad), name


def test_new_rows_move_as_many_times_as_far_as_their_rate_says() -> None:
    """Scaled gradients would not do: AdamW's first step is the rate times the gradient's sign."""
    scale, rate = 50.0, 1e-4
    gpt = extended_gpt()
    split_new_rows(gpt, BASE_ROWS)
    new = new_row_parameters(gpt)
    old = [parameter for parameter in gpt.parameters() if all(parameter is not other for other in new)]
    before = copy.deepcopy(merged_state_dict(gpt))
    optimizer = torch.optim.AdamW(
        [{"params": old, "lr": rate}, {"params": new, "lr": rate * scale}], weight_decay=0.0, eps=1e-12
    )
    losses(gpt).backward()
    optimizer.step()
    after = merged_state_dict(gpt)
    for name in TEXT_TENSORS:
        moved = (after[name] - before[name]).abs()
        old_step, new_step = moved[:BASE_ROWS].max(), moved[BASE_ROWS:].max()
        assert old_step == pytest.approx(rate, rel=1e-2), name
        assert new_step == pytest.approx(scale * rate, rel=1e-2), name


def test_merged_state_has_coquis_names_and_shapes_and_loads_strictly() -> None:
    gpt = extended_gpt()
    plain = copy.deepcopy(gpt.state_dict())
    assert merged_state_dict(gpt).keys() == plain.keys()
    split_new_rows(gpt, BASE_ROWS)
    merged = merged_state_dict(gpt)
    assert merged.keys() == plain.keys() == small_gpt(ROWS).state_dict().keys()
    assert all(torch.equal(merged[name], tensor) for name, tensor in plain.items())
    loaded = small_gpt(ROWS)
    loaded.load_state_dict(merged, strict=True)
    assert torch.equal(losses(loaded), losses(gpt))


def test_there_is_something_on_both_sides_of_a_split() -> None:
    for base_rows in (0, ROWS):
        with pytest.raises(ValueError, match="cannot split"):
            split_new_rows(extended_gpt(), base_rows)
    assert new_row_parameters(extended_gpt()) == []
