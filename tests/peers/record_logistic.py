"""Logistic regression with a ridge as scikit-learn solves it: ``python tests/peers/record_logistic.py``.

    f(w) = 1/N Σ log(1 + exp(−yₙwᵀxₙ)) + ½ρ‖w‖²

Its solver "newton-cholesky" with the smallest tolerance that it obeys; what its "lbfgs" makes of the same is kept too.
"""

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent / "logistic.npz"
RIDGE = 1e-3


def data():
    """300 labels ±1 and eight features of different sizes."""
    rng = np.random.default_rng(2)
    X = rng.standard_normal((300, 8)) * np.logspace(0, -0.7, 8)
    return X, np.where(rng.random(300) < 1 / (1 + np.exp(-3 * X @ rng.standard_normal(8))), 1.0, -1.0)


def record():
    import sklearn
    from sklearn.linear_model import LogisticRegression

    X, y = data()
    found = {}
    for solver in ("newton-cholesky", "lbfgs"):
        model = LogisticRegression(
            C=1 / (RIDGE * len(y)), fit_intercept=False, solver=solver, tol=1e-15, max_iter=10_000
        )
        found[solver] = model.fit(X, y).coef_[0]
    return {"X": X, "y": y, "versions": f"scikit-learn {sklearn.__version__}, numpy {np.__version__}", **found}


if __name__ == "__main__":
    np.savez_compressed(HERE, **record())
