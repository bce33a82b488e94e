"""Diagnoses of what is wrong: mistakes as users make them, written out here in NumPy, and named for what they are."""

import numpy as np
import pytest

import refopt
from refopt import curvature
from refopt.networks import Conv2d, Flatten, Linear, Sequential, Tanh
from refopt.oracle import diagnose, judge
from refopt.oracle.layouts import layouts

rng = np.random.default_rng(11)
N, C = 24, 4
NETWORK = "Sequential(Linear(5, 6), Tanh(), Linear(6, 4))"
NET = Sequential(Linear(5, 6), Tanh(), Linear(6, 4))
X, y = rng.standard_normal((N, 5)) + 0.3, rng.integers(0, C, N)
x = NET.init(rng)
PROBLEM = refopt.Supervised(NET, "cross-entropy", X, y)
W1, b1, W2, b2 = NET.unravel(x).values()
a = np.tanh(X @ W1.T + b1)
z = a @ W2.T + b2
p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
d2 = p - np.eye(C)[y]
d1 = d2 @ W2 * (1 - a * a)
J = curvature.jacobian(PROBLEM, x).reshape(N, C, -1)
H, F = curvature.hessian(PROBLEM, x), curvature.fisher(PROBLEM, x)
S = PROBLEM.per_sample_grad(x)
ONE = np.ones((N, 1))


def between(M):
    return np.einsum("nap,nab,nbq->pq", J, np.broadcast_to(M, (N, C, C)), J) / N


def diagonals(q):
    return q[:, :, None] * np.eye(C)


def flat(*parts):
    return np.concatenate([part.ravel() for part in parts])


# --- matrices ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("M", "said"),
    [
        (diagonals(p), r"taken to be diag(p) in place of diag(p) − ppᵀ"),
        (p[:, :, None] * p[:, None, :], "ppᵀ stands in place of diag(p) − ppᵀ"),
        (np.diag(p.mean(0)) - np.outer(p.mean(0), p.mean(0)), "at the mean of all samples' p"),
        (diagonals(z) - z[:, :, None] * z[:, None, :], "the outputs themselves, not their probabilities"),
    ],
)
def test_the_outputs_hessian(M, said):
    found = diagnose(between(M), PROBLEM, x, claim="ggn")
    assert found.kind == "ggn"
    assert said in found.defect


def test_batches_weight_decay_and_best_labels():
    batches = S.reshape(3, 8, -1).mean(1)
    assert "consecutive batches of 8" in diagnose(batches.T @ batches / 3, PROBLEM, x).sentence
    decayed = S + 0.1 * x
    assert "to which 0.1 x was added" in diagnose(decayed.T @ decayed / N, PROBLEM, x).sentence
    best = PROBLEM.per_sample_grad(x, p.argmax(1))
    assert "labels that the model finds likeliest" in diagnose(best.T @ best / N, PROBLEM, x).sentence


def test_gradients_that_are_divided_by_their_lengths():
    unit = S / np.linalg.norm(S, axis=1, keepdims=True)
    found = diagnose(unit.T @ unit / N, PROBLEM, x)
    assert (found.kind, found.defect) == ("empirical", "the gradients are divided by their lengths")


@pytest.mark.parametrize("samples", [1, 3])
def test_labels_are_read_off(samples):
    """The labels that were drawn, and that the model draws such."""
    drawn = [PROBLEM.per_sample_grad(x, np.array([rng.choice(C, p=q) for q in p])) for _ in range(samples)]
    found = diagnose(sum(s.T @ s for s in drawn) / (N * samples), PROBLEM, x)
    assert found.kind == "monte-carlo"
    assert found.residual < 1e-9
    assert f"sampled with {samples} label" in found.sentence
    assert "as likely as labels that the model draws" in found.sentence


def test_labels_that_the_model_does_not_draw():
    sure = np.where((np.arange(len(x)) >= 36) & (np.arange(len(x)) < 60), 6.0, 1.0) * x  # W of the last layer
    there = PROBLEM.at(sure).f
    worst = PROBLEM.per_sample_grad(sure, there.argmin(1))
    found = diagnose(worst.T @ worst / N, PROBLEM, sure)
    assert "none that the model draws" in found.sentence
    assert found.defect


