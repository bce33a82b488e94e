"""The curvature matrices of a problem at x as operators: products without the matrix, and the matrix on request.

    H = ∇²fun                            ``hessian``
    G = c Σ Jₙᵀ ∇²ℓₙ Jₙ                  ``ggn``, generalised Gauss-Newton
    H − G = c Σₙₖ ∂ℓₙ/∂fₙₖ ∇²fₙₖ         ``functional_hessian``: what Gauss-Newton drops; S(x) for least squares
    F = c Σ E[sₙsₙᵀ],  c Σ sₙsₙᵀ         ``fisher``: exact, by sampled labels, or at the labels of the data
    J (N·…·C, P),  JJᵀ                   ``jacobian``, ``ntk``

c is the factor of the reduction, in all of them alike; sₙ = ∇ℓₙ is not reduced. Each has ``shape``, ``dtype``,
``matvec`` and ``matmat``, ``dense()``, ``to_scipy()``; the symmetric ones ``diagonal()``, ``trace()`` and
``blocks()``; those made of outer products ``gram()`` and ``solve()``. The functions of the same names in
``refopt.curvature`` are those of here, made dense.

J. Martens, *JMLR* 21 (2020) 146;  N. N. Schraudolph, *Neural Computation* 14 (2002) 1723;  S. P. Singh, G. Bachmann &
T. Hofmann, *NeurIPS* 34 (2021) (the functional Hessian);  J. E. Dennis & R. B. Schnabel, *Numerical Methods for
Unconstrained Optimization and Nonlinear Equations*, ch. 10 (S).
"""

from typing import Any

from refopt.curvature.information import fisher, ggn
from refopt.curvature.matrices import Curvature, Jacobian, parts
from refopt.curvature.outer import gram
from refopt.curvature.point import expansion, vector
from refopt.derivatives import hessian_of, hvp_of
from refopt.expansion import Expansion, OfFunction
from refopt.ops import Matrix, Vector, device, namespace
from refopt.problem import Problem
from refopt.room import LIMIT, fits

__all__ = ["NTK", "fisher", "functional_hessian", "ggn", "hessian", "jacobian", "ntk"]


def hessian(problem: Any, x: Any) -> Curvature:
    """∇²fun at x, of any problem.

    Of a ``Problem`` by its hess, or else its hvp, or else by differences of its gradient, or of fun: give it
    ``refopt.derivatives.hessian_of(fun, method="autograd")`` as hess where differences are too coarse. Of a
    ``LeastSquares`` JᵀJ + Σ rᵢ∇²rᵢ, the second by differences of J.   Cost of a product: about 2.5 gradients.
    """
    if isinstance(problem, Problem):
        return of_problem(problem, vector(x))
    point = expansion(problem, x)
    return Curvature("hessian", point.x, point.hvp, parts(point))


def of_problem(problem: Problem, x: Vector) -> Curvature:
    whole = {"layer": [slice(0, x.shape[0])]}
    if problem.hess is None and problem.hvp is not None:
        return Curvature("hessian", x, lambda v: problem.hvp(x, v), whole)
    if problem.hess is None and problem.grad is not None:
        product = hvp_of(grad=problem.grad)
        return Curvature("hessian", x, lambda v: product(x, v), whole)
    hess: Any = problem.hess
    H = (hess or hessian_of(problem.fun))(x)
    if tuple(H.shape) != (x.shape[0], x.shape[0]):
        raise ValueError(f"the Hessian of {x.shape[0]} variables has shape {(x.shape[0],) * 2}, not {tuple(H.shape)}")
    is_array = isinstance(H, type(x))
    return Curvature("hessian", x, lambda v: H @ v, whole, H if is_array else None)


def functional_hessian(problem: Any, x: Any) -> Curvature:
    """H − G at x, Σ ∂fun/∂fₖ ∇²fₖ, what the Gauss-Newton matrix drops: found by itself, not as the difference."""
    point = expansion(problem, x)
    if isinstance(point, OfFunction):
        return Curvature("functional_hessian", point.x, point._bent, parts(point))
    still = 0.0 * point.residual

    def product(v: Vector) -> Vector:
        net, found = point.net, list[Any]()
        dp = net.nested(v)
        _, dtape = net.jvp(point.p, point.tape, dp, None)
        use = lambda layer, *tapes: found.append(layer.rsums(*tapes))
        net.rvjp(point.p, point.tape, dp, dtape, point.residual, still, use, False)
        return net.flat(found)

    return Curvature("functional_hessian", point.x, product, parts(point))


def jacobian(problem: Any, x: Any) -> Jacobian:
    """J (N·…·C, P) of the outputs at x, or (m, P) of residuals: row nC + k is the gradient of output k of sample n."""
    return Jacobian(expansion(problem, x))


def ntk(problem: Any, x: Any) -> "NTK":
    """JJᵀ (N·…·C, N·…·C) at x, the empirical neural tangent kernel, rows in the order of ``jacobian``."""
    return NTK(expansion(problem, x))


class NTK(Curvature):
    """K = JJᵀ: Knm holds the products of the gradients of the outputs of the samples n and m.

    Its nonzero eigenvalues are those of JᵀJ; with the loss between, those of G are those of ``ggn(…).gram()``.
    A. Jacot, F. Gabriel & C. Hongler, *NeurIPS* 31 (2018).
    """

    def __init__(self, point: Expansion) -> None:
        f = namespace(point.f).reshape(point.f, (-1,))
        J = Jacobian(point)
        super().__init__("ntk", f, lambda u: J.matvec(J.rmatvec(u)), {"layer": [slice(0, f.shape[0])]})
        self.point = point

    def dense(self, limit: float = LIMIT) -> Matrix:
        """K, from products of inputs and of gradients where the network is made of linear maps, else from J."""
        fits(self.shape, self.x, limit, "ntk")
        f, xp = self.point.f, namespace(self.x)
        N, k = f.shape[0], self.shape[0] // f.shape[0]
        one = xp.reshape(xp.eye(k, dtype=f.dtype, device=device(f)), (k, 1, *f.shape[1:]))
        K = gram(self.point, xp.broadcast_to(one, (k, *f.shape)))
        K = xp.permute_dims(xp.reshape(K, (k, N, k, N)), (1, 0, 3, 2))
        return xp.reshape(K, self.shape)

    def on_diagonal(self, parts: list[slice]) -> list[Matrix]:
        K = self.dense(float("inf"))
        return [K[part, part] for part in parts]

    def diagonal(self) -> Vector:
        J = Jacobian(self.point).dense(float("inf"))
        return namespace(J).sum(J * J, axis=1)
