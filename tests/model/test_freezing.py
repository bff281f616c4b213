from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from small_gpt import build_small_gpt, draw_clips

from xtts_framework.config import FreezingConfig
from xtts_framework.errors import UserError
from xtts_framework.model.forward import pack_clips, packed_losses
from xtts_framework.model.freezing import apply_freezing, resolve_freezing
from xtts_framework.plugins import FreezingPlan, LanguagePack, Plugins, hookimpl, load_plugins

BLOCKS = 3
PACK_PLAN = FreezingPlan(
    (0, 1), text_embedding=True, audio_embedding=False, heads=True, conditioning=False, reason="few"
)
ALL_TRAINS = FreezingPlan((), text_embedding=True, audio_embedding=True, heads=True, conditioning=True, reason="")


class PackWithPlan(LanguagePack):
    code = "xx"
    name = "Example"

    def freezing_plan(self, training_clips: int, blocks: int) -> FreezingPlan:
        return PACK_PLAN


@pytest.fixture
def pack() -> LanguagePack:
    return PackWithPlan(PackWithPlan.Options())


@pytest.fixture
def plugins() -> Plugins:
    return load_plugins()


def without_reason(plan: FreezingPlan) -> FreezingPlan:
    return dataclasses.replace(plan, reason="")


def test_below_the_threshold_the_pack_decides(plugins: Plugins, pack: LanguagePack) -> None:
    assert resolve_freezing(FreezingConfig(), plugins, pack, 2999, BLOCKS) == PACK_PLAN


@pytest.mark.parametrize(
    ("config", "clips", "reason"),
    [
        (FreezingConfig(), 3000, "3000 >= 3000 training clips"),
        (FreezingConfig(threshold=0), 10, "10 >= 0 training clips"),
        (FreezingConfig(policy="none"), 10, "policy none"),
    ],
)
def test_otherwise_everything_trains(
    plugins: Plugins, pack: LanguagePack, config: FreezingConfig, clips: int, reason: str
) -> None:
    assert resolve_freezing(config, plugins, pack, clips, BLOCKS) == dataclasses.replace(ALL_TRAINS, reason=reason)


def test_a_third_party_overrides_the_pack(plugins: Plugins, pack: LanguagePack) -> None:
    class Policy:
        @hookimpl
        def xtts_freezing_plan(self, language: str, training_clips: int, blocks: int) -> FreezingPlan:
            return dataclasses.replace(ALL_TRAINS, frozen_blocks=(blocks - 1,), reason=f"{language} {training_clips}")

    plugins.register(Policy())
    plan = resolve_freezing(FreezingConfig(), plugins, pack, 7, BLOCKS)
    assert plan == dataclasses.replace(ALL_TRAINS, frozen_blocks=(2,), reason="xx 7")


@pytest.mark.parametrize("policy", ["auto", "none"])
def test_what_the_configuration_states_prevails(plugins: Plugins, pack: LanguagePack, policy: str) -> None:
    stated = {"frozen_blocks": [2, 0, 2], "text_embedding": False, "conditioning": True}
    config = FreezingConfig.model_validate({"policy": policy, **stated})
    plan = resolve_freezing(config, plugins, pack, 10, BLOCKS)
    unstated = PACK_PLAN if policy == "auto" else ALL_TRAINS
    assert without_reason(plan) == FreezingPlan(
        (0, 2), text_embedding=False, audio_embedding=unstated.audio_embedding, heads=True, conditioning=True, reason=""
    )
    assert "frozen_blocks, text_embedding, conditioning as configured" in plan.reason


def test_an_empty_list_of_blocks_freezes_none(plugins: Plugins, pack: LanguagePack) -> None:
    assert resolve_freezing(FreezingConfig(frozen_blocks=[]), plugins, pack, 10, BLOCKS).frozen_blocks == ()


