"""What becomes of conjugate gradients and of GLTR: steps inside a region, to its boundary, and where they stop."""

from math import inf

import numpy as np

from refopt.oracle.claim import claim
from refopt.oracle.claims import NW
from refopt.oracle.claims.conjugate_gradients import basis
from refopt.oracle.claims.krylov import GLTR, products
from refopt.oracle.claims.trust_region import model
from refopt.oracle.draw import Counted, excess, inverse, size, solve, with_spectrum
from refopt.problem import Problem

CG = ("krylov.conjugate_gradients",)
STEPS = "four steps of well-conditioned arithmetic"
MARTENS = "J. Martens, Deep learning via Hessian-free optimization, ICML 2010, §4.4; "


def solvers(draw, truncated, steihaug, gltr):
    """Each solver on a convex model whose minimiser is inside, to rounding; and with a tenfold gradient."""
    B, g, x = draw.spd(n := draw.size(1, 4), 10), draw.vector(n) * draw.magnitude(1), draw.vector(n)
    radius = 1e3 * size(g) * size(inverse(B))
    found = [
        truncated(products(B), x, g, 1e-13), steihaug(products(B), x, g, radius, 1e-13),
        gltr(products(B), x, g, radius, 1e-13, 99),
    ]  # fmt: skip
    return {
        "g": g, "newton": -inverse(B) @ g, "points": np.array([each.p for each in found]),
        "promised": np.array([each.promised for each in found]), "gain": np.array([each.gain for each in found]),
        "edge": sum(each.edge for each in found), "spent": np.array([each.products - 2.0 * n - 2 for each in found]),
    }  # fmt: skip


@claim(
    "krylov.inside",
    "Inside the region every solver takes Newton's step, promises ½gᵀB⁻¹g, and no step could gain more",
    NW + "§7.1; " + GLTR.removesuffix("; "),
    solvers,
    given="B ≻ 0, κ(B) ≤ 10",
    uses=("krylov.truncated", "krylov.steihaug", "krylov.gltr"),
    scale=lambda g, newton: (size(newton), size(g) * size(newton), size(g) * size(newton), 1, 1),
    because="the tolerance of 1e-13 leaves 1e-13 κ of the step",
    slack=1e4,
    exact=False,
)
def solved_inside(g, newton, points, promised, gain, edge, spent):
    half = -(g @ newton) / 2
    return points - newton, promised - half, gain - half, float(edge), excess(spent)


def endless(draw, truncated, steihaug, escape, gltr):
    """B ≻ 0 with eigenvalues from 1 to 1e-10: no residual is small enough."""
    n = draw.size(20, 30)
    problem, g = products(np.diag(10.0 ** -np.linspace(0, 10, n))), draw.vector(n)
    g[0] = 0.0
    nothing = [escape(problem, 0 * g, g, 1.0), gltr(problem, 0 * g, g, 1.0, 0.1, 0)]
    return {
        "limits": [truncated(problem, 0 * g, g, 0.0).products - 10 * n,
                   steihaug(problem, 0 * g, g, 1e300, 0.0).products - 10 * n, nothing[0].products - 3 * n - 10,
                   nothing[1].products],
        "steps": np.array([each.p for each in nothing]),
        "worth": np.array([[each.promised, each.gain, each.edge] for each in nothing]),
    }  # fmt: skip


@claim(
    "krylov.limit",
    "Conjugate gradients that do not end stop after 10n products, and where they only look for curvature after 3n + 10",
    NW + "§7.1",
    endless,
    given="limits of this library; without curvature, or a space, there is no step",
    uses=("krylov.truncated", "krylov.steihaug", "krylov.escape", "krylov.gltr"),
    scale=lambda: 1.0,
    because="the number of steps is an integer",
    exact=False,
)
def limit(limits, steps, worth):
    return np.array(limits), steps, worth


def concave(draw, truncated, steihaug, gltr, escape):
    """B ≺ 0: the first direction already bends down."""
    B, g, x = -draw.spd(n := draw.size(), 10), draw.vector(n) * draw.magnitude(1), draw.vector(n)
    radius = size(g) / size(B) * draw.magnitude(2)
    found = [steihaug(products(B), x, g, radius, 1e-8), gltr(products(B), x, g, radius, 1e-12, 99)]
    found += [escape(products(B), x, g, radius), truncated(products(B), x, g, 1e-8)]
    return {
        "origin": truncated(products(B), 0 * x, g, 1e-8).p + g / size(g),
        "B": B, "g": g, "x": x, "radius": radius, "points": np.array([each.p for each in found]),
        "promised": np.array([each.promised for each in found]), "gains": [each.gain for each in found],
        "edges": [each.edge for each in found], "spent": np.array([each.products for each in found]),
    }  # fmt: skip


