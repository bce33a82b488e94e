"""Kronecker products.

Two orders of the entries of a matrix: vec(V) stacks its columns, row(V) its rows, as ``V.ravel()`` does in NumPy.
"""

import numpy as np

from refopt.curvature import Kron
from refopt.linalg import row, vec
from refopt.oracle.claim import Fails, claim
from refopt.oracle.draw import bulk, condition, determinant, eye, inverse, size, solve, with_spectrum

MN = "J. R. Magnus & H. Neudecker, Matrix Differential Calculus, 3rd ed., ch. 2 and 3"
KFAC = "J. Martens & R. Grosse, ICML 2015, arXiv:1503.05671, "
SUMS = "sums of a few products of this size"


# --- products ----------------------------------------------------------------------------------------------------


def factors(draw, kron):
    p, q = draw.size(1, 3), draw.size(1, 3)
    A, B, C, D = draw.matrix(p, q), draw.matrix(q, p), draw.matrix(p, q), draw.matrix(q, p)
    return {"A": A, "B": B, "C": C, "D": D, "AC": kron(A, C), "BD": kron(B, D), "both": kron(A @ B, C @ D)}


@claim(
    "kronecker.products",
    "(A ⊗ C)(B ⊗ D) = AB ⊗ CD and (A ⊗ C)ᵀ = Aᵀ ⊗ Cᵀ, entry by entry aᵢⱼcₖₗ",
    MN,
    factors,
    uses=("linalg.kron",),
    scale=lambda A, B, C, D: (
        bulk(A) * bulk(B) * bulk(C) * bulk(D), bulk(A) * bulk(C), bulk(B) * bulk(D),
    ),
    because=SUMS,
)  # fmt: skip
def products(A, B, C, D, AC, BD, both):
    entries = [np.einsum("ij,kl->ikjl", X, Y).reshape(XY.shape) for X, Y, XY in ((A, C, AC), (B, D, BD))]
    return AC @ BD - both, AC - entries[0], BD - entries[1]


def definite(draw, kron):
    A, G = draw.spd(draw.size(1, 3), 1e2), draw.spd(draw.size(1, 3), 1e2)
    return {"A": A, "G": G, "AG": kron(A, G), "inside": kron(inverse(A), inverse(G))}


@claim(
    "kronecker.inverse",
    "(A ⊗ G)⁻¹ = A⁻¹ ⊗ G⁻¹: two small inverses in place of a large one",
    MN + "; " + KFAC + "§3",
    definite,
    given="A and G invertible",
    uses=("linalg.kron",),
    scale=lambda A, G: condition(A) ** 2 * condition(G) ** 2,
    because="both inverses lose eps κ, and so does the product",
)
def inverses(AG, inside):
    return AG @ inside - eye(AG)


def eigenpairs(draw, kron):
    """Au = au and Gw = gw."""
    parts = [(draw.orthogonal(n), draw.positive(n, 1e2)) for n in (draw.size(2, 3), draw.size(2, 3))]
    (A, u, a), (G, w, g) = ((with_spectrum(Q, values), Q[:, :1], values[0]) for Q, values in parts)
    both = kron(u, w)[:, 0]
    return {"A": A, "G": G, "a": a, "g": g, "u": both, "AG": kron(A, G), "sum": kron(A, eye(G)) + kron(eye(A), G)}


def unequal(draw, kron):
    """With ag and a + g that are not close by chance."""
    made = eigenpairs(draw, kron)
    product, total = made["a"] * made["g"], made["a"] + made["g"]
    return made if abs(product - total) > 0.1 * (product + total) else unequal(draw, kron)


@claim(
    "kronecker.eigenvalues",
    "The eigenvalues of A ⊗ G are the sums a + g of those of A and G",
    MN,
    eigenpairs,
    "false",
    corrected="They are the products ag, with eigenvectors u ⊗ w; the sums are those of A ⊗ I + I ⊗ G",
    uses=("linalg.kron",),
    scale=lambda A, G: (10 * size(A) * size(G), 10 * (size(A) + size(G))),
    because=SUMS + "; the vectors are orthogonal to rounding",
    fails=(Fails("as stated", unequal, lambda AG, a, g, u: (AG @ u - (a + g) * u) / (a * g + a + g)),),
)
def eigenvalues(AG, sum, a, g, u):
    return AG @ u - a * g * u, sum @ u - (a + g) * u


