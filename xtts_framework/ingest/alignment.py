"""Which sentence is spoken where: a transcript against the segments of speech of its recording, in order.

All ways to lay the sentences over the segments are weighed at once (forward-backward). A sentence covers a run of
segments; two or three may share one when nobody paused between them; segments may be skipped (a cough, an
introduction) and sentences too. What speaks for a way:

- a run lasts as long as its text: the logarithm of the ratio is normal, with the recording's own speed and spread;
- pauses between sentences are longer than within them, as far as they are in this recording;
- otherwise a sentence is an impostor: something else is said there, of any length. How often that is so is estimated
  from the neighbourhood, so that a sentence that fits by chance in a transcript that does not is not believed.

The confidence of a sentence is the probability that it is said in exactly this run. Speed, spread, pauses and
impostors are estimated by expectation-maximisation. Array names carry their shape: J sentences, N segments, R runs.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import lfilter  # type: ignore[import-untyped]

Floats = npt.NDArray[np.float64]
Segments = npt.NDArray[np.float64]

MAX_RUN = 16
"""Segments that a sentence may consist of."""
MAX_SPAN_S = 30.0
MAX_SHARED = 3
"""Sentences without a pause between them."""
MAX_SHARED_SPAN_S = 11.0
MAX_CELLS = 60_000_000
"""Sentences times segments: a table of so many numbers is held in memory, half a gigabyte."""

SKIPPED_SENTENCE = 0.01
FIRST_SKIPPED_SEGMENT = 0.02
NEXT_SKIPPED_SEGMENT = 0.6
SHARED = 0.03
"""Prior weights of what is unusual, each relative to a sentence that is read as it stands."""
IMPOSTORS = 0.05
NEIGHBOURHOOD = 6
"""Sentences to either side from which the share of impostors is estimated, beside `IMPOSTORS` counted as four."""
PRIOR_COUNT = 4.0

SPREADS = (0.07, 0.25)
"""Least and greatest spread of the logarithm of a sentence's duration around what its length lets expect."""
FIRST_SPEEDS = (0.6, 0.8, 1.0, 1.25, 1.6, 2.2)
"""Speeds to begin with, relative to the whole text in the whole speech."""
ROUNDS = 4
DECOY_ROUNDS = 2
MAX_BY_CHANCE = 0.8
"""A wrong transcript may fit this well by chance; where sentences are few or alike, it would seem to fit always."""
STEP = 0.01
HALF_TABLE = 125
"""Weights are looked up by the logarithm of a ratio, in steps of `STEP` up to e**1.25; beyond there are none."""
RATIOS: Floats = np.arange(-HALF_TABLE, HALF_TABLE + 1, dtype=np.float64) * STEP
WORTH_A_LOOK = 0.01
NEGLIGIBLE = 1e-80
"""Weight, relative to the greatest of a row, of a node that no way is followed through: 360 skipped segments off."""


@dataclass(frozen=True)
class Placement:
    """Sentences that are spoken in a run of segments.

    Args:
        sentence: index of the first.
        sentences: how many share the run.
        segment: index of the first.
        segments: how many the run has.
        confidence: probability that exactly these are spoken exactly there, 0 to 1.
    """

    sentence: int
    sentences: int
    segment: int
    segments: int
    confidence: float


@dataclass(frozen=True)
class _Model:
    """What is estimated from a recording.

    Args:
        log_speed: characters per second of speech, logarithm.
        spread: of the logarithm of durations.
        pauses_within, pauses_between: mean and spread of the logarithm of pauses in seconds.
        share_between: of all pauses, those between sentences.
        impostors_J: prior probability for each sentence.
    """

    log_speed: float
    spread: float
    pauses_within: tuple[float, float]
    pauses_between: tuple[float, float]
    share_between: float
    impostors_J: Floats


@dataclass(frozen=True)
class _Found:
    """Runs in which some sentences may be said: first segment, number of segments, probability, log ratio of each."""

    sentence: int
    shared: int
    starts: npt.NDArray[np.intp]
    runs: npt.NDArray[np.intp]
    weights: Floats
    ratios: Floats


