"""Diagnoses: every matrix under random conventions is recognised, and nothing that is not there."""

import re

import numpy as np
import pytest

import refopt
from refopt import curvature
from refopt.networks import Linear, Sequential, Tanh
from refopt.oracle import diagnose
from refopt.oracle.layouts import layouts

rng = np.random.default_rng(3)
NET = Sequential(Linear(4, 5), Tanh(), Linear(5, 3))
N, X = 40, rng.standard_normal((40, 4))
P = NET.init(rng)
CLASSES = refopt.Supervised(NET, "cross-entropy", X, rng.integers(0, 3, N))
REAL = refopt.Supervised(NET, "squared", X, rng.standard_normal((N, 3)))
MATRICES = {
    "hessian": curvature.hessian(CLASSES, P),
    "ggn": curvature.ggn(CLASSES, P),
    "empirical": curvature.fisher(CLASSES, P, kind="empirical"),
    "empirical-centred": curvature.fisher(CLASSES, P, kind="empirical", centred=True),
    "functional-hessian": curvature.functional_hessian(CLASSES, P),
}
LAYOUTS = layouts(CLASSES, P.size)
FACTORS = {"sum": N, "mean": 1.0, "mean-elements": 1 / 3, "half mean": 0.5, "double sum": 2 * N, "N - 1": N / (N - 1)}
SLICES = [slice(0, 25), slice(25, 43)]
ARRAYS = [slice(0, 20), slice(20, 25), slice(25, 40), slice(40, 43)]


def within(M, structure):
    """The part of M that a structure keeps, written out."""
    if structure == "full":
        return M
    if structure == "diagonal":
        return np.diag(np.diag(M))
    out = np.zeros_like(M)
    for part in SLICES if structure == "block-diagonal" else ARRAYS:
        out[part, part] = M[part, part]
    return out


@pytest.mark.parametrize("kind", MATRICES)
def test_fifty_random_combinations_of_conventions_are_recognised(kind):
    draw = np.random.default_rng(len(kind))
    for _ in range(50):
        layout = LAYOUTS[draw.integers(len(LAYOUTS))]
        reduction = draw.choice(list(FACTORS))
        structure = draw.choice(["full", "block-diagonal", "array-diagonal", "diagonal"])
        K = FACTORS[reduction] * within(MATRICES[kind], structure)
        damping = draw.choice([0.0, 0.1, 1e-3]) * abs(np.trace(K)) / len(K)
        theirs = (K + damping * np.eye(len(K)))[np.ix_(layout.order, layout.order)]
        found = diagnose(theirs, CLASSES, P)
        assert found.kind == kind, found.sentence
        assert found.reduction == reduction, found.sentence
        assert found.damping == pytest.approx(damping, rel=1e-6, abs=1e-12)
        assert found.residual <= found.tolerance < 1e-9
        if structure == "full":
            assert (found.vec, found.bias) == (layout.stacking, layout.bias), found.sentence


@pytest.mark.parametrize("kind", ["kfac", "ekfac", "kfoc"])
@pytest.mark.parametrize("fisher", ["exact", "empirical"])
def test_the_kronecker_factored_are_recognised(kind, fisher):
    draw = np.random.default_rng(5)
    for bias in ("joint", "separate"):
        layout, scale = LAYOUTS[draw.integers(len(LAYOUTS))], draw.choice([1.0, N])
        theirs = scale * getattr(curvature, kind)(CLASSES, P, fisher=fisher, bias=bias).dense()
        theirs = theirs + 0.01 * np.trace(theirs) / len(theirs) * np.eye(len(theirs))
        found = diagnose(theirs[np.ix_(layout.order, layout.order)], CLASSES, P)
        assert (found.kind, f"bias {bias}" in found.sentence) == (f"{kind}-{fisher}", True), found.sentence
        assert found.scale == pytest.approx(scale)


def test_the_sentence_says_all_of_it():
    """The example of the module's docstring."""
    K = N * MATRICES["empirical"] + 0.001 * np.eye(P.size)
    order = next(each for each in LAYOUTS if each.vec == "column" and each.bias == "after").order
    found = diagnose(K[np.ix_(order, order)], CLASSES, P, claim="fisher")
    apart = np.linalg.norm(MATRICES["empirical"] - MATRICES["ggn"]) / np.linalg.norm(MATRICES["ggn"])
    for part in ("empirical Fisher matrix", "summed over the samples", "column-stacked", "0.001 added to the diagonal"):
        assert part in found.sentence
    assert f"The exact Fisher matrix, which you say it is, differs by {100 * apart:.3g} %" in found.sentence


def test_what_is_the_same_under_two_names_is_said_to_be():
    assert "which here is the exact Fisher matrix too" in diagnose(MATRICES["ggn"], CLASSES, P).sentence


