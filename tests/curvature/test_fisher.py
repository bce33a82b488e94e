"""Fisher matrices by sampled and given labels, and of any density; moments of gradients over batches."""

from fractions import Fraction
from itertools import pairwise

import autograd.numpy as anp
import numpy as np
import pytest

import refopt
from curvature.reference import draw_labels, near
from networks.cases import CASES
from networks.independent import LOSSES
from refopt import curvature
from refopt.networks import Linear

# --- labels ------------------------------------------------------------------------------------------------


def problem_of(loss="cross-entropy", reduction="mean", name="dense GELU"):
    case = CASES[name]
    y = draw_labels(loss, case.model(case.x, case.X), np.random.default_rng(3))
    return refopt.Supervised(case.network, loss, case.X, y, reduction), case.x


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("unit", ["sample", "token"])
def test_sampled_labels_are_right_on_average(loss, unit):
    """Batches of draws, each an independent estimate: their mean is the exact matrix to a few standard errors."""
    problem, x = problem_of(loss)
    F, rng = curvature.fisher(problem, x), np.random.default_rng(5)
    draws = np.array([curvature.fisher(problem, x, "monte-carlo", samples=20, rng=rng, unit=unit) for _ in range(60)])
    unbiased(draws, F)
    assert np.linalg.norm(draws.std(0)) < 1.5 * np.linalg.norm(F)


def unbiased(draws, F):
    """The mean of k draws is as far from F as their spread says, ‖·‖_F: its square is Σ variances/k on average."""
    error, spread = np.mean(draws, 0) - F, np.std(draws, 0, ddof=1) / len(draws) ** 0.5
    assert np.linalg.norm(error) < 2.0 * np.linalg.norm(spread)


def test_sampled_labels_of_tokens():
    """Drawn independently for each token; the unit changes the variance, not the mean."""
    problem, x = problem_of(name="transformer")
    F, rng = curvature.fisher(problem, x), np.random.default_rng(6)
    for unit in ("sample", "token"):
        draws = [curvature.fisher(problem, x, "monte-carlo", samples=8, rng=rng, unit=unit) for _ in range(50)]
        unbiased(draws, F)


def test_labels_handed_in_are_those_of_the_generator():
    problem, x = problem_of("poisson")
    source = np.random.default_rng(7)
    labels = np.stack([problem.at(x).sample(source) for _ in range(3)])
    drawn = curvature.fisher(problem, x, "monte-carlo", samples=3, rng=7)
    assert np.array_equal(curvature.fisher(problem, x, "monte-carlo", labels=labels), drawn)
    one_by_one = [curvature.fisher(problem, x, "empirical", labels=y) for y in labels]
    near(drawn, np.mean(one_by_one, 0))


def test_all_labels_handed_in_with_equal_chances():
    """At zero logits all classes are as likely: every label once is the exact expectation, to rounding."""
    X = np.random.default_rng(8).standard_normal((4, 2))
    problem = refopt.Supervised(Linear(2, 3), "cross-entropy", X, np.zeros(4, int))
    x = np.zeros(9)
    labels = np.broadcast_to(np.arange(3)[:, None], (3, 4))
    near(curvature.fisher(problem, x, "monte-carlo", labels=labels), curvature.fisher(problem, x))


def test_a_seed_draws_the_same_labels_wherever_it_is_given():
    problem, x = problem_of("squared")
    details = {"kind": "monte-carlo", "samples": 2, "rng": 11}
    F = curvature.fisher(problem, x, **details)
    near(curvature.diagonal(problem, x, "fisher", **details), np.diag(F))
    near(curvature.block_diagonal(problem, x, "fisher", **details).blocks[0].dense(), F[:16, :16])
    near(curvature.solve(problem, x, x, 1.0, "fisher", **details), np.linalg.solve(F + np.eye(x.size), x), 1e5)
    with pytest.raises(TypeError, match="rng="):
        curvature.diagonal(problem, x, "fisher", kind="monte-carlo")