@dataclass
class _Evidence:
    """Sums over all ways, each with its probability: of placements, their log ratios, and the squares of these."""

    weight: float = 0.0
    ratio: float = 0.0
    squared_ratio: float = 0.0


def count_characters(text: str) -> float:
    """How much there is to say: letters, and digits for what their words have."""
    return float(sum(1.0 if letter.isalpha() else 3.0 for letter in text if letter.isalnum()))


def align_sentences(characters: Sequence[float], segments: Segments) -> tuple[list[Placement], Floats]:
    """Place sentences, and say how certain that is.

    Args:
        characters: of each sentence, in order; at least 1.
        segments: [segments, 2] start and end, seconds.

    Returns:
        placements that exclude each other nowhere, in order, also of little confidence; and for each sentence the
        greatest confidence of any placement.

    Raises:
        ValueError: more than `MAX_CELLS` sentences times segments.
    """
    lengths_J = np.asarray(characters, np.float64)
    if not len(lengths_J) or not len(segments):
        return [], np.zeros(len(lengths_J))
    if len(lengths_J) * len(segments) > MAX_CELLS:
        raise ValueError(f"{len(lengths_J)} sentences and {len(segments)} segments are too many to align at once")
    lattice = _Lattice(lengths_J, segments)
    model = max((lattice.begin(speed) for speed in FIRST_SPEEDS), key=lattice.weigh)
    for _ in range(ROUNDS):
        model = lattice.improve(model)
    model = _doubt(model, lattice, segments)
    found = list(lattice.place(model))
    return _choose(found), _greatest(found, len(lengths_J))