# --- diagonals and products ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MATRICES)
def test_diagonals(kind):
    order = LAYOUTS[1].order
    found = diagnose((N * np.diag(MATRICES[kind]) + 0.01)[order], CLASSES, P)
    assert (found.kind, found.reduction) == (kind, "sum")
    assert found.damping == pytest.approx(0.01)


@pytest.mark.parametrize("kind", MATRICES)
def test_products(kind):
    order, v = LAYOUTS[4].order, np.random.default_rng(1).standard_normal(P.size)
    theirs = (2 * N * MATRICES[kind] + 0.1 * np.eye(P.size))[np.ix_(order, order)] @ v
    found = diagnose(theirs, CLASSES, P, v=v)
    assert (found.kind, found.reduction, found.vec, found.bias) == (kind, "double sum", LAYOUTS[4].vec, LAYOUTS[4].bias)


# --- mistakes ----------------------------------------------------------------------------------------------------


def test_gradients_averaged_before_they_are_squared():
    g = CLASSES.grad(P)
    for theirs in (np.outer(g, g), N * np.outer(g, g), g * g):
        found = diagnose(theirs, CLASSES, P)
        assert "averaged over the batch before it is squared" in found.defect, found.sentence


def test_sums_of_rows_for_the_diagonal():
    found = diagnose(MATRICES["hessian"].sum(axis=1), CLASSES, P)
    assert found.kind == "hessian"
    assert "sums of the rows" in found.defect


def test_gradients_of_the_mean_loss():
    found = diagnose(MATRICES["empirical"] / N, CLASSES, P)
    assert found.reduction == "squared mean"


def test_the_outputs_hessian_left_out():
    J = curvature.jacobian(CLASSES, P)
    assert "Hessian of the loss in the outputs is left out" in diagnose(J.T @ J, CLASSES, P).sentence


# --- what is sampled ---------------------------------------------------------------------------------------------


def test_sampled_fisher_matrices_are_recognised_by_their_distance():
    for seed in range(5):
        drawn = curvature.fisher(CLASSES, P, kind="monte-carlo", samples=1, rng=np.random.default_rng(seed))
        found = diagnose(drawn, CLASSES, P)
        assert found.kind == "monte-carlo", found.sentence
        assert re.search(r"sampled with 1( to \d)? labels? a sample", found.sentence), found.sentence


def test_labels_that_are_handed_in_decide():
    labels = rng.integers(0, 3, (1, N))
    theirs = curvature.fisher(CLASSES, P, kind="monte-carlo", labels=labels)
    found = diagnose(theirs, CLASSES, P, labels=labels)
    assert found.kind == "monte-carlo"
    assert found.residual <= found.tolerance


def test_noise_of_the_same_size_is_no_sample():
    drawn = curvature.fisher(CLASSES, P, kind="monte-carlo", samples=1, rng=np.random.default_rng(0))
    size = np.linalg.norm(drawn - MATRICES["ggn"])
    noise = rng.standard_normal(drawn.shape)
    noise = noise + noise.T
    assert not diagnose(MATRICES["ggn"] + size * noise / np.linalg.norm(noise), CLASSES, P)


# --- what nothing explains -----------------------------------------------------------------------------------------


def test_where_the_residual_sits():
    wrong = MATRICES["hessian"].copy()
    wrong[30:35, 30:35] *= -1
    found = diagnose(wrong, CLASSES, P)
    assert not found
    assert "Nothing explains yours. The closest is the Hessian" in found.sentence
    assert "is in block (2, 2)" in found.sentence


@pytest.mark.parametrize("seed", range(20))
def test_rounding_is_never_called_a_mistake(seed):
    """The matrix at parameters and inputs that are changed in the last digit."""
    draw = np.random.default_rng(seed)
    eps = 2.2e-16
    for problem in (CLASSES, REAL):
        there = refopt.Supervised(NET, problem.loss, X * (1 + eps * draw.integers(-1, 2, X.shape)), problem.y)
        x = P * (1 + eps * draw.integers(-1, 2, P.shape))
        for of in (curvature.hessian, curvature.ggn):
            assert diagnose(of(there, x), problem, P), "a right matrix was refused"


def test_float32_is_judged_as_such():
    found = diagnose(MATRICES["hessian"].astype(np.float32), CLASSES, P)
    assert found.kind == "hessian"
    assert found.tolerance > 1e-5


# --- factors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fisher", ["exact", "empirical"])
def test_factors_and_how_the_scale_is_split(fisher):
    pairs = [(b.A, b.G) for b in curvature.kfac(CLASSES, P, fisher=fisher).blocks]
    found = diagnose([(N * A, G / N) for A, G in pairs], CLASSES, P)
    assert (found.kind, found.reduction) == (f"kfac-{fisher}", "mean")
    assert f"A being {N} times and G {1 / N} times ours" in found.sentence
    swapped = diagnose([(N * G, A) for A, G in pairs], CLASSES, P)
    assert swapped.reduction == "sum"
    assert "in the order (G, A)" in swapped.sentence