def test_sampled_to_six_digits_is_not_sampled():
    """Weights that are nearly whole numbers are not enough: nothing else may be in it."""
    s = PROBLEM.per_sample_grad(x, np.array([rng.choice(C, p=q) for q in p]))
    noise = rng.standard_normal(F.shape)
    assert not diagnose(s.T @ s / N + 3e-8 * (noise + noise.T), PROBLEM, x)


@pytest.mark.parametrize("kind", ["ggn at another point", "product of two", "noise"])
def test_what_is_no_sampled_matrix_is_not_called_one(kind):
    other = {
        "ggn at another point": curvature.ggn(PROBLEM, 1.1 * x),
        "product of two": F @ F / np.trace(F),
        "noise": F + 0.1 * np.outer(np.sin(np.arange(len(x))), np.sin(np.arange(len(x)))),
    }[kind]
    assert not diagnose(other, PROBLEM, x)


def test_triangles_and_inverses():
    assert "the upper triangle of the Hessian" in diagnose(np.triu(H), PROBLEM, x).sentence
    assert diagnose(np.tril(F), PROBLEM, x).defect == "the other triangle is zero"
    found = diagnose(np.linalg.inv(F + 1e-3 * np.eye(len(x))), PROBLEM, x)
    assert found.sentence.startswith("Yours is the inverse of the generalised Gauss-Newton matrix")
    assert found.damping == pytest.approx(1e-3, rel=1e-6)


@pytest.mark.parametrize("inverse", [False, True])
def test_cholesky_factors_the_right_way_round_and_the_wrong(inverse):
    """A covariance of samples zᵀL has LᵀL, not LLᵀ; in another order of the parameters too."""
    order = layouts(PROBLEM, len(x))[3].order
    M = (F + 1e-3 * np.eye(len(x)))[np.ix_(order, order)]
    L = np.linalg.cholesky(np.linalg.inv(M) if inverse else M)
    for theirs, kind, said in ((L, "cholesky-", "the Cholesky factor of"), (L.T @ L, "", "LᵀL of the Cholesky factor")):
        found = diagnose(theirs, PROBLEM, x)
        assert found.kind == kind + "inverse-" * inverse + "ggn", found.sentence
        assert said in found.sentence
        assert ("LᵀL stands where LLᵀ is meant" in found.defect) == (said[0] == "L")
        assert found.damping == pytest.approx(1e-3, rel=1e-6)
    R = np.linalg.inv(np.linalg.cholesky(M))
    assert diagnose(R, PROBLEM, x).kind == "inverse-cholesky-ggn"
    assert "L⁻¹L⁻ᵀ, not L⁻ᵀL⁻¹" in diagnose(R @ R.T, PROBLEM, x).sentence
    assert not diagnose(R.T @ R, PROBLEM, x).defect


def test_cholesky_factors_of_kronecker_factors():
    """As K-FAC's inverse is made by cholesky, and by cholesky_inverse with the wrong triangle."""
    damped = [(M + 0.1 * np.eye(len(M)), K + 0.2 * np.eye(len(K))) for M, K in zip(A, G, strict=True)]
    root = np.linalg.cholesky
    cases = {
        "Yours are the Cholesky factors of the factors of": root,
        "Yours are LᵀL of the Cholesky factors L of the factors of": lambda M: root(M).T @ root(M),
        "Yours are L⁻¹L⁻ᵀ, not L⁻ᵀL⁻¹, of the Cholesky factors L of": lambda M: np.linalg.inv(root(M).T @ root(M)),
    }
    for said, make in cases.items():
        found = diagnose([tuple(make(M) for M in pair) for pair in damped], PROBLEM, x)
        assert found.sentence.startswith(said), found.sentence
        assert bool(found.defect) == ("LᵀL" in said or "L⁻¹" in said)


