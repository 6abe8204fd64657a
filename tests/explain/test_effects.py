"""Effects from a randomised slice: against the truth of drawn worlds, and shrinkage against plain formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bidsim.experiments.grading.grade import Graded, grade_world, score_method, score_ours
from bidsim.experiments.grading.worlds import draw_rows, draw_world, randomise, rates, true_effects
from bidsim.explain.effects import Estimate, Lever, RandomisedRows, estimate_effects, fit_rows, own_effects
from bidsim.explain.shrinkage import Prior, fit_prior, shrink, shrink_together

WIDE = Prior((0.5, 0.1, 0.1, 0.1, 0.1, 0.1), (0.0, 0.01, 0.03, 0.06, 0.12, 0.24))


def test_lever__moves_and_has_columns_in_units_of_its_action() -> None:
    price, shipping, placement = (
        Lever("price", "continuous", -0.1),
        Lever("shipping", "binary", 1.0),
        Lever("placement", "choice", 2.0, 3),
    )
    values = np.array([0.3, -0.2])
    np.testing.assert_allclose(price.moved(values), [0.2, -0.3])
    np.testing.assert_allclose(price.basis(values)[:, 0], [3.0, -2.0])
    np.testing.assert_array_equal(shipping.basis(np.array([0.0, 1.0]))[:, 0], [0, 1])
    np.testing.assert_array_equal(placement.basis(np.array([0.0, 2.0])), [[0, 0], [0, 1]])
    np.testing.assert_array_equal(placement.moved(np.array([0.0, 1.0])), [2.0, 2.0])


def _explored(seed: int, count: int, keep: float) -> tuple[RandomisedRows, np.ndarray]:
    world, dice = draw_world(seed), np.random.default_rng(seed)
    rows = draw_rows(world, count, dice)
    assigned = randomise(world, rows, dice)
    outcome = (dice.random(count) < rates(world, rows, assigned)).astype(float)
    score = np.log(rates(world, rows, rows.natural)) + dice.normal(0, 0.5, count)
    chosen = (outcome > 0) | (dice.random(count) < keep)
    return RandomisedRows(
        rows.natural[chosen], assigned[chosen], score[chosen], rows.advertiser[chosen], outcome[chosen], keep
    ), true_effects(world, rows)


def test_estimates__lie_around_the_truth_as_their_errors_say() -> None:
    z = []
    for seed in range(500, 505):
        world = draw_world(seed)
        rows, truth = _explored(seed, int(1_500 / world.rate), 0.3 if world.rate < 0.02 else 1.0)
        found = estimate_effects(rows, world.levers)
        z += [(e.value - t) / e.error for e, t in zip(found, truth, strict=True)]
    assert len(z) >= 40
    assert np.abs(z).max() < 4.5
    assert 0.75 < np.std(z) < 1.3


def test_estimates__do_not_depend_on_how_many_negatives_are_kept() -> None:
    levers = draw_world(3).levers
    whole, _ = _explored(3, 150_000, 1.0)
    dice = np.random.default_rng(1)
    chosen = (whole.outcome > 0) | (dice.random(len(whole.outcome)) < 0.25)
    part = RandomisedRows(
        whole.natural[chosen],
        whole.assigned[chosen],
        whole.score[chosen],
        whole.advertiser[chosen],
        whole.outcome[chosen],
        0.25,
    )
    for a, b in zip(estimate_effects(whole, levers), estimate_effects(part, levers), strict=True):
        assert abs(a.value - b.value) < 1.5 * b.error
        assert b.error > 0.98 * a.error


def test_estimates__too_few_conversions_say_nothing() -> None:
    rows, _ = _explored(3, 3_000, 1.0)
    assert rows.conversions < 300
    with pytest.raises(ValueError, match="300 are needed"):
        estimate_effects(rows, draw_world(3).levers)


def test_shrink__agrees_with_the_normal_formula() -> None:
    only = Prior((1.0,), (0.1,))
    found = shrink(Estimate("x", 0.08, 0.05), only)
    mean, sd = 0.08 * 0.01 / 0.0125, math.sqrt(1 / (1 / 0.01 + 1 / 0.0025))
    assert found.mean == pytest.approx(mean)
    assert (found.low, found.high) == (
        pytest.approx(mean - 1.959964 * sd, abs=1e-5),
        pytest.approx(mean + 1.959964 * sd, abs=1e-5),
    )
    assert found.false_sign == pytest.approx(0.5 * math.erfc(mean / sd / math.sqrt(2)))


def test_shrink__nothing_is_said_of_what_may_be_nothing() -> None:
    assert shrink(Estimate("x", 0.5, 0.1), Prior((1.0, 0.0), (0.0, 0.1))).false_sign == 1.0
    assert not shrink(Estimate("x", 0.01, 0.02), WIDE).speaks
    sure = shrink(Estimate("x", -0.3, 0.02), WIDE)
    assert sure.speaks
    assert sure.high < 0
    assert sure.mean == pytest.approx(-0.3, abs=0.01)


def test_prior__finds_how_effects_are_spread() -> None:
    dice = np.random.default_rng(2)
    effects = np.where(dice.random(4_000) < 0.6, 0.0, dice.normal(0, 0.12, 4_000))
    errors = dice.uniform(0.005, 0.03, 4_000)
    prior = fit_prior(effects + dice.normal(0, errors), errors)
    narrow = sum(w for w, s in zip(prior.weights, prior.spreads, strict=True) if s <= 0.008)
    assert narrow == pytest.approx(0.6, abs=0.06)
    assert sum(prior.weights) == pytest.approx(1.0)
    beliefs = [
        shrink(Estimate("x", e, s), prior)
        for e, s in zip((effects + dice.normal(0, errors))[:800], errors, strict=False)
    ]
    inside = np.mean([b.low <= t <= b.high for b, t in zip(beliefs, effects, strict=False)])
    assert 0.93 <= inside <= 0.99
    wrong = [t * b.mean <= 0 for b, t in zip(beliefs, effects, strict=False) if b.speaks]
    assert np.mean(wrong) <= 0.025


def test_worlds__are_confounded_and_have_levers_that_do_nothing() -> None:
    world, dice = draw_world(11), np.random.default_rng(0)
    rows = draw_rows(world, 100_000, dice)
    assert 2 <= world.null.sum() <= 4
    assert np.abs(true_effects(world, rows)[world.null]).max() < 1e-12
    drawn = [abs(np.corrcoef(rows.intent, rows.natural[:, k])[0, 1]) for k in range(len(world.levers))]
    assert max(drawn) > 0.4
    assigned = randomise(world, rows, dice)
    moved = [
        abs(
            np.corrcoef(
                rows.intent, assigned[:, k] - rows.natural[:, k] if lever.kind == "continuous" else assigned[:, k]
            )[0, 1]
        )
        for k, lever in enumerate(world.levers)
    ]
    assert max(moved) < 0.02


def test_grade__ours_beats_the_naive_ways_on_a_world() -> None:
    graded = grade_world(3, [4_000])
    ours = score_ours(graded, WIDE)
    what_if = score_method(graded, "what_if")
    assert ours.error_points is not None
    assert what_if.error_points is not None
    assert ours.error_points < 0.5 * what_if.error_points
    assert score_method(graded, "gain").signs_right is None


def test_score__by_hand() -> None:
    levers = tuple(Lever(n, "binary", 1.0) for n in "abc")
    truth = np.array([0.10, -0.05, 0.0])
    graded = Graded(
        levers,
        np.array([False, False, True]),
        truth,
        {"what_if": np.array([0.2, 0.1, 0.3])},
        [Estimate("a", 0.1, 0.01), Estimate("b", -0.05, 0.01), Estimate("c", 0.0, 0.01)],
        500,
        0.0,
        [
            [Estimate(n, v, 0.01) for n, v in zip("abc", (0.12, -0.05, 0.0), strict=True)],
            [Estimate(n, v, 0.01) for n, v in zip("abc", (0.08, -0.05, 0.0), strict=True)],
        ],
        np.array([truth, truth]),
    )
    found = score_method([graded], "what_if")
    assert found.signs_right == 0.5
    assert found.ordered_right == pytest.approx(2 / 3)
    assert found.regret_points == pytest.approx(100 * math.expm1(0.10))
    ours = score_ours([graded], WIDE)
    assert (ours.signs_right, ours.regret_points, ours.worlds_with_null_spoken, ours.spoken_signs_right) == (
        1.0,
        0.0,
        0.0,
        1.0,
    )


def test_own_effects__lie_around_the_truth_of_each_advertiser() -> None:
    z, alone, drawn = [], [], []
    for seed in range(600, 603):
        world = draw_world(seed)
        rows, _ = _explored(seed, int(3_000 / world.rate), 0.3 if world.rate < 0.02 else 1.0)
        whole = draw_rows(world, 200_000, np.random.default_rng(seed))
        fitted = fit_rows(rows, world.levers)
        own = [own_effects(fitted, a) for a in range(8)]
        truth = np.array([true_effects(world, whole.of(a)) for a in range(8)])
        z += [
            (e.value - t) / e.error for one, row in zip(own, truth, strict=True) for e, t in zip(one, row, strict=True)
        ]
        for k in range(len(world.levers)):
            beliefs = shrink_together([one[k] for one in own], WIDE)[1]
            alone += [abs(one[k].value - t) for one, t in zip(own, truth[:, k], strict=True)]
            drawn += [abs(b.mean - t) for b, t in zip(beliefs, truth[:, k], strict=True)]
    assert np.abs(z).max() < 4.5
    assert 0.7 < np.std(z) < 1.1, "errors are widened by three tenths"
    assert np.mean(drawn) < 0.7 * np.mean(alone)


def test_own_effects__without_conversions_say_what_is_common() -> None:
    world = draw_world(600)
    rows, _ = _explored(600, int(1_500 / world.rate), 1.0)
    none = RandomisedRows(
        rows.natural,
        rows.assigned,
        rows.score,
        rows.advertiser,
        np.where(rows.advertiser == 3, 0.0, rows.outcome),
        rows.keep,
    )
    fitted = fit_rows(none, world.levers)
    own = [own_effects(fitted, a) for a in range(8)]
    assert all(math.isinf(e.error) for e in own[3])
    common, beliefs = shrink_together([one[0] for one in own], WIDE)
    assert beliefs[3].mean == pytest.approx(common.mean)
    assert beliefs[3].high - beliefs[3].low > common.high - common.low


def test_units__count_once() -> None:
    """Copying every row within its unit must not make anything surer."""
    world = draw_world(601)
    rows, _ = _explored(601, int(1_000 / world.rate), 1.0)
    twice = [
        np.concatenate([part, part])
        for part in (rows.natural, rows.assigned, rows.score, rows.advertiser, rows.outcome)
    ]
    units = np.tile(np.arange(len(rows.outcome)), 2)
    once = estimate_effects(rows, world.levers)
    copied = estimate_effects(RandomisedRows(*twice, rows.keep, units), world.levers)
    free = estimate_effects(RandomisedRows(*twice, rows.keep), world.levers)
    for a, b, c in zip(once, copied, free, strict=True):
        assert b.error > 0.9 * a.error
        assert c.error < 0.85 * b.error


def test_shrink_together__nothing_known_is_the_prior() -> None:
    common, beliefs = shrink_together([Estimate("a", 0.0, math.inf)] * 3, WIDE)
    assert common.mean == pytest.approx(0.0, abs=1e-9)
    assert beliefs[0].false_sign > 0.4
    assert not beliefs[0].speaks
