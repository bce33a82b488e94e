"""The curvature matrices of a problem as arrays: small enough to look at, and to check everything else against.

The definitions are those of ``refopt.curvature.operators``, the operators with the same names and arguments, of which
these are ``dense()``. In flat order: the arrays of a network in C order, layer by layer, weight (out, in) before bias.

Each takes `limit`, the bytes that the result may have, 2³⁰ unless given: rows · columns · bytes of a number, so
P = 11 585 parameters in float64. Beyond it a MemoryError names the operator to use.
"""

from typing import Any

import numpy as np

from refopt.curvature import operators
from refopt.curvature.blocks import BlockDiagonal
from refopt.curvature.matrices import Curvature
from refopt.curvature.traces import Estimate, hutchinson, xdiag
from refopt.ops import Matrix
from refopt.room import LIMIT

OF = ("hessian", "ggn", "functional-hessian", "fisher", "empirical")
ESTIMATORS = ("exact", "hutchinson", "xdiag")


def hessian(problem: Any, x: Any, limit: float = LIMIT) -> Matrix:
    """∇²fun (P, P) at x, of any problem; see ``operators.hessian``.   Cost: P products, of about 2.5 gradients each."""
    return operators.hessian(problem, x).dense(limit)


def ggn(problem: Any, x: Any, limit: float = LIMIT) -> Matrix:
    """G = c Σ Jₙᵀ ∇²ℓₙ Jₙ (P, P) at x.   Cost: 2NCP² flops, NP² for a network of linear maps and activations."""
    return operators.ggn(problem, x).dense(limit)


def functional_hessian(problem: Any, x: Any, limit: float = LIMIT) -> Matrix:
    """H − G (P, P) at x, c Σ ∂ℓₙ/∂fₙₖ ∇²fₙₖ: what the Gauss-Newton matrix drops.   Cost: P products."""
    return operators.functional_hessian(problem, x).dense(limit)


def jacobian(problem: Any, x: Any, limit: float = LIMIT) -> Matrix:
    """J (N·…·C, P) at x, of outputs or residuals: row nC + k is the gradient of output k of sample n."""
    return operators.jacobian(problem, x).dense(limit)


def ntk(problem: Any, x: Any, limit: float = LIMIT) -> Matrix:
    """JJᵀ (N·…·C, N·…·C) at x, the empirical neural tangent kernel."""
    return operators.ntk(problem, x).dense(limit)


def fisher(
    problem: Any,
    x: Any,
    kind: str = "exact",
    labels: Any = None,
    samples: int = 1,
    rng: Any = None,
    centred: bool = False,
    unit: str = "sample",
    limit: float = LIMIT,
) -> Matrix:
    """Fisher's matrix (P, P) at x: exact, by labels drawn from the model, or empirical; see ``operators.fisher``.

    "exact" F = c Σ E[sₙsₙᵀ];  "monte-carlo" its unbiased estimate;  "empirical" c Σ sₙsₙᵀ at the labels of the data.
    """
    return operators.fisher(problem, x, kind, labels, samples, rng, centred, unit).dense(limit)


def block_diagonal(
    problem: Any, x: Any, of: str = "ggn", by: str = "layer", limit: float = LIMIT, **details: Any
) -> BlockDiagonal:
    """The blocks of layers (by="layer", weight and bias together), or of each array (by="parameter"), on the diagonal.

    of: "hessian", "ggn", "functional-hessian", "fisher" or "empirical"; `details` are those of ``fisher``.   They have
    ``blocks``, ``dense()``, ``matvec(v)``, ``solve(v, damping)``. Nothing outside the blocks is computed.
    """
    return named(problem, x, of, **details).blocks(by, limit)


def solve(problem: Any, x: Any, v: Any, damping: float, of: str = "ggn", limit: float = LIMIT, **details: Any) -> Any:
    """(M + λI)⁻¹v (P,), λ = `damping` > 0, for M = "ggn", "fisher" or "empirical": through the smaller of two systems.

    With fewer outputs than parameters, through the one of the size of the outputs, with the Gram matrix of gradients
    (Woodbury); else through M.
    """
    M = named(problem, x, of, **details)
    if not hasattr(M, "solve"):
        raise ValueError(f"only sums of outer products are solved so: of = 'ggn', 'fisher' or 'empirical', not {of!r}")
    return M.solve(v, damping, limit)


def diagonal(
    problem: Any,
    x: Any,
    of: str = "hessian",
    estimator: str = "exact",
    probes: Any = None,
    rng: Any = None,
    stderr: bool = False,
    **details: Any,
) -> Any:
    """The diagonal (P,) of a matrix at x: its entries (not its row sums).

    estimator: "exact"; or from products with `probes`, an array (P, k), or so many random signs drawn with `rng`:
    "hutchinson", the mean of z ∘ Mz, unbiased, of variance Σⱼ≠ᵢ mᵢⱼ²/k; "xdiag", exact where k − 1 span its range.
    stderr: with True an ``Estimate`` of the diagonal and the standard error of each entry, 0 where it is exact.
    Cost, exact: about S gradients for sums of outer products of S cotangents for each sample (S = C for G and F, 1 for
    "empirical"), P products for the Hessian.
    """
    if estimator not in ESTIMATORS:
        raise ValueError(f"no estimator is called {estimator!r}; choose one of {', '.join(ESTIMATORS)}")
    if details.get("kind") == "monte-carlo":  # labels first, then probes
        details["rng"] = rng = None if rng is None else np.random.default_rng(rng)
    M = named(problem, x, of, **details)
    if estimator == "exact":
        d = M.diagonal()
        return Estimate(d, 0.0 * d) if stderr else d
    return {"hutchinson": hutchinson, "xdiag": xdiag}[estimator](M, probes, rng, stderr=stderr)


def named(problem: Any, x: Any, of: str, **details: Any) -> Curvature:
    """The operator of a name."""
    if of not in OF:
        raise ValueError(f"no matrix is called {of!r}; choose one of {', '.join(OF)}")
    if of == "empirical":
        return operators.fisher(problem, x, kind="empirical", **details)
    if of == "fisher":
        return operators.fisher(problem, x, **details)
    if details:
        raise TypeError(f"{', '.join(details)}: only the Fisher matrices take such arguments, not {of!r}")
    return getattr(operators, of.replace("-", "_"))(problem, x)