@pytest.mark.parametrize("kind", ["empirical", "monte-carlo"])
def test_centred(kind):
    problem, x = problem_of("squared", "sum")
    labels = None if kind == "empirical" else np.random.default_rng(1).standard_normal((3, *problem.y.shape))
    s = np.concatenate([problem.per_sample_grad(x, y) for y in ([problem.y] if labels is None else labels)])
    s = (s - s.mean(0)) / (len(s) / problem.samples) ** 0.5
    found = curvature.operators.fisher(problem, x, kind, labels=labels, centred=True)
    near(found.dense(), s.T @ s)
    near(found.diagonal(), (s**2).sum(0))
    near(found.matvec(x), s.T @ (s @ x))


def test_arguments_that_make_no_sense():
    problem, x = problem_of()
    for message, details in (
        ("kind is one of", {"kind": "true"}),
        ("unit is", {"unit": "sequence"}),
        ("takes no labels", {"labels": problem.y}),
        ("samples must be", {"kind": "monte-carlo", "samples": 0, "rng": 0}),
        ("labels given are 2", {"kind": "monte-carlo", "samples": 3, "labels": np.stack([problem.y, problem.y])}),
        ("one for each sample", {"kind": "empirical", "labels": np.stack([problem.y, problem.y])}),
        ("labels are like y", {"kind": "empirical", "labels": problem.y[:2]}),
        ("a label beyond", {"kind": "empirical", "labels": problem.y + 7}),
    ):
        with pytest.raises(ValueError, match=message):
            curvature.fisher(problem, x, **details)
    with pytest.raises(TypeError, match="rng="):
        curvature.fisher(problem, x, "monte-carlo")
    with pytest.raises(TypeError, match="only the Fisher matrices"):
        curvature.diagonal(problem, x, "ggn", samples=2)


# --- any density -------------------------------------------------------------------------------------------


def normal(theta, y):
    mean, log_spread = theta[0], theta[1]
    return -0.5 * ((y - mean) / anp.exp(log_spread)) ** 2 - log_spread


@pytest.mark.parametrize("jac", ["autograd", "cs", "3-point"])
def test_normal_density_from_nodes_and_weights(jac):
    """N(μ, e^{2s}): F = diag(e^{−2s}, 2), from the four nodes that integrate the squares of its scores exactly."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    theta = np.array([1.5, -0.3])
    F = curvature.fisher_from_log_prob(normal, theta, 1.5 + np.exp(-0.3) * nodes, jac, weights=weights / weights.sum())
    near(F, np.diag([np.exp(0.6), 2.0]), slack=1e2 if jac != "3-point" else 1e7)


def test_samples_of_the_model_and_of_other_data():
    """N(0, 1) seen through data of deviation 3: the mean of squared scores is 9, not Fisher's 1."""
    rng = np.random.default_rng(9)
    score = lambda theta, y: np.array([y - theta[0]])
    own = curvature.fisher_from_log_prob(None, [0.0], rng.standard_normal(4000), jac=score)
    others = curvature.fisher_from_log_prob(None, [0.0], 3 * rng.standard_normal(4000), jac=score)
    assert abs(own[0, 0] - 1) < 5 * (2 / 4000) ** 0.5
    assert abs(others[0, 0] - 9) < 5 * 9 * (2 / 4000) ** 0.5


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("jac", [lambda theta, y: y - theta, "3-point"], ids=["given", "differences"])
def test_densities_of_every_kind(namespace, jac, dtype):
    """N(θ, I) in two variables: scores y − θ, and differences of a quadratic without error but rounding."""
    theta, samples = np.array([0.5, -1.0], dtype), np.random.default_rng(8).standard_normal((6, 2)).astype(dtype)
    log_prob = lambda theta, y: -0.5 * (y - theta) @ (y - theta)
    F = curvature.fisher_from_log_prob(log_prob, namespace.asarray(theta), namespace.asarray(samples), jac)
    assert namespace.owns(F)
    scores = (samples - theta).astype(float)
    eps = float(np.finfo(dtype).eps)
    loss = 1e2 * (eps if callable(jac) else eps ** (2 / 3))
    np.testing.assert_allclose(namespace.to_numpy(F), scores.T @ scores / 6, rtol=0, atol=loss * (scores**2).max())
    assert namespace.to_numpy(F).dtype == dtype


