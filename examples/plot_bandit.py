"""
Natural policy gradient on a bandit
===================================

Natural gradient needs no network: a density that can be differentiated will do. Here it is a *policy*, the
probabilities π of pulling one of three arms that pay 0.2, 0.5 and 0.8 on average. Its gradient is the mean of payments
times scores, its Fisher matrix that of scores times scores.

.. math::

   J(θ) = \\sum_i π_i r_i, \\qquad \\nabla J = \\mathrm{E}\\,[r\\,\\nabla \\log π], \\qquad
   F = \\mathrm{E}\\,[\\nabla \\log π\\,(\\nabla \\log π)^T]

The same policies are written in three ways: by logits; by numbers that are an affine map away from them; and arm by
arm, as the probability of the first, then of the second if it is not the first.

S. Kakade, A natural policy gradient, *NeurIPS* 2001.
"""

import autograd.numpy as anp
import matplotlib.pyplot as plt
import numpy as np
from autograd import jacobian

from refopt.curvature import fisher_from_log_prob
from refopt.stochastic import natural_gradient

payments = np.array([0.2, 0.5, 0.8])
M, shift = np.array([[3.0, 0.0], [2.0, 0.5]]), np.array([1.0, -1.0])


def by_logits(theta):
    odds = anp.exp(anp.concatenate([theta, anp.zeros(1)]))
    return anp.log(odds / anp.sum(odds))


def by_affine(phi):
    return by_logits(M @ phi + shift)


def one_by_one(s):
    first, second = -anp.log1p(anp.exp(-s))
    not_first, not_second = -anp.log1p(anp.exp(s))
    return anp.stack([first, not_first + second, not_first + not_second])


# every one begins with the same policy
begin = np.array([0.7, 0.25, 0.05])
logits = np.log(begin[:2] / begin[2])
starts = {
    "logits": (by_logits, logits),
    "an affine map of them": (by_affine, np.linalg.solve(M, logits - shift)),
    "arm by arm": (one_by_one, np.log([begin[0] / (1 - begin[0]), begin[1] / begin[2]])),
}

# %%
# Gradient and Fisher matrix are exact here: three arms are all the outcomes there are, each with its probability.


def path(log_policy, theta, eta, steps, natural=True):
    """The policies that steps along the gradient, or the natural one, lead to."""
    scores, params = jacobian(log_policy), natural_gradient.Params(step=eta, damping=0.0)
    state, found = natural_gradient.init(None, theta, params), []
    for _ in range(steps + 1):
        policy, S = np.exp(log_policy(state.x)), scores(state.x)
        found.append(policy)
        F = fisher_from_log_prob(None, state.x, range(3), lambda theta, y, S=S: S[y], weights=policy)
        grad = -S.T @ (policy * payments)  # of the loss −J
        state = natural_gradient.update(state, grad, params, fisher=F if natural else np.eye(2))
    return np.array(found)


plain = {name: path(*start, 0.1, 400, natural=False) for name, start in starts.items()}
natural = {name: path(*start, 0.1, 100) for name, start in starts.items()}

# %%
# The flow that natural gradient follows is known, πᵢ ∝ πᵢ(0) exp(rᵢt), whatever the parameters. In logits it is a
# straight line, where steps of any length are exact; an affine map changes nothing; in parameters that are a curved map
# away a step errs by O(η²), all steps by O(η). Steps along the plain gradient depend on the parameters altogether.


def flow(t):
    odds = begin * np.exp(payments * t[:, None])
    return odds / odds.sum(axis=1, keepdims=True)


for name, start in starts.items():
    errors = [
        abs(path(*start, 10.0 / steps, steps) - flow(np.linspace(0, 10, steps + 1))).max() for steps in (100, 200)
    ]
    print(f"{name:22s} from the flow: {errors[0]:.1e}, with steps of half the length {errors[1]:.1e}")
for what, paths in (("gradients", plain), ("natural gradients", natural)):
    apart = abs(paths["arm by arm"] - paths["logits"]).max()
    print(f"policies by logits and arm by arm: {apart:.1e} apart after as many steps along {what}")

# %%
# Who does not know what the arms pay pulls some, here 50 at a time, and takes means over these in place of
# expectations; what they pay is measured from their mean. By logits the plain gradient hardly moves where a probability
# is small, and ends at the arm that pays 0.5. There F is as small as the gradient is, and the natural one goes on.


def learnt(natural, seed, eta, steps=60, pulls=50):
    """What every policy on the way pays on average, by logits."""
    rng, params = np.random.default_rng(seed), natural_gradient.Params(step=eta, damping=1e-2)
    state, scores, found = natural_gradient.init(None, logits, params), jacobian(by_logits), []
    for _ in range(steps):
        policy, S = np.exp(by_logits(state.x)), scores(state.x)
        found.append(policy @ payments)
        arms = rng.choice(3, size=pulls, p=policy)
        paid = (rng.random(pulls) < payments[arms]).astype(float)
        grad = -S[arms].T @ (paid - paid.mean()) / pulls
        F = S[arms].T @ S[arms] / pulls if natural else np.eye(2)
        state = natural_gradient.update(state, grad, params, fisher=F)
    return np.array(found)


rewards = {
    "gradient, η = 0.3": [learnt(False, seed, 0.3) for seed in range(20)],
    "gradient, η = 1": [learnt(False, seed, 1.0) for seed in range(20)],
    "natural gradient, η = 0.3": [learnt(True, seed, 0.3) for seed in range(20)],
}
for name, runs in rewards.items():
    print(f"{name:26s} pays {np.mean(runs, axis=0)[-1]:.2f} after 60 steps, the mean of 20 runs")

figure, panels = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
colours = dict(zip(starts, ("tab:blue", "tab:orange", "tab:green"), strict=True))
styles = dict(zip(starts, ("-", "--", ":"), strict=True))
widths = dict(zip(starts, (3.5, 2.0, 1.4), strict=True))
for panel, (title, paths) in zip(panels, (("gradient", plain), ("natural gradient", natural)), strict=False):
    for name, policies in paths.items():
        panel.plot(
            policies[:, 0], policies[:, 2], styles[name], color=colours[name], linewidth=widths[name], label=name
        )
    panel.plot(*begin[[0, 2]], "o", color="0.2", markersize=5)
    panel.plot([0, 1], [1, 0], color="0.8", linewidth=0.8)
    panel.set(title=title, xlabel="probability of the arm that pays 0.2", xlim=(0, 1), ylim=(0, 1))
    panel.grid(color="0.92")
panels[0].set_ylabel("probability of the arm that pays 0.8")
panels[0].legend(fontsize=8, loc="upper right")
for (name, runs), colour in zip(rewards.items(), ("0.6", "0.3", "tab:red"), strict=True):
    mean, spread = np.mean(runs, axis=0), np.std(runs, axis=0)
    panels[2].plot(mean, color=colour, label=name)
    panels[2].fill_between(np.arange(len(mean)), mean - spread, mean + spread, color=colour, alpha=0.15, linewidth=0)
panels[2].axhline(0.8, color="0.5", linestyle=":", linewidth=0.8)
panels[2].set(title="50 pulls a step, mean of 20 runs", xlabel="step", ylabel="mean payment")
panels[2].legend(fontsize=8, loc="lower right")
panels[2].grid(color="0.92")
plt.show()