@pytest.mark.parametrize("frozen_blocks", [[0, 3], [-1]])
def test_a_block_that_the_base_does_not_have_is_refused(
    plugins: Plugins, pack: LanguagePack, frozen_blocks: list[int]
) -> None:
    with pytest.raises(UserError, match=r"freezing\.frozen_blocks .* the base has 3 blocks, 0 to 2"):
        resolve_freezing(FreezingConfig(frozen_blocks=frozen_blocks), plugins, pack, 10, BLOCKS)
    with pytest.raises(UserError, match=r"language 'xx' names the blocks \[1\]; the base has 1 blocks"):
        resolve_freezing(FreezingConfig(), plugins, pack, 10, 1)


def test_freezing_everything_is_refused(plugins: Plugins, pack: LanguagePack) -> None:
    config = FreezingConfig(
        frozen_blocks=[0, 1, 2], text_embedding=False, audio_embedding=False, heads=False, conditioning=False
    )
    with pytest.raises(UserError, match="Nothing is left to train"):
        resolve_freezing(config, plugins, pack, 10, BLOCKS)


PARTS_ALONE = {
    "first block": FreezingPlan((1, 2), False, False, False, False, ""),
    "text embedding": FreezingPlan((0, 1, 2), True, False, False, False, ""),
    "audio embedding": FreezingPlan((0, 1, 2), False, True, False, False, ""),
    "heads": FreezingPlan((0, 1, 2), False, False, True, False, ""),
    "conditioning": FreezingPlan((0, 1, 2), False, False, False, True, ""),
    "last block": FreezingPlan((0, 1), False, False, False, False, ""),
}


@pytest.mark.parametrize("plan", [PACK_PLAN, ALL_TRAINS, *PARTS_ALONE.values()], ids=["pack", "all", *PARTS_ALONE])
def test_an_update_moves_what_trains_and_nothing_else(plan: FreezingPlan) -> None:
    gpt = build_small_gpt()
    before = {name: parameter.detach().clone() for name, parameter in gpt.named_parameters()}
    counts = apply_freezing(gpt, plan)
    update_once(gpt)
    moved = {name for name, parameter in gpt.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == {name for name in before if expected_to_train(name, plan)}
    assert counts.trainable == sum(before[name].numel() for name in moved)
    assert counts.frozen == sum(tensor.numel() for tensor in before.values()) - counts.trainable


def update_once(gpt: Any) -> None:
    """AdamW over all parameters, without weight decay: only a gradient moves anything."""
    optimizer = torch.optim.AdamW(gpt.parameters(), lr=1e-3, weight_decay=0.0)
    sums = packed_losses(gpt, pack_clips(draw_clips([(6, 20), (9, 12)]), gpt), dropout=0.0)
    (sums.mel_C.sum() + sums.text_C.sum()).backward()
    optimizer.step()


def expected_to_train(name: str, plan: FreezingPlan) -> bool:
    """Written out by hand, as the documentation lists the parts."""
    first, second = name.split(".")[:2]
    if first in ("text_embedding", "text_pos_embedding"):
        return plan.text_embedding
    if first in ("mel_embedding", "mel_pos_embedding"):
        return plan.audio_embedding
    if first in ("text_head", "mel_head", "final_norm") or (first, second) == ("gpt", "ln_f"):
        return plan.heads
    if first in ("conditioning_encoder", "conditioning_perceiver"):
        return plan.conditioning
    assert (first, second) == ("gpt", "h")
    return int(name.split(".")[2]) not in plan.frozen_blocks


def test_a_plan_can_be_lifted_again() -> None:
    gpt = build_small_gpt()
    apply_freezing(gpt, PACK_PLAN)
    counts = apply_freezing(gpt, ALL_TRAINS)
    assert counts.frozen == 0
    assert all(parameter.requires_grad for parameter in gpt.parameters())


def test_a_parameter_of_no_part_is_an_error() -> None:
    gpt = build_small_gpt()
    gpt.prompt_embedding = torch.nn.Embedding(3, 4)
    with pytest.raises(UserError, match=r"'prompt_embedding\.weight' that belongs to no part"):
        apply_freezing(gpt, ALL_TRAINS)