def test_integer_parameters_are_numbers():
    F = curvature.fisher_from_log_prob(lambda theta, y: -0.5 * (y - theta[0]) ** 2, np.array([2]), np.array([1.0, 4.0]))
    near(F, np.array([[2.5]]))


def test_a_categorical_by_enumeration_is_exact_in_fractions():
    """Scores e_y − p in the logits: diag(p) − ppᵀ."""
    odds = [1, 2, 5]
    p = [Fraction(k, 8) for k in odds]
    by_hand = [[float((a if i == j else 0) - a * b) for j, b in enumerate(p)] for i, a in enumerate(p)]
    log_p = lambda z, y: z[y] - anp.log(anp.sum(anp.exp(z)))
    F = curvature.fisher_from_log_prob(log_p, np.log(odds), range(3), weights=np.array(odds) / 8)
    near(F, np.array(by_hand))


def test_densities_that_make_no_sense():
    with pytest.raises(ValueError, match="no samples"):
        curvature.fisher_from_log_prob(normal, np.zeros(2), [])
    with pytest.raises(ValueError, match="one number for each of 2 samples"):
        curvature.fisher_from_log_prob(normal, np.zeros(2), [1.0, 2.0], weights=[0.5])
    with pytest.raises(ValueError, match="scores have shape"):
        curvature.fisher_from_log_prob(None, np.zeros(2), [1.0], jac=lambda theta, y: np.ones(3))


# --- moments -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["sum", "mean", "mean-elements", "mean-tokens"])
@pytest.mark.parametrize("sizes", [[5], [1, 1, 1, 1, 1], [2, 3]])
def test_moments_do_not_depend_on_batches(sizes, reduction):
    problem, x = problem_of("poisson", reduction)
    s = problem.per_sample_grad(x)
    ends = np.cumsum([0, *sizes])
    batches = [(problem.X[i:j], problem.y[i:j]) for i, j in pairwise(ends)]
    found = curvature.gradient_moments(problem, x, iter(batches))
    assert found.samples == 5
    near(found.mean, s.mean(0))
    near(found.second_moment, (s**2).mean(0))
    near(found.variance, s.var(0))
    near(found.empirical_fisher, np.diag(curvature.fisher(problem, x, "empirical")))


def test_moments_where_a_batch_has_no_token_that_counts():
    case = CASES["transformer"]
    y = np.array([[-100] * 4, [1, 2, -100, 0], [3, -100, -100, -100]])
    problem = refopt.Supervised(case.network, "cross-entropy", case.X, y, "mean-tokens")
    found = curvature.gradient_moments(problem, case.x, [(case.X[i : i + 1], y[i : i + 1]) for i in range(3)])
    assert found.c == problem.c == 1 / 4
    near(found.empirical_fisher, curvature.diagonal(problem, case.x, "empirical"))


def test_moments_of_one_sample_have_no_variance():
    problem, x = problem_of("squared")
    found = curvature.gradient_moments(problem, x, [(problem.X[:1], problem.y[:1])])
    assert np.all(found.variance >= 0.0)
    assert np.all(found.variance <= 1e-14 * found.second_moment.max())


def test_the_square_of_a_batch_is_not_the_square_of_its_samples():
    problem, x = problem_of("squared", "mean")
    naive = problem.grad(x) ** 2
    found = curvature.gradient_moments(problem, x)
    assert np.all(naive <= found.second_moment * (1 + 1e-12))
    assert naive.sum() < 0.7 * found.second_moment.sum()


def test_batches_that_make_no_sense():
    problem, x = problem_of()
    with pytest.raises(ValueError, match="no batches"):
        curvature.gradient_moments(problem, x, [])
    with pytest.raises(TypeError, match=r"data for a refopt\.Supervised"):
        curvature.gradient_moments(refopt.LeastSquares(lambda x: x), x, [(problem.X, problem.y)])