@claim(
    "kronecker.determinant",
    "det(A ⊗ G) = det(A)ᵐ det(G)ⁿ for A (n, n) and G (m, m), and tr(A ⊗ G) = tr A tr G",
    MN,
    definite,
    given="A, G ≻ 0 here",
    uses=("linalg.kron",),
    scale=lambda A, G, AG: (
        30 * determinant(A) ** len(G) * determinant(G) ** len(A) * condition(AG), bulk(A) * bulk(G),
    ),
    because="pivots are known to n eps of the largest, so that each loses eps κ",
)  # fmt: skip
def determinants(A, G, AG):
    whole = determinant(A) ** len(G) * determinant(G) ** len(A)
    return determinant(AG) - whole, np.trace(AG) - np.trace(A) * np.trace(G)


def mapped(draw, kron):
    """GVA for V of shape (m, n), G (m, m), A (n, n)."""
    m, n = draw.size(1, 3), draw.size(2, 3)
    G, V, A = draw.matrix(m, m), draw.matrix(m, n), draw.matrix(n, n)
    return {"G": G, "V": V, "A": A, "columns": kron(A.T, G), "rows": kron(G, A.T)}


def mixed(draw, kron):
    """The product of the other order, A ≠ G, both of the same size."""
    m = draw.size(2, 3)
    G, A, V = draw.matrix(m, m), draw.matrix(m, m), draw.matrix(m, m)
    gap = kron(A.T, G) @ row(V) - row(G @ V @ A)
    return {"gap": gap / bulk(G @ V @ A)} if size(gap) > 1e-3 * size(G @ V @ A) else mixed(draw, kron)


@claim(
    "kronecker.vec",
    "The entries of GVA are (Aᵀ ⊗ G) times those of V",
    MN + "; " + KFAC + "§2.2",
    mapped,
    "conditional",
    given="columns are stacked, vec(GVA) = (Aᵀ ⊗ G)vec(V); with rows, as in `ravel`, it is G ⊗ Aᵀ",
    uses=("linalg.kron",),
    scale=lambda G, V, A: bulk(G) * bulk(V) * bulk(A),
    because=SUMS,
    fails=(Fails("rows are stacked", mixed, lambda gap: gap),),
)
def of_product(G, V, A, columns, rows):
    return columns @ vec(V) - vec(G @ V @ A), rows @ row(V) - row(G @ V @ A)


def layer_gradient(draw, kron):
    """∇W = gaᵀ of a layer y = Wa, g = ∂ℓ/∂y."""
    g, a = draw.vector(m := draw.size(2, 3)), draw.vector(n := draw.size(2, 3))
    column_a, column_g = a.reshape(n, 1), g.reshape(m, 1)
    return {"g": g, "a": a, "columns": kron(column_a, column_g)[:, 0], "rows": kron(column_g, column_a)[:, 0]}


def layer_gradient_by_rows(draw, kron):
    """With g and a that are not parallel, so that the order matters."""
    made = layer_gradient(draw, kron)
    gap = made["columns"] - row(made["g"][:, None] * made["a"])
    differs = size(gap) > 1e-3 * bulk(made["g"]) * bulk(made["a"])
    return {"gap": gap / bulk(gap)} if differs else layer_gradient_by_rows(draw, kron)


@claim(
    "kronecker.gradient",
    "The gradient gaᵀ of the weights of a linear layer is a ⊗ g",
    KFAC + "§2.2",
    layer_gradient,
    "conditional",
    given="columns are stacked; with rows, as in `ravel`, it is g ⊗ a, and E[∇∇ᵀ] is near G ⊗ A and not A ⊗ G",
    uses=("linalg.kron",),
    scale=lambda g, a: bulk(g) * bulk(a),
    because="single products",
    fails=(Fails("rows are stacked", layer_gradient_by_rows, lambda gap: gap),),
)
def gradient(g, a, columns, rows):
    return columns - vec(g[:, None] * a), rows - row(g[:, None] * a)


