"""Known mistakes of XTTS trainers, and the tests that would fail if one of them came back."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MISTAKES = {
    "milestones counted in epochs, or a scheduler that is never called": [
        "training/test_schedule.py::test_first_update_at_half_the_rate_starts_at_step_50048",
        "training/test_train.py::test_a_whole_training",
        "training/test_recipe.py::test_every_setting_of_the_recipe_changes_the_weights",
    ],
    "bad clips silently replaced by another; nothing but bad clips recurses for ever": [
        "stages/test_validate.py::test_every_fault_has_its_code_and_a_row_has_all_of_its_codes",
        "stages/test_validate.py::test_a_dataset_without_a_good_row_is_refused_with_its_reasons",
        "training/test_train.py::test_inputs_that_do_not_fit_are_refused_before_the_first_update",
    ],
    "clips drawn with replacement": [
        "training/test_sampling.py::test_every_clip_comes_once_per_epoch_and_updates_span_epochs",
    ],
    "training loss divided by grad_accum, evaluation loss not": [
        "training/test_recipe.py::test_training_and_evaluation_losses_have_one_unit",
    ],
    "NaN at batch size 1, and NaN in the weights": [
        "training/test_recipe.py::test_one_clip_at_a_time_trains_with_finite_losses",
        "training/test_update.py::test_what_is_not_finite_never_reaches_weights_or_optimizer",
    ],
    "freezing, clipping, early stopping and mixed precision that are configured and never wired": [
        "training/test_train.py::test_frozen_parts_stay_and_the_others_move",
        "training/test_update.py::test_clipping_scales_the_gradient_but_not_the_norm_that_is_logged",
        "training/test_train.py::test_early_stopping_stops_and_selects_an_earlier_checkpoint",
        "training/test_recipe.py::test_every_setting_of_the_recipe_changes_the_weights",
    ],
    "another language tag or other cleaners in speaking than in training": [
        "stages/test_next_run.py::test_speaking_gives_the_model_the_ids_it_was_trained_on",
    ],
    "tokens that no merge reaches": [
        "text/test_vocabulary.py::test_every_added_token_is_reached",
    ],
    "weights that match nothing, loaded without a word": [
        "model/test_base.py::test_tensors_that_do_not_fit_are_listed",
        "model/test_inference.py::test_weights_can_be_exchanged_and_only_for_fitting_ones",
    ],
    "resuming that restarts optimizer, schedule or epoch": [
        "faults/test_kills.py::test_a_killed_stage_finishes_when_started_again",
        "training/test_train.py::test_more_steps_continue_and_equal_a_longer_training",
    ],
    "the user's metadata rewritten in place": [
        "stages/test_validate.py::test_the_dataset_is_only_read_and_twice_gives_the_same_bytes",
        "stages/test_encode.py::test_recordings_and_base_are_left_untouched",
    ],
    "segments of one recording in both train and eval": [
        "data/test_splitting.py::test_no_recording_is_on_both_sides",
    ],
    "audio decoded and encoded again in every step": [
        "training/test_recipe.py::test_training_opens_no_recording_and_runs_no_audio_encoder",
    ],
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_known_mistake_has_its_tests(mistake: str) -> None:
    for name in MISTAKES[mistake]:
        file, _, function = name.partition("::")
        tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name
