"""The voice prompt is a pure function of (seed, epoch, clip), lies inside the clip and needs no padding."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xtts_framework.training.corpus import Corpus, Utterance
from xtts_framework.training.examples import Examples
from xtts_framework.training.prompts import codes_under, eval_prompt, training_prompt
from xtts_framework.training.sampling import Sample

FRAMES_PER_SECOND = 22050 / 256


def utterance(name: str, speaker: str = "s", frames: int = 800) -> Utterance:
    return Utterance(
        f"d/{name}", "d", name, "train", speaker, frames / FRAMES_PER_SECOND, (5, 6, 7), frames // 4, frames
    )


def examples(*utterances: Utterance, same_speaker: bool = False, mask_prompt: bool = False) -> Examples:
    return Examples(Corpus(list(utterances), {}), seed=1, same_speaker=same_speaker, mask_prompt=mask_prompt)


@given(st.integers(0, 9), st.integers(0, 9), st.text(max_size=5), st.integers(40, 2500))
def test_prompt_lies_inside_the_clip_and_lasts_3_to_6_s_or_half_of_it(
    seed: int, epoch: int, name: str, frames: int
) -> None:
    prompt = training_prompt(seed, epoch, name, frames)
    length = prompt.stop - prompt.start
    assert 0 <= prompt.start < prompt.stop <= frames
    assert 2.99 <= length / FRAMES_PER_SECOND <= 6 or length == frames // 2
    assert prompt == training_prompt(seed, epoch, name, frames)


def test_prompts_differ_between_epochs_clips_and_seeds() -> None:
    prompts = {
        (prompt.start, prompt.stop)
        for seed in range(3)
        for epoch in range(3)
        for name in "abc"
        for prompt in [training_prompt(seed, epoch, name, 2000)]
    }
    assert len(prompts) > 20


def test_evaluation_prompt_is_the_first_4_5_s_or_half() -> None:
    assert eval_prompt(800) == slice(0, 387)
    assert eval_prompt(300) == slice(0, 150)


def test_masked_codes_are_those_under_the_prompt() -> None:
    assert codes_under(slice(0, 400)) == slice(0, 100)
    assert codes_under(slice(5, 401)) == slice(1, 101)
    example = examples(utterance("a"), mask_prompt=True).for_training(Sample("d/a", 0))
    assert example.masked_codes == codes_under(example.prompt_frames)
    assert example.mel_targets == 204 - (example.masked_codes.stop - example.masked_codes.start)
    assert examples(utterance("a"), mask_prompt=True).for_evaluation(utterance("a")).masked_codes is None


def test_another_clip_of_the_speaker_is_the_prompt_where_there_is_one() -> None:
    clips = [utterance("a"), utterance("b"), utterance("c"), utterance("alone", "other")]
    maker = examples(*clips, same_speaker=True, mask_prompt=True)
    prompts = {maker.for_training(Sample("d/a", epoch)).prompt.clip_id for epoch in range(30)}
    assert prompts == {"b", "c"}
    assert maker.for_training(Sample("d/a", 0)).masked_codes is None
    assert maker.for_training(Sample("d/alone", 0)).prompt.clip_id == "alone"