def test_what_is_not_symmetric_is_told_so():
    wrong = H.copy()
    wrong[:5] *= 2.0
    assert "not symmetric: it differs from its transpose by" in diagnose(wrong, PROBLEM, x).sentence


# --- diagonals and products ----------------------------------------------------------------------------------------


def test_moduli_roots_and_squares_of_diagonals():
    for theirs, said in ((np.abs(np.diag(H)), "modulus"), (np.sqrt((S**2).mean(0)), "square root")):
        assert f"the {said} was taken" in diagnose(theirs, PROBLEM, x).sentence


def test_estimates_of_diagonals():
    signs = rng.choice([-1.0, 1.0], (60, len(x)))
    found = diagnose((signs * (signs @ H)).mean(0), PROBLEM, x)
    assert found.kind == "estimated"
    assert "may be an estimate of the diagonal of the Hessian" in found.sentence


def products(term):
    """∇²f v by differentiating the backward sweep, in which a term is held constant."""
    v1, c1, v2, c2 = NET.unravel(V).values()
    da = (1 - a * a) * (X @ v1.T + c1)
    dz = da @ W2.T + a @ v2.T + c2
    dd2 = p * dz - p * (p * dz).sum(1, keepdims=True)
    back = dd2 @ W2 + d2 @ v2 * (term != "W") if term != "Wᵀδ" else 0.0
    dd1 = back * (1 - a * a) - 2 * a * da * (d2 @ W2) * (term != "φ′")
    return flat(dd1.T @ X, dd1.sum(0), dd2.T @ a + d2.T @ da * (term != "a"), dd2.sum(0)) / N


V = rng.standard_normal(len(x))


def test_the_hessian_times_a_vector_as_it_should_be():
    np.testing.assert_allclose(products(""), H @ V, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("term", "said"),
    [
        ("W", "in Wᵀδ, which is passed back, W is held constant"),
        ("a", "in ∇W = δaᵀ a is held constant"),
        ("φ′", "the term with φ″ is missing"),
        ("Wᵀδ", "what is passed back, Wᵀδ, is held constant"),
    ],
)
def test_terms_that_are_lost_on_the_way(term, said):
    assert said in diagnose(products(term), PROBLEM, x, v=V, claim="hessian").defect


@pytest.mark.parametrize("step", [1e-4, 1e-6])
def test_differences_are_told_how_far_they_reach(step):
    theirs = (PROBLEM.grad(x + step * V) - PROBLEM.grad(x)) / step
    found = diagnose(theirs, PROBLEM, x, v=V)
    assert not found
    assert f"Yours is the Hessian by forward differences of the gradient with a step of {step:.3g}" in found.sentence
    assert diagnose(theirs, PROBLEM, x, v=V, accuracy=10 * step)


# --- Kronecker factors ---------------------------------------------------------------------------------------------


def gram(m, n=N):
    return m.T @ m / n


def joint(m, last=1.0):
    return np.concatenate([m, last * ONE], 1)


A = [gram(joint(X)), gram(joint(a))]
G = [gram(d1), gram(d2)]


@pytest.mark.parametrize(
    ("A", "G", "said"),
    [
        ([gram(joint(X, 0.0)), gram(joint(a, 0.0))], G, "in A the coordinate of the bias is 0, not 1"),
        ([gram(joint(X, 0.0)), A[1]], G, "in A the coordinate of the bias is 0, not 1 (layer 0)"),
        ([np.cov(joint(m).T, bias=True) for m in (X, a)], G, "A is the covariance of the inputs"),
        ([np.outer(joint(m).mean(0), joint(m).mean(0)) for m in (X, a)], G, "A is the square of the mean input"),
        ([A[0], gram(joint(X @ W1.T + b1))], G, "goes into the activation before the layer"),
        (A, [gram(d2 @ W2), G[1]], "its slope φ′ is missing"),
        (A, [np.outer(d.mean(0), d.mean(0)) for d in (d1, d2)], "G is the square of the mean gradient"),
    ],
)
def test_mistakes_in_factors(A, G, said):
    found = diagnose(list(zip(A, G, strict=True)), PROBLEM, x)
    assert said in found.defect, found.sentence


