"""Derivatives of formulas written in mpmath, by differences with so many digits that none is missed."""

import mpmath
import numpy as np

H = mpmath.mpf(10) ** -25


def derivatives(formula, x, w):
    """r (m,), its Jacobian (m, n) and Σᵢ wᵢ ∇²rᵢ (n, n), rounded, of a formula on a list of numbers.

    One-sided differences with the step 10⁻²⁵ in a hundred digits: first and second derivatives right to some 25 digits.
    """
    n = len(x)
    with mpmath.workdps(100):
        point = [mpmath.mpf(float(value)) for value in x]

        def at(*moved):
            return formula([value + H * moved.count(k) for k, value in enumerate(point)])

        r, once = at(), [at(i) for i in range(n)]
        J = [[float((after - before) / H) for after, before in zip(values, r, strict=True)] for values in once]
        S = np.zeros((n, n))
        for i in range(n):
            for j in range(i + 1):
                values = zip(w, at(i, j), once[i], once[j], r, strict=True)
                bend = mpmath.fsum(
                    float(weight) * (both - one - other + none) for weight, both, one, other, none in values
                )
                S[i, j] = S[j, i] = float(bend / H**2)
        return np.array(list(map(float, r))), np.array(J).T, S


def of_function(function, x):
    """f, its gradient (n,) and Hessian (n, n)."""
    r, J, S = derivatives(lambda point: [function(point)], x, [1])
    return r[0], J[0], S