def both_orders(draw, kron, commutation):
    m, n = draw.size(2, 3), draw.size(2, 3)
    A, G = draw.matrix(n, n), draw.matrix(m, m)
    K = draw.array(commutation(m, n))
    return {"A": A, "G": G, "V": draw.matrix(m, n), "K": K, "AG": kron(A, G), "GA": kron(G, A)}


@claim(
    "kronecker.commutation",
    "A ⊗ G = G ⊗ A",
    MN,
    both_orders,
    "false",
    corrected="They are similar: K(A ⊗ G)Kᵀ = G ⊗ A with the permutation K that turns vec(V) into vec(Vᵀ)",
    uses=("linalg.kron", "linalg.commutation"),
    scale=lambda A, G: (bulk(A) * bulk(G), 1, 1),
    because="single products",
    fails=(Fails("as stated", both_orders, lambda AG, GA: (AG - GA) / bulk(AG)),),
)
def commute(V, K, AG, GA):
    return K @ AG @ K.T - GA, K @ K.T - eye(K), K @ vec(V) - vec(V.T)


def solved(draw, kron):
    """The step of K-FAC, U = G⁻¹VA⁻¹, with V of shape (m, n)."""
    m, n = draw.size(1, 3), draw.size(1, 3)
    A, G, V = draw.spd(n, 1e2), draw.spd(m, 1e2), draw.matrix(m, n)
    return {"A": A, "G": G, "V": V, "U": solve(A, solve(G, V).T).T, "columns": kron(A, G), "rows": kron(G, A)}


@claim(
    "kronecker.step",
    "G⁻¹VA⁻¹ is the same step in both orders: (A ⊗ G)vec(U) = vec(V), and (G ⊗ A) for rows",
    KFAC + "§2.3 and §3",
    solved,
    given="A and G symmetric and invertible",
    uses=("linalg.kron",),
    scale=lambda A, G, V: condition(A) * condition(G) * size(V) * 10,
    because="both solves lose eps κ",
)
def step(V, U, columns, rows):
    return columns @ vec(U) - vec(V), rows @ row(U) - row(V)


def flat_block(A, G):
    """The block of [W b] in flat order: W row by row, then b."""
    return Kron(A, G, bias=True).dense()


def with_bias(draw, block, kron):
    """A direction V = [W b]; the block in the flat order (row(W), b), and by rows of [W b]."""
    m, n = draw.size(2, 3), draw.size(2, 3)
    A, G, V = draw.spd(n + 1, 1e2), draw.spd(m, 1e2), draw.matrix(m, n + 1)
    flat = np.concatenate([row(V[:, :n]), V[:, n]])
    return {"A": A, "G": G, "V": V, "v": flat, "K": block(A, G), "GA": kron(G, A), "AG": kron(A, G)}


def apart(draw, block, kron):
    """An instance on which the two orders differ visibly."""
    made = with_bias(draw, block, kron)
    gap = made["K"] - made["GA"]
    return made if size(gap) > 1e-3 * size(made["K"]) else apart(draw, block, kron)


@claim(
    "kronecker.bias",
    "With the homogeneous coordinate last, the block of the weights W, then the bias b, is G ⊗ A",
    KFAC + "§2.2 and §3",
    with_bias,
    "conditional",
    given="rows or columns of [W b] are stacked; in the flat order row(W), b the entries of b go to the end",
    uses=("kronecker.flat_block", "linalg.kron"),
    scale=lambda A, G, V: bulk(A) * bulk(G) * bulk(V),
    because=SUMS,
    fails=(Fails("the order row(W), b", apart, lambda K, GA: (K - GA) / bulk(K)),),
)
def bias(A, G, V, v, K, GA, AG):
    """(G ⊗ A)v, and where its entries are."""
    moved, n = G @ V @ A, len(A) - 1
    first, last = row(moved[:, :n]), moved[:, n]
    columns = np.concatenate([vec(V[:, :n]), V[:, n]])
    return (
        K @ v - np.concatenate([first, last]), GA @ row(V) - row(moved), AG @ columns - vec(moved),
    )  # fmt: skip