def test_factors_that_change_places_are_not_right():
    given = {"network": NETWORK, "x": x, "X": X, "y": y, "loss": "cross-entropy", "what": "factors"}
    pairs = lambda A, G: {f"A.{k}": M for k, M in enumerate(A)} | {f"G.{k}": M for k, M in enumerate(G)}
    assert judge(given | pairs(A, G) | {"claim": "kfac-empirical"}).right
    for wrong in (pairs(G, A), pairs(A[::-1], G[::-1])):
        assert not judge(given | wrong | {"claim": "kfac-empirical"}).right


def test_one_side_that_nothing_explains():
    found = diagnose([(A[0], G[0]), (A[1], G[1] @ G[1])], PROBLEM, x)
    assert "A is K-FAC's; G is off by" in found.sentence
    assert "in layer 2" in found.sentence


def test_inverses_of_factors_and_averages_that_began_with_the_identity():
    inverses = [(np.linalg.inv(M + 0.1 * np.eye(len(M))), np.linalg.inv(K + 0.2 * np.eye(len(K))))
                for M, K in zip(A, G, strict=True)]  # fmt: skip
    assert "the inverses of the factors of empirical K-FAC" in diagnose(inverses, PROBLEM, x).sentence
    begun = [tuple(0.9 * np.eye(len(M)) + 0.1 * M for M in pair) for pair in zip(A, G, strict=True)]
    assert "an average that began with the identity" in diagnose(begun, PROBLEM, x).sentence


def test_factors_of_sampled_labels():
    labels = rng.integers(0, C, (1, N))
    pairs = [(b.A, b.G) for b in curvature.kfac(PROBLEM, x, fisher="monte-carlo", labels=labels).blocks]
    assert diagnose(pairs, PROBLEM, x, labels=labels).kind == "kfac-monte-carlo"
    assert not diagnose(pairs, PROBLEM, x)


def test_convolutions():
    net = Sequential(Conv2d(2, 3, 2), Tanh(), Flatten(), Linear(12, 3))
    inputs, labels = rng.standard_normal((10, 2, 3, 3)), rng.integers(0, 3, 10)
    problem, at = refopt.Supervised(net, "cross-entropy", inputs, labels), net.init(rng)
    (A0, G0), (A1, G1) = ((b.A, b.G) for b in curvature.kfac(problem, at).blocks)
    last = np.append(np.arange(8).reshape(2, 4).T.ravel(), 8)
    found = diagnose([(A0[np.ix_(last, last)], G0), (A1, G1)], problem, at)
    assert "the patches have the channels last" in found.defect
    assert "times 4 in 0, 1 in 3" in diagnose([(4 * A0, G0), (A1, G1)], problem, at).sentence
    (mean, _), _ = ((b.A, b.G) for b in curvature.kfac(problem, at, sharing="reduce").blocks)
    assert "A is summed up as reduce, G as expand" in diagnose([(mean, G0), (A1, G1)], problem, at).defect


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("rule", ["pi", "factored"])
def test_factored_damping_of_a_matrix(rule, inverse):
    lam, blocks = 0.03, curvature.kfac(PROBLEM, x, fisher="exact").blocks
    pi = [b.pi if rule == "pi" else 1.0 for b in blocks]
    damped = [curvature.Kron(b.A + q * lam**0.5 * np.eye(len(b.A)), b.G + lam**0.5 / q * np.eye(len(b.G)), True)
              for b, q in zip(blocks, pi, strict=True)]  # fmt: skip
    theirs = curvature.BlockDiagonal(tuple(damped)).dense()
    order = layouts(PROBLEM, len(x))[3].order
    theirs = np.linalg.inv(theirs) if inverse else theirs
    found = diagnose(theirs[np.ix_(order, order)], PROBLEM, x)
    assert found.kind == ("inverse-" * inverse) + "kfac-exact"
    assert found.damping == pytest.approx(lam, rel=1e-6)
    assert ("π from the traces" if rule == "pi" else "π = 1") in found.sentence