@claim(
    "krylov.concave",
    "Where B ≺ 0 a step to the boundary promises −gᵀp − ½pᵀBp and leads downhill; Steihaug's is −Δg/‖g‖",
    NW + "§7.1; " + GLTR.removesuffix("; "),
    concave,
    given="a way out of a saddle has the length Δ as well; without a region the step is −g with the length of x, or 1",
    uses=("krylov.truncated", "krylov.steihaug", "krylov.gltr", "krylov.escape"),
    scale=lambda B, g, x, radius: (
        radius, radius, (size(g) + size(B) * radius) * radius, size(g) * radius, size(x), 1, 1, 1
    ),
    because="sums of terms of this size; GLTR is asked for ‖p‖ = Δ to 1e-13",
    slack=1e3,
    exact=False,
)  # fmt: skip
def is_concave(B, g, x, radius, points, promised, gains, edges, spent, origin):
    lengths = np.array([size(p) for p in points[:3]])
    values = np.array([model(g, B, p) for p in points[:3]])
    flags = float(edges != [True, True, True, False] or set(gains) != {inf} or promised[3] != 0.0)
    return (
        lengths - radius, points[0] + radius / size(g) * g, promised[:3] + values, excess(points[:3] @ g),
        points[3] + size(x) / size(g) * g, flags, excess(1.0 - spent) + excess(spent - 3.0 * len(g) - 10), origin,
    )  # fmt: skip


def cut_off(draw, steihaug):
    """An indefinite B, and a region that ends after a few steps: the last direction is followed to its boundary."""
    B, g = draw.indefinite(n := draw.size(2)), draw.vector(n) * draw.magnitude(1)
    radius = size(g) / size(B) * draw.magnitude(1)
    z, r, d, bend = 0 * g, g, -g, g @ B @ g
    while bend > 1e-6 * size(B) * (d @ d) and size(z + (r @ r) / bend * d) < radius and size(r) > 1e-6 * size(g):
        z, before, r = z + (r @ r) / bend * d, r, r + (r @ r) / bend * (B @ d)
        d = (r @ r) / (before @ before) * d - r
        bend = d @ B @ d
    a, b, c = d @ d, z @ d, z @ z - radius**2
    tau = (-b + np.sqrt(max(b * b - a * c, 0.0))) / a
    found = steihaug(products(B), 0 * g, g, radius, 1e-6)
    return {"B": B, "g": g, "radius": radius, "p": z + tau * d, "found": found.p, "promised": found.promised,
            "edge": found.edge and size(r) > 1e-6 * size(g)}  # fmt: skip


@claim(
    "krylov.steihaug-boundary",
    "Steihaug's step leaves from the last point inside along the last direction, and ends where ‖z + τd‖ = Δ, τ > 0",
    "T. Steihaug, SIAM J. Numer. Anal. 20 (1983) 626; " + NW + "§7.1",
    cut_off,
    given="B is indefinite",
    uses=("krylov.steihaug",),
    scale=lambda B, g, radius: (1e6 * radius, 1e6 * (size(g) + size(B) * radius) * radius, radius),
    because="curvature of 1e-6 of ‖B‖ is known to 1e-10 of itself",
    exact=False,
)
def steihaug_boundary(B, g, radius, p, found, promised, edge):
    if not edge:
        return 0 * p, promised + model(g, B, found), 0.0
    return found - p, promised + model(g, B, found), size(found) - radius


def small_space(draw, gltr):
    """GLTR in a space that is not everything, over a gradient of any length."""
    B, g = draw.indefinite(n := draw.size(3)), draw.vector(n) * draw.magnitude(2)
    most, radius = int(draw.rng.integers(1, n)), size(g) / size(B) * draw.magnitude(1)
    found = gltr(products(B), 0 * g, g, radius, 1e-12, most)
    Q = np.linalg.qr(basis(B, g, most).T)[0]
    return {"B": B, "g": g, "radius": radius, "p": found.p, "Q": Q, "promised": found.promised, "most": most,
            "spent": found.products}  # fmt: skip


@claim(
    "krylov.gltr-space",
    "GLTR's step lies in span{g, Bg, …, Bᵏ⁻¹g}, solves the region's problem there, and costs k products",
    GLTR + NW + "§7.1",
    small_space,
    given="k < n; the conditions: Qᵀ((B + λI)p + g) = 0 for some λ ≥ 0, λ > 0 only where ‖p‖ = Δ",
    uses=("krylov.gltr",),
    scale=lambda B, g, radius, p: (
        radius, (size(g) + size(B) * radius), (size(g) + size(B) * radius) * radius, 1, radius
    ),
    because="‖p‖ = Δ is asked for to 1e-13",
    slack=1e3,
    exact=False,
)  # fmt: skip
def gltr_space(B, g, radius, p, Q, promised, most, spent):
    rest = Q.T @ (B @ p + g)
    h = Q.T @ p
    lam = max(-(rest @ h) / (h @ h), 0.0) if size(p) > 0.999 * radius else 0.0
    return p - Q @ h, rest + lam * h, promised + model(g, B, p), spent - float(most), excess(size(p) - radius)