def _doubt(model: _Model, lattice: _Lattice, segments: Segments) -> _Model:
    """Estimate impostors anew, knowing how well a transcript fits that is wrong for certain.

    Such are the same sentences in another order. Where a neighbourhood fits no better, all of it are impostors.
    """
    lengths_J = lattice.lengths_J
    count = len(lengths_J)
    by_chance = []
    for wrong_J in (lengths_J[::-1], np.roll(lengths_J, count // 2)):
        decoy = _Lattice(wrong_J, segments)
        guess = replace(model, impostors_J=np.full(count, IMPOSTORS))
        for _ in range(DECOY_ROUNDS):
            guess = decoy.improve(guess)
        by_chance.append(_greatest(decoy.place(guess), count).mean())
    doubt_J = (1 - _greatest(lattice.place(model), count)) / (1 - min(MAX_BY_CHANCE, float(np.mean(by_chance))))
    return replace(model, impostors_J=_share_around(np.minimum(doubt_J, 1.0)))


def _greatest(found: Iterable[Placement], count: int) -> Floats:
    """For each sentence the greatest confidence of a placement."""
    greatest_J = np.zeros(count)
    for placement in found:
        of = slice(placement.sentence, placement.sentence + placement.sentences)
        greatest_J[of] = np.maximum(greatest_J[of], placement.confidence)
    return greatest_J


def _choose(found: list[Placement]) -> list[Placement]:
    """Placements that exclude each other nowhere: the most certain first, then what still fits between."""
    chosen: list[Placement] = []
    for placement in sorted(found, key=lambda each: (-each.confidence, each.sentence, each.segment)):
        place = bisect(chosen, placement.sentence, key=lambda each: each.sentence)
        after = chosen[place] if place < len(chosen) else None
        if (place == 0 or _precedes(chosen[place - 1], placement)) and (not after or _precedes(placement, after)):
            chosen.insert(place, placement)
    return chosen


def _precedes(first: Placement, second: Placement) -> bool:
    return first.sentence + first.sentences <= second.sentence and first.segment + first.segments <= second.segment


class _Lattice:
    """All ways: node (j, n) is where j sentences and n segments have been dealt with."""

    def __init__(self, lengths_J: Floats, segments: Segments) -> None:
        self.lengths_J = lengths_J
        count = len(segments)
        runs = min(MAX_RUN, count)
        starts, ends = segments[:, 0], segments[:, 1]
        speech = np.concatenate([[0.0], np.cumsum(ends - starts)])
        self._log_pauses = np.log(np.maximum(starts[1:] - ends[:-1], 0.01))
        self._speech_s = speech[-1]
        shape = (runs, count + 1)
        self._steps_RN = np.zeros(shape, np.int32)
        self._span_RN = np.full(shape, np.inf)
        for run in range(1, runs + 1):
            of = (run - 1, slice(0, count + 1 - run))
            self._steps_RN[of] = np.rint(np.log(speech[run:] - speech[:-run]) / STEP)
            self._span_RN[of] = ends[run - 1 :] - starts[: count + 1 - run]
        self._least_steps_R = [int(self._steps_RN[run - 1, : count + 1 - run].min()) for run in range(1, runs + 1)]
        # How varied texts and runs are: an impostor's duration is off by both.
        self._impostor_spread = float(np.clip(np.sqrt(2) * np.std(np.log(lengths_J)), 0.35, 0.8))
        self._totals_KJ = [
            np.convolve(lengths_J, np.ones(shared), "valid") for shared in range(1, min(MAX_SHARED, len(lengths_J)) + 1)
        ]

    def begin(self, relative_speed: float) -> _Model:
        """A model to begin with."""
        speed = relative_speed * self.lengths_J.sum() / self._speech_s
        sentences, pauses = len(self.lengths_J), len(self._log_pauses)
        share = min(0.95, sentences / (pauses + 1)) if pauses else 0.5
        between = np.sort(self._log_pauses)[-max(1, min(sentences - 1, pauses)) :] if pauses else np.log([0.6])
        middle = float(np.median(between))
        impostors_J = np.full(sentences, IMPOSTORS)
        return _Model(
            float(np.log(speed)), 0.2, (min(np.log(0.2), middle - 0.7), 0.5), (middle, 0.5), share, impostors_J
        )

    def weigh(self, model: _Model) -> float:
        """Logarithm of the total weight of all ways."""
        forward_JN, scales_J = self._forward(model, self._weigh_runs(model))
        last = forward_JN[-1, -1]
        return float(scales_J[-1] + np.log(last)) if last > 0 else -np.inf

    def improve(self, model: _Model) -> _Model:
        """One round of expectation-maximisation."""
        evidence = _Evidence()
        right_J = np.zeros(len(self.lengths_J))
        between_N = np.zeros(len(self._log_pauses) + 2)
        for found in self._weigh_placements(model):
            evidence.weight += float(found.weights.sum())
            evidence.ratio += float(found.weights @ found.ratios)
            evidence.squared_ratio += float(found.weights @ found.ratios**2)
            right_J[found.sentence : found.sentence + found.shared] += found.weights.sum()
            np.add.at(between_N, found.starts + found.runs, found.weights)
        return self._estimate(model, evidence, np.clip(right_J, 0, 1), np.clip(between_N[1:-1], 0, 1))

    def place(self, model: _Model) -> Iterator[Placement]:
        """Every placement that is worth a look."""
        for found in self._weigh_placements(model):
            for start, run, weight in zip(found.starts, found.runs, found.weights, strict=True):
                if weight > WORTH_A_LOOK:
                    yield Placement(found.sentence, found.shared, int(start), int(run), min(1.0, float(weight)))

    def _estimate(self, model: _Model, evidence: _Evidence, right_J: Floats, between_N: Floats) -> _Model:
        mean = evidence.ratio / (evidence.weight + 1)
        # As if three sentences of the usual spread had been seen before.
        variance = (evidence.squared_ratio - evidence.weight * mean**2 + 3 * 0.12**2) / (evidence.weight + 3)
        return replace(
            model,
            log_speed=model.log_speed - mean,
            spread=float(np.clip(np.sqrt(max(variance, 0)), *SPREADS)),
            pauses_within=_estimate_pauses(self._log_pauses, 1 - between_N, model.pauses_within),
            pauses_between=_estimate_pauses(self._log_pauses, between_N, model.pauses_between),
            share_between=float(np.clip((between_N.sum() + 1) / (len(between_N) + 2), 0.05, 0.95)),
            impostors_J=_share_around(1 - right_J),
        )

    def _weigh_placements(self, model: _Model) -> Iterator[_Found]:
        """The runs of each sentence, and of each few that may share one, with their probabilities."""
        base_RN = self._weigh_runs(model)
        forward_JN, scales_J = self._forward(model, base_RN)
        nodes, sentences = base_RN.shape[1], len(self.lengths_J)
        if forward_JN[-1, -1] <= 0:
            return
        total = scales_J[-1] + np.log(forward_JN[-1, -1])
        # Weight of all ways from the nodes of the next sentences to the end, nearest first, and its scale.
        rest: list[tuple[Floats, float]] = [(_skip_back(_at(nodes - 1, nodes)), 0.0)]
        for sentence in range(sentences - 1, -1, -1):
            row_N = forward_JN[sentence]
            active = _active(row_N)
            scale = max(each for _, each in rest)
            factor = np.exp(min(scales_J[sentence] + scale - total, 700.0))
            entering_N = SKIPPED_SENTENCE * rest[0][0] * np.exp(rest[0][1] - scale)
            for shared, (rest_N, rest_scale) in enumerate(rest, 1):
                weighed = self._look_up(model, sentence, shared, base_RN, active)
                if weighed is None:
                    continue
                both_RN, right_share, places_RN = weighed
                runs = len(both_RN)
                ahead_N = np.pad(rest_N[active.start + 1 :], (0, runs))[: active.stop - active.start + runs - 1]
                both_RN *= sliding_window_view(ahead_N, active.stop - active.start) * np.exp(rest_scale - scale)
                entering_N[active] += both_RN.sum(axis=0)
                both_RN *= row_N[active] * factor
                run, start = np.nonzero(both_RN > 1e-6)
                places = places_RN[run, start]
                weights = both_RN[run, start] * right_share[places]
                yield _Found(sentence, shared, start + active.start, run + 1, weights, RATIOS[places])
            leaving_N = _skip_back(entering_N)
            peak = leaving_N.max()
            if peak <= 0:
                return
            rest = [(leaving_N / peak, scale + np.log(peak)), *rest][:MAX_SHARED]

    def _forward(self, model: _Model, base_RN: Floats) -> tuple[Floats, Floats]:
        """Weight of all ways to each node, each row scaled to a maximum of 1; and the logarithms of the scales."""
        sentences, nodes = len(self.lengths_J), base_RN.shape[1]
        forward_JN = np.zeros((sentences + 1, nodes))
        scales_J = np.zeros(sentences + 1)
        arriving = [_at(0, nodes), *(np.zeros(nodes) for _ in range(MAX_SHARED))]
        for sentence in range(sentences + 1):
            row_N = _skip(arriving[0])
            peak = row_N.max()
            if peak <= 0:
                break
            row_N /= peak
            row_N[row_N < NEGLIGIBLE] = 0.0
            forward_JN[sentence] = row_N
            scales_J[sentence] = scales_J[max(0, sentence - 1)] + np.log(peak)
            arriving = [*(each / peak for each in arriving[1:]), np.zeros(nodes)]
            arriving[0] += SKIPPED_SENTENCE * row_N
            active = _active(row_N)
            for shared in range(1, min(MAX_SHARED, sentences - sentence) + 1):
                weighed = self._look_up(model, sentence, shared, base_RN, active)
                if weighed is not None:
                    for run, weight_N in enumerate(weighed[0] * row_N[active], active.start + 1):
                        arriving[shared - 1][run : run + len(weight_N)] += weight_N[: nodes - run]
        return forward_JN, scales_J

    def _weigh_runs(self, model: _Model) -> Floats:
        """Weight of each run by its pauses alone: those within it and the one after it."""
        within = np.log(1 - model.share_between) + _log_normal(self._log_pauses, *model.pauses_within)
        between = np.log(model.share_between) + _log_normal(self._log_pauses, *model.pauses_between)
        either = np.logaddexp(within, between)
        within_sums = np.concatenate([[0.0], np.cumsum(within - either), [0.0]])
        after = np.concatenate([between - either, [0.0]])
        runs, nodes = self._steps_RN.shape
        base_RN = np.full((runs, nodes), -np.inf)
        for run in range(1, runs + 1):
            starts = nodes - run
            base_RN[run - 1, :starts] = (
                within_sums[run - 1 : run - 1 + starts] - within_sums[:starts] + after[run - 1 :]
            )
        base_RN[self._span_RN > MAX_SPAN_S] = -np.inf
        weights: Floats = np.exp(base_RN)
        return weights

    def _look_up(
        self, model: _Model, sentence: int, shared: int, base_RN: Floats, active: slice
    ) -> tuple[Floats, Floats, npt.NDArray[np.int32]] | None:
        """Weights of the runs from some nodes for some sentences, and what is needed to tell who is said there.

        Returns:
            weights; by place in the table, the share of them that is no impostor's; and the places. None when the
            sentences cannot share a run.
        """
        log_expected = np.log(self._totals_KJ[shared - 1][sentence]) - model.log_speed
        if shared > 1 and log_expected > np.log(1.5 * MAX_SHARED_SPAN_S):
            return None
        expected = round(log_expected / STEP)
        runs = max(1, int(np.searchsorted(self._least_steps_R, expected + HALF_TABLE)))
        impostor = float(model.impostors_J[sentence : sentence + shared].max())
        usual = np.exp(_log_normal(0.0, 0.0, self._impostor_spread))
        right = (1 - impostor) * np.exp(_log_normal(RATIOS, 0.0, model.spread)) / usual
        both = right + impostor * np.exp(_log_normal(RATIOS, 0.0, self._impostor_spread)) / usual
        right_share = right / both
        both *= SHARED ** (shared - 1)
        both[[0, -1]] = 0.0
        places_RN = self._steps_RN[:runs, active] + np.int32(HALF_TABLE - expected)
        np.clip(places_RN, 0, 2 * HALF_TABLE, out=places_RN)
        weights_RN = both[places_RN]
        weights_RN *= base_RN[:runs, active]
        if shared > 1:
            weights_RN *= self._span_RN[:runs, active] <= MAX_SHARED_SPAN_S
        return weights_RN, right_share, places_RN


def _at(node: int, nodes: int) -> Floats:
    row_N = np.zeros(nodes)
    row_N[node] = 1.0
    return row_N


def _active(row_N: Floats) -> slice:
    """From the first to the last node that a way leads to."""
    (places,) = np.nonzero(row_N)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 1)


def _skip(arriving_N: Floats) -> Floats:
    """Weights after any number of skipped segments: the first costs more than those that follow it."""
    skipped: Floats = lfilter([0.0, FIRST_SKIPPED_SEGMENT], [1.0, -NEXT_SKIPPED_SEGMENT], arriving_N)
    return arriving_N + skipped


def _skip_back(entering_N: Floats) -> Floats:
    """The same, seen from the end."""
    skipped: Floats = _skip(entering_N[::-1])[::-1]
    return skipped


def _log_normal(value: Floats | float, mean: float, spread: float) -> Floats:
    return np.asarray(-0.5 * ((value - mean) / spread) ** 2 - np.log(spread) - 0.5 * np.log(2 * np.pi))


def _share_around(wrong_J: Floats) -> Floats:
    """Share of what is wrong in the neighbourhood of each sentence."""
    window = np.ones(2 * NEIGHBOURHOOD + 1)
    wrong, all_of_them = (
        np.convolve(np.pad(values, NEIGHBOURHOOD), window, "valid") for values in (wrong_J, np.ones_like(wrong_J))
    )
    return np.clip((wrong + PRIOR_COUNT * IMPOSTORS) / (all_of_them + PRIOR_COUNT), 0.01, 0.95)


def _estimate_pauses(log_pauses: Floats, weight_N: Floats, before: tuple[float, float]) -> tuple[float, float]:
    """Mean and spread of some pauses, as if five had been seen that are as before."""
    total = weight_N.sum() + 5
    mean = ((weight_N * log_pauses).sum() + 5 * before[0]) / total
    variance = ((weight_N * (log_pauses - mean) ** 2).sum() + 5 * before[1] ** 2) / total
    return float(mean), float(np.clip(np.sqrt(variance), 0.15, 1.0))
