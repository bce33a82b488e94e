"""What no computation can decide: listed, and never counted as verified."""

from refopt.oracle.claim import Claim


def listed(name: str, says: str, source: str, because: str) -> Claim:
    """A claim without a residual."""
    return Claim(f"editorial.{name}", says, source, "editorial", dict, lambda: 0, lambda: 1, because)


KFAC_OVERHEAD = listed(
    "kfac-overhead",
    "K-FAC costs 10 to 20 % more than gradient descent",
    "J. Martens & R. Grosse, ICML 2015, arXiv:1503.05671, §8",
    "it depends on the sizes of layers, on how often factors are inverted, and on the machine",
)
SECOND_ORDER = listed(
    "adam-not-second-order",
    "Adam is not a second-order method",
    "direct",
    "a matter of definition: it sees first derivatives only, and so do quasi-Newton methods; diagonal methods that see "
    "second ones exist",
)
NON_PROBABILISTIC = listed(
    "fisher-undefined",
    "Where a loss is not a likelihood there is no Fisher matrix, and the Hessian must be used",
    "J. Martens, JMLR 21 (2020), §8 and §9",
    "advice: every loss that is convex in the outputs has a Gauss-Newton matrix, and exp(−ℓ) is often a density",
)
INPUTS = listed(
    "fisher-inputs",
    "Fisher's matrix is an expectation over y; which x it is also a mean over need not be said",
    "J. Martens, JMLR 21 (2020), §5 and §9",
    "wording: the inputs are those of the data, and it should be said",
)
LEVENBERG = listed(
    "levenberg-marquardt",
    "(∇²f + λI)p = −∇f is the Levenberg-Marquardt method",
    "J. J. Moré, in Numerical Analysis (Dundee 1977), Springer 1978",
    "naming: theirs is (JᵀJ + λD²)p = −Jᵀr, for least squares; this is damped Newton",
)
WALL_CLOCK = listed(
    "steps-not-time",
    "Methods compared at the same number of steps are compared fairly",
    "direct",
    "steps of different methods, and of different batches, cost differently; what is fair depends on what is scarce",
)
RANDOM_OBJECTIVE = listed(
    "random-coefficients",
    "A test function whose coefficients are drawn from a seed is the same everywhere",
    "direct",
    "it depends on the generator and its version; the quartic of the zoo has its coefficients written down",
)
GAUSS_NEWTON_COST = listed(
    "gauss-newton-cost",
    "A product with the Gauss-Newton matrix costs one pass forward and one back",
    "N. N. Schraudolph, Neural Computation 14 (2002) 1723",
    "it depends on the machinery: a forward derivative, ∇²ℓ and a pass back, three or four gradients at most",
)
WITHOUT_ROOT = listed(
    "adam-without-root",
    "Adam without the root diverges",
    "D. P. Kingma & J. Ba, arXiv:1412.6980, §2",
    "it depends on the task; what can be computed is how long its steps may become",
)