def test_damping_without_the_product_of_both_is_no_factored_damping():
    blocks = curvature.kfac(PROBLEM, x).blocks
    sums = lambda b: ((b.A, b.G), (0.1 * np.eye(len(b.A)), b.G), (b.A, 0.1 * np.eye(len(b.G))))
    half = [sum(curvature.Kron(M, K, True).dense() for M, K in sums(b)) for b in blocks]
    theirs = np.zeros_like(H)
    theirs[:36, :36], theirs[36:, 36:] = half
    assert not diagnose(theirs, PROBLEM, x)


# --- coarse types ------------------------------------------------------------------------------------------------


def brief(array):
    """Rounded to bfloat16, as the bits of an npz file have it."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def test_in_bfloat16_the_closest_reading_counts():
    """What rounding explains is wide enough for both the right matrix and the mistaken one."""
    decayed = S + 0.1 * x
    wide = (brief(decayed.T @ decayed / N).astype(np.uint32) << 16).view(np.float32)
    given = {"network": NETWORK, "x": x, "X": X, "y": y, "loss": "cross-entropy", "what": "matrix"}
    found = judge(given | {"theirs": wide, "precision": "bfloat16"}).found
    assert found.tolerance > 0.1 > np.linalg.norm(decayed.T @ decayed / N - S.T @ S / N) / np.linalg.norm(S.T @ S / N)
    assert "the weight decay is in the gradients" in found.defect


@pytest.mark.parametrize("kind", ["hessian", "ggn", "empirical"])
def test_bfloat16_is_judged_as_such(kind, tmp_path):
    M = {"hessian": H, "ggn": F, "empirical": S.T @ S / N}[kind]
    given = {"network": NETWORK, "x": x, "X": X, "y": y, "loss": "cross-entropy", "what": "matrix", "claim": kind}
    wide = (brief(M).astype(np.uint32) << 16).view(np.float32)
    for stored in ({"theirs": brief(M).view("V2")}, {"theirs": wide, "precision": "bfloat16"}):
        np.savez(tmp_path / "dump.npz", **given, **stored)
        assert judge(tmp_path / "dump.npz").right
    doubled = judge(given | {"theirs": 2 * wide, "precision": "bfloat16"})
    assert not doubled.right
    assert "doubled" in doubled.sentence
    assert not judge(given | {"theirs": wide}).right
    half = judge(given | {"theirs": M.astype(np.float16)})
    assert half.right
    assert "averaged over the samples, to" in half.sentence


# --- Jacobians, differences, positions, and layers that are unlike the others ----------------------------------------


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda M: sum(j.reshape(-1, C) @ m @ j for j, m in zip(J, M, strict=True)) / N, "where Jₙᵀ is meant"),
        (lambda M: sum(j.reshape(-1, C) @ m @ j.reshape(-1, C).T for j, m in zip(J, M, strict=True)) / N, "both sides"),
        (lambda M: J.mean(0).T @ M.mean(0) @ J.mean(0), "averaged over the samples before they meet"),
    ],
)
def test_jacobians_that_are_reshaped_or_averaged(made, said):
    found = diagnose(made(diagonals(p) - p[:, :, None] * p[:, None, :]), PROBLEM, x, claim="ggn")
    assert said in found.defect


@pytest.mark.parametrize(
    ("step", "form", "whole"),
    [(0.05, "forward", True), (1e-4, "central", True)]
    + [(step, form, False) for step in (1e-5, 1e-3, 0.05, 0.5) for form in ("forward", "central", "backward")],
)
def test_the_step_of_differences_is_found(step, form, whole):
    """And is called too large where they leave more than half a percent."""
    g = PROBLEM.grad
    differ = {
        "forward": lambda v: (g(x + step * v) - g(x)) / step,
        "central": lambda v: (g(x + step * v) - g(x - step * v)) / (2 * step),
        "backward": lambda v: (g(x) - g(x - step * v)) / step,
    }[form]
    v = np.random.default_rng(0).standard_normal(x.size)
    theirs = np.stack([differ(e) for e in np.eye(x.size)], 1) if whole else differ(v)
    exact = H if whole else H @ v
    leaves = np.linalg.norm(theirs - exact) / np.linalg.norm(theirs)
    found = diagnose(theirs, PROBLEM, x, None if whole else v, claim="hessian")
    if leaves > 1e-9:  # else their rounding is all that is left
        assert found.kind == ("hessian-by-differences" if leaves > 5e-3 else "")
        assert f"{form} differences of the gradient with a step of {step:.3g}," in found.sentence
        assert found.residual == pytest.approx(leaves, rel=1e-3)
        assert bool(found.defect) == (leaves > 5e-3)


def test_differences_are_let_pass_where_they_are_said_to_be():
    v = np.random.default_rng(0).standard_normal(x.size)
    theirs = (PROBLEM.grad(x + 1e-6 * v) - PROBLEM.grad(x)) / 1e-6
    assert not judge(DUMP | {"what": "product", "claim": "hessian", "theirs": theirs, "v": v}).right
    assert judge(DUMP | {"what": "product", "claim": "hessian", "theirs": theirs, "v": v, "accuracy": 1e-4}).right


DUMP = {"network": NETWORK, "x": x, "X": X, "y": y, "loss": "cross-entropy"}


@pytest.mark.parametrize("layer", [0, 2])
def test_one_layer_that_is_stacked_in_the_other_way(layer):
    order = np.arange(x.size)
    slot = next(s for s in NET.plan.slots if s.name == f"{layer}.W")
    order[slot.part] = order[slot.part].reshape(slot.shape).T.ravel()
    verdict = judge(DUMP | {"what": "matrix", "claim": "hessian", "theirs": H[np.ix_(order, order)]})
    assert not verdict.right
    assert f"row-stacked, but column-stacked in layer {layer}" in verdict.sentence
    assert (verdict.found.kind, verdict.found.vec) == ("hessian", "mixed")


CONV = Sequential(Conv2d(2, 3, 2), Tanh(), Flatten(), Linear(12, 3))
IMAGES = np.random.default_rng(5).standard_normal((10, 2, 3, 3))
PICTURES = refopt.Supervised(CONV, "cross-entropy", IMAGES, np.arange(10) % 3)
WEIGHTS = CONV.init(np.random.default_rng(6))
PAIRS = [(block.A, block.G) for block in curvature.kfac(PICTURES, WEIGHTS).blocks]


def test_factors_that_change_places_in_one_layer():
    found = diagnose([PAIRS[0][::-1], PAIRS[1]], PICTURES, WEIGHTS)
    assert "but (G, A) in layer 0" in found.sentence
    assert found.defect == "factors change places"
    assert not diagnose(PAIRS, PICTURES, WEIGHTS).defect


@pytest.mark.parametrize(
    ("factor", "said"),
    [(4.0, "both factors are summed over the positions"), (0.25, "both factors are means over the positions")],
)
def test_sums_and_means_over_positions(factor, said):
    """The convolution is applied at four positions of each image, the last layer at one."""
    found = diagnose([(factor * PAIRS[0][0], PAIRS[0][1]), PAIRS[1]], PICTURES, WEIGHTS)
    assert said in found.sentence
    assert "positions" not in diagnose(PAIRS, PICTURES, WEIGHTS).sentence


# --- a transpose on one side only ----------------------------------------------------------------------------------


def test_rows_in_another_order_than_columns():
    """Weights (in, out) in what comes out, (out, in) in what goes in."""
    order = next(each.order for each in layouts(PROBLEM, len(x)) if each.vec == "column" and each.bias == "after")
    for theirs, v in ((F[:, order], None), (F[order], None), ((F @ V)[order], V), (F @ V[np.argsort(order)], V)):
        found = diagnose(theirs, PROBLEM, x, v, claim="ggn")
        assert found.kind == "ggn", found.sentence
        assert "a transpose is on one side only" in found.defect
        assert "column-stacked" in found.sentence


def test_weights_that_are_not_transposed_on_the_way_back():
    """A layer with as many outputs as inputs hides it: shapes fit. jvp is right, vjp is not."""
    net = Sequential(Linear(4, 5), Tanh(), Linear(5, 5), Tanh(), Linear(5, 3))
    draw = np.random.default_rng(0)
    inputs, labels, at = draw.standard_normal((20, 4)), draw.integers(0, 3, 20), net.init(draw)
    problem = refopt.Supervised(net, "cross-entropy", inputs, labels)
    w1, c1, w2, c2, w3, c3 = net.unravel(at).values()
    h = np.tanh(inputs @ w1.T + c1)
    k = np.tanh(h @ w2.T + c2)
    q = np.exp(k @ w3.T + c3)
    q = q / q.sum(1, keepdims=True)

    def product(v, back):
        v1, d1, v2, d2, v3, d3 = net.unravel(v).values()
        dh = (1 - h * h) * (inputs @ v1.T + d1)
        dk = (1 - k * k) * (dh @ w2.T + h @ v2.T + d2)
        dz = dk @ w3.T + k @ v3.T + d3
        u3 = (q * dz - q * (q * dz).sum(1, keepdims=True)) / 20
        u2 = (u3 @ w3) * (1 - k * k)
        u1 = (u2 @ back) * (1 - h * h)
        return flat(u1.T @ inputs, u1.sum(0), u2.T @ h, u2.sum(0), u3.T @ k, u3.sum(0))

    v = draw.standard_normal(at.size)
    assert diagnose(product(v, w2), problem, at, v=v, claim="ggn").defect == ""
    found = diagnose(product(v, w2.T), problem, at, v=v, claim="ggn")
    assert found.defect == "in layer 2 W stands for Wᵀ in what is passed back, on one side"
    whole = np.stack([product(e, w2.T) for e in np.eye(at.size)], 1)
    for theirs in (whole, whole.T):
        assert "in layer 2 W stands for Wᵀ" in diagnose(theirs, problem, at, claim="ggn").defect


def test_factors_that_are_wrong_are_so_in_coarse_types_too():
    """What rounding explains is wide; the closest reading counts."""
    wide = lambda M: (brief(M).astype(np.uint32) << 16).view(np.float32)
    dump = DUMP | {"what": "factors", "precision": "bfloat16", "claim": "kfac-empirical"}
    right = {f"{name}.{k}": wide(M) for name, Ms in (("A", A), ("G", G)) for k, M in enumerate(Ms)}
    assert judge(dump | right).right
    slope = judge(dump | right | {"G.0": wide(gram(d2 @ W2))})
    assert not slope.right
    assert "its slope φ′ is missing" in slope.sentence
    assert not judge(dump | right | {"G.0": wide(2 * G[0])}).right


# --- samples left out, parameters held constant, eigenvalues changed ------------------------------------------------


def test_samples_that_are_left_out():
    """As by a loader that drops the last batch when it is not full."""
    kept = S[:20]
    found = diagnose(kept.T @ kept / 20, PROBLEM, x, claim="empirical")
    assert found.defect == "4 of 24 samples are left out, the first sample 20"
    assert found.scale == pytest.approx(24 / 20)


def test_parameters_that_are_taken_to_be_constant():
    theirs = H.copy()
    theirs[30:36], theirs[:, 30:36] = 0.0, 0.0
    found = diagnose(theirs, PROBLEM, x, claim="hessian")
    assert not found
    assert "6 rows and columns are zero, the first 30, as if these parameters were constant" in found.sentence


@pytest.mark.parametrize(("change", "said"), [(abs, "have lost their sign"), (lambda v: v.clip(0), "are set to zero")])
def test_hessians_that_are_made_positive(change, said):
    values, vectors = np.linalg.eigh(H)
    theirs = (vectors * change(values)) @ vectors.T
    for found in (diagnose(theirs, PROBLEM, x, claim="hessian"), diagnose(theirs @ V, PROBLEM, x, v=V)):
        assert found.defect == f"its negative eigenvalues {said}"