def orthonormal(draw, gltr):
    """The directions of which GLTR asks the products, where one eigenvalue is far from the others."""
    n = draw.size(10, 14)
    values = draw.positive(n, 10) / 1e7
    values[0] = 1.0
    B, g = with_spectrum(draw.orthogonal(n), values), draw.vector(n)
    asked = Counted(lambda x, q: B @ q)
    gltr(Problem(lambda x: 0.0, hvp=asked), 0 * g, g, 1e-3 * size(g), 0.0, n)
    return {"Q": np.array(asked.seen)}


@claim(
    "krylov.gltr-basis",
    "The vectors that GLTR multiplies by B are orthonormal, to rounding, whatever the spectrum",
    GLTR + "reorthogonalised twice, as W. Kahan and B. N. Parlett prove to be enough",
    orthonormal,
    uses=("krylov.gltr",),
    scale=lambda Q: len(Q),
    because="a second pass leaves eps of what the first has left",
    exact=False,
)
def gltr_basis(Q):
    return Q @ Q.T - np.eye(len(Q))


def invariant(draw, gltr):
    """g in a plane that B maps into itself, with λ = 1 and 1e-8; nearly all of it along the second."""
    Q, B, g = draw.orthogonal(2), np.diag(draw.positive(n := draw.size(4, 6), 10)), np.zeros(n)
    B[:2, :2], g[:2] = with_spectrum(Q, np.array([1.0, 1e-8])), Q[:, 1] + 1e-6 * Q[:, 0]
    unit = 2.0 ** int(draw.rng.integers(-40, 40))
    return {"spent": gltr(products(unit * B), 0 * g, g, 1 / unit, 0.0, n).products}


@claim(
    "krylov.gltr-ends",
    "GLTR ends where the Krylov space cannot grow: after as many products as g has parts along eigenvectors",
    GLTR + NW + "§7.1",
    invariant,
    given="what is left of a vector within 10 eps‖B‖ is rounding, ‖B‖ estimated by the longest product so far",
    uses=("krylov.gltr",),
    scale=lambda: 1.0,
    because="the number of products is an integer",
    exact=False,
)
def gltr_ends(spent):
    return float(spent - 2)


def on_the_boundary(values, c, radius):
    """λ ≥ 0 with ‖c/(values + λ)‖ = Δ, by bisection."""
    low, high = 0.0, size(c) / radius
    for _ in range(100):
        lam = (low + high) / 2
        low, high = (lam, high) if size(c / (values + lam)) > radius else (low, lam)
    return high


def looked_outside(draw, gltr):
    """The same on the boundary, where the small problem is solved by eigenvectors."""
    n = 40
    B, g = np.diag(np.linspace(1, 30, n)), draw.rng.uniform(0.5, 2.0, n)
    radius, rests = size(solve(B, g)) * float(draw.number("1/20", "1/2")), []
    for k in range(1, 9):
        K = basis(B, g, k)
        Q = K / np.sqrt((K * K).sum(1))[:, None]
        values, S = np.linalg.eigh(Q @ B @ Q.T)
        c = S.T @ Q @ g
        lam = on_the_boundary(values, c, radius)
        p = -(S @ (c / (values + lam))) @ Q
        rests.append(size(B @ p + lam * p + g) / size(g))
    first = int(draw.rng.integers(1, 8))
    return {"spent": gltr(products(B), 0 * g, g, radius, np.sqrt(rests[first - 1] * rests[first]), n).products,
            "k": first + 1}  # fmt: skip


def looked(draw, gltr):
    if draw.rng.integers(2):
        return looked_outside(draw, gltr)
    return looked_inside(draw, gltr)


def looked_inside(draw, gltr):
    """A residual that is small enough at one k, first."""
    n = 40
    B, g = np.diag(np.linspace(1, 30, n)), draw.rng.uniform(0.5, 2.0, n)
    (r, square), lengths = (g, g @ g), [size(g)]
    d = -r
    for _ in range(30):
        alpha = square / (d @ B @ d)
        r = r + alpha * (B @ d)
        d, square = (r @ r) / square * d - r, r @ r
        lengths.append(size(r))
    first = int(draw.rng.integers(2, 25))
    reached = np.minimum.accumulate(lengths)
    forcing = np.sqrt(reached[first - 1] * reached[first]) / size(g)
    at = next(k for k in range(1, 31) if lengths[k] <= forcing * size(g))
    return {"spent": gltr(products(B), 0 * g, g, 1e3 * size(g), forcing, n).products, "k": at}


@claim(
    "krylov.gltr-looks",
    "GLTR ends at the first k with ‖(B + λI)p + g‖ ≤ η‖g‖; on the boundary it looks at k = 1, …, 8, 16, 24, … only",
    GLTR + "on the boundary not at every k, since the small problem costs k³",
    looked,
    given="inside the region, where the steps are those of conjugate gradients; on its boundary k ≤ 8",
    uses=("krylov.gltr",),
    scale=lambda: 1.0,
    because="the number of products is an integer",
    exact=False,
)
def gltr_looks(spent, k):
    return float(spent - k)
