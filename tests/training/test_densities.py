"""Natural gradient of densities without a network: policies of a bandit, and a distribution that is fitted."""

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad

from refopt.curvature import fisher_from_log_prob
from refopt.stochastic import natural_gradient

PAYMENTS, BEGIN = np.array([0.2, 0.5, 0.8]), np.array([0.7, 0.25, 0.05])


def flow(t):
    """πᵢ ∝ πᵢ(0) exp(rᵢt) has dπᵢ/dt = πᵢ(rᵢ − Σ πⱼrⱼ), and the natural gradient of Σ πᵢrᵢ leads along it."""
    odds = BEGIN * np.exp(PAYMENTS * t)
    return odds / odds.sum()


def by_logits(theta):
    """π and its derivatives by θ₁, θ₂, the third logit being 0."""
    odds = np.exp([*theta, 0.0])
    policy = odds / odds.sum()
    return policy, (np.diag(policy) - np.outer(policy, policy))[:, :2]


def arm_by_arm(s):
    """π₁ = σ(s₁), π₂ = (1 − π₁)σ(s₂)."""
    a, b = 1 / (1 + np.exp(-s))
    policy = np.array([a, (1 - a) * b, (1 - a) * (1 - b)])
    return policy, np.array([[a * (1 - a), 0.0], [-a * (1 - a) * b, (1 - a) * b * (1 - b)],
                             [-a * (1 - a) * (1 - b), -(1 - a) * b * (1 - b)]])  # fmt: skip


def end(policy_of, theta, t, steps):
    """The policy after time t in so many steps; the Fisher matrix is Σ ∇πᵢ∇πᵢᵀ/πᵢ over all arms."""
    params = natural_gradient.Params(step=t / steps, damping=0.0)
    state = natural_gradient.init(None, theta, params)
    for _ in range(steps):
        policy, D = policy_of(state.x)
        state = natural_gradient.update(state, -D.T @ PAYMENTS, params, fisher=D.T @ (D / policy[:, None]))
    return policy_of(state.x)[0]


LOGITS = np.log(BEGIN[:2] / BEGIN[2])


@pytest.mark.parametrize("steps", [1, 7])
def test_logits_follow_the_flow_exactly_and_so_does_any_affine_map_of_them(steps):
    """Their natural gradient is rᵢ − r₃, wherever they are."""
    M, c = np.array([[3.0, 0.0], [2.0, 0.5]]), np.array([1.0, -1.0])

    def mapped(phi):
        policy, D = by_logits(M @ phi + c)
        return policy, D @ M

    for policy_of, theta in ((by_logits, LOGITS), (mapped, np.linalg.solve(M, LOGITS - c))):
        assert np.allclose(end(policy_of, theta, 5.0, steps), flow(5.0), rtol=1e-12)


def test_other_parameters_follow_it_to_first_order():
    """Half the step, half the error."""
    start = np.log([BEGIN[0] / (1 - BEGIN[0]), BEGIN[1] / BEGIN[2]])
    errors = [abs(end(arm_by_arm, start, 5.0, steps) - flow(5.0)).max() for steps in (100, 200, 400)]
    assert 1e-5 < errors[0] < 1e-2
    assert errors[1:] == pytest.approx([errors[0] / 2, errors[0] / 4], rel=0.05)


def test_by_moments_one_step_fits_a_normal_distribution():
    """In θ = (E y, E y²) the gradient is F(θ − means of the data): a whole step is the maximum of the likelihood."""

    def log_prob(theta, y):
        variance = theta[1] - theta[0] ** 2
        return -0.5 * (y - theta[0]) ** 2 / variance - 0.5 * anp.log(variance)

    data, theta = np.array([2.1, 1.3, 3.8, 2.6, 1.9]), np.array([0.5, 3.0])
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)
    samples = theta[0] + (theta[1] - theta[0] ** 2) ** 0.5 * nodes
    F = fisher_from_log_prob(log_prob, theta, samples, weights=weights / weights.sum())
    g = -grad(lambda t: anp.mean(log_prob(t, data)))(theta)
    params = natural_gradient.Params(step=1.0, damping=0.0)
    new = natural_gradient.update(natural_gradient.init(None, theta, params), g, params, fisher=F)
    assert np.allclose(new.x, [data.mean(), (data**2).mean()], rtol=1e-12)