def test_factors_with_the_bias_first_and_damping():
    pairs = [(np.roll(b.A, (1, 1), (0, 1)), b.G) for b in curvature.kfac(CLASSES, P).blocks]
    damped = [(A + 0.1 * np.eye(len(A)), G + 0.2 * np.eye(len(G))) for A, G in pairs]
    found = diagnose(damped, CLASSES, P)
    assert found.bias == "joint-first"
    assert found.damping == pytest.approx(0.1 * 0.2)
    assert "added to the diagonals of A and G: 0.1 and 0.2 in 0" in found.sentence


def test_factors_of_something_else():
    pairs = [(b.A, b.G @ b.G) for b in curvature.kfac(CLASSES, P).blocks]
    assert not diagnose(pairs, CLASSES, P)
    with pytest.raises(ValueError, match="neither the number nor the shapes"):
        diagnose(pairs[:1], CLASSES, P)


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "complaint"),
    [
        (np.eye(3), r"must have shape \(43, 43\) or \(43,\); it has \(3, 3\)"),
        (np.full((43, 43), np.nan), "finite"),
        (np.zeros(43), "zero throughout"),
        (np.full(43, "a"), "real numbers"),
    ],
)
def test_what_cannot_be_judged(theirs, complaint):
    with pytest.raises((ValueError, TypeError), match=complaint):
        diagnose(theirs, CLASSES, P)


def test_claims_that_do_not_exist():
    with pytest.raises(ValueError, match="claim is 'hesian'; it can be hessian, ggn"):
        diagnose(MATRICES["hessian"], CLASSES, P, claim="hesian")
    with pytest.raises(ValueError, match="claim is 'hesian'"):
        diagnose(np.diag(np.arange(1.0, 44.0)), CLASSES, P, claim="hesian")


@pytest.mark.parametrize("kind", MATRICES)
def test_a_minus_sign_is_said_to_be_one(kind):
    found = diagnose(-2 * MATRICES[kind], CLASSES, P)
    assert (found.kind, found.reduction, found.damping) == (kind, "negative double mean", 0.0)
    assert found.scale == pytest.approx(-2.0, rel=1e-12)
    assert "averaged over the samples, doubled, with the opposite sign" in found.sentence


@pytest.mark.parametrize("theirs", [0.25 * np.eye(43), 0.25 * np.ones(43), -0.25 * np.eye(43)])
def test_the_identity_is_no_curvature(theirs):
    found = diagnose(theirs, CLASSES, P)
    assert not found
    assert found.damping == pytest.approx(theirs.flat[0], rel=1e-12)
    assert found.sentence == f"Yours is {theirs.flat[0]} times the identity: no curvature is in it."


def test_problems_without_a_network():
    case = refopt.zoo.get("rosenbrock")
    x = np.asarray(case.x0)
    found = diagnose(2 * case.problem.hess(x), case.problem, x)
    assert (found.kind, found.reduction) == ("hessian", "double")
    fit = refopt.zoo.get("nist:Misra1a")
    J = fit.problem.jacobian(fit.x0)
    assert diagnose(J.T @ J, fit.problem, fit.x0).kind == "ggn"


def test_damping_by_their_own_diagonal_is_recognised():
    """Marquardt's (H + λ diag H), in every order and reduction."""
    for kind in ("hessian", "empirical"):
        K = MATRICES[kind]
        for layout in layouts(CLASSES, len(P))[::5]:
            theirs = (3.0 * (K + 0.02 * np.diag(np.diag(K))))[np.ix_(layout.order, layout.order)]
            found = diagnose(theirs, CLASSES, P)
            assert (found.kind, found.vec, found.bias) == (kind, layout.stacking, layout.bias), found.sentence
            assert found.damping == pytest.approx(0.02, rel=1e-6)
            assert "with 0.02 times its own diagonal added to it" in found.sentence
    assert not diagnose(K + np.diag(np.linspace(0.01, 0.02, len(P)) * np.diag(K)), CLASSES, P)


def test_a_few_wrong_entries_of_a_diagonal_are_no_estimate():
    theirs = np.diag(MATRICES["ggn"]).copy()
    theirs[[7, 9]] *= [2.0, 3.0]
    found = diagnose(theirs, CLASSES, P)
    assert not found
    assert "but for 2 of 43 entries, the first entry 7, in layer 0:" in found.sentence


def test_one_wrong_row_is_named():
    theirs = MATRICES["hessian"].copy()
    theirs[3] += 0.5 * np.abs(theirs).max()
    found = diagnose(theirs, CLASSES, P)
    assert not found
    assert "most of it in row 3" in found.sentence
