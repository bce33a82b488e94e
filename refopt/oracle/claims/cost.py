"""How much memory and how many operations second-order methods take: counted, not timed."""

import numpy as np

from refopt.ops import blank_rows, latest
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims import NW
from refopt.oracle.claims.l_bfgs import PRODUCTS, dense, growth
from refopt.oracle.draw import eye, size

GOLUB = "G. H. Golub & C. F. Van Loan, Matrix Computations, 4th ed., §3.2 and §4.2"
WHOLE = "numbers of bytes and of operations are whole"


def square(n, kind):
    """Bytes of n² numbers."""
    return n * n * np.dtype(kind).itemsize


def sizes(draw):
    n = draw.size()
    return {"n": n, "single": np.zeros((n, n), "f4").nbytes, "double": np.zeros((n, n), "f8").nbytes}


@claim(
    "cost.hessian",
    "The Hessian of a million variables takes 4 TB",
    "direct",
    sizes,
    "imprecise",
    corrected="In single precision, 4e12 bytes or 3.64 TiB; in double 8 TB; half of it if only a triangle is kept",
    scale=lambda: 1,
    because=WHOLE,
    fails=(Fails("as stated, in double precision", sizes, lambda: square(10**6, "f8") / 4e12 - 1),),
)
def hessian(n, single, double):
    packed = 10**6 * (10**6 + 1) // 2 * 4
    return (
        single - square(n, "f4"), double - square(n, "f8"),
        square(10**6, "f4") - 4 * 10**12, square(10**6, "f8") - 8 * 10**12,
        round(square(10**6, "f4") / 2**40, 2) - 3.64, packed - 2 * 10**12 - 2 * 10**6,
    )  # fmt: skip


@claim(
    "cost.entries",
    "The Hessian of 400 000 variables has over 160 million entries",
    "direct",
    sizes,
    "false",
    corrected="160 thousand million, 1.6e11, 640 GB in single precision; of 1e8 variables 1e16, 40 PB",
    scale=lambda: 1,
    because=WHOLE,
    fails=(Fails("as stated, a thousand times too few", sizes, lambda: 400_000**2 / 160e6 - 1),),
)
def entries(n, single):
    return (
        single - square(n, "f4"), 400_000**2 - 16 * 10**10, square(400_000, "f4") - 640 * 10**9,
        square(10**8, "f4") - 40 * 10**15,
    )  # fmt: skip


@claim(
    "cost.natural-gradient",
    "Beyond 100 000 variables natural gradient is the method to use",
    NW + "§7.2",
    sizes,
    "false",
    corrected="Its matrix takes n² numbers, 80 GB at 1e5 in double precision; L-BFGS with ten pairs 2mn, 16 MB",
    scale=lambda: 1,
    because=WHOLE,
    fails=(Fails("as stated, beside L-BFGS", sizes, lambda: square(10**5, "f8") / (20 * 10**5 * 8) - 1),),
)
def natural_gradient(n, double):
    return double - square(n, "f8"), square(10**5, "f8") - 80 * 10**9, 20 * 10**5 * 8 - 16 * 10**6


def transformer(d, hidden, blocks, classes, patch):
    """Weights and biases of a patch embedding, a class token, `blocks` of attention and two layers, and a head."""
    embedding, head = patch * d + d, d * classes + classes
    attention, layers, norms = 4 * (d * d + d), d * hidden + hidden + hidden * d + d, 2 * 2 * d
    return embedding + d + blocks * (attention + layers + norms) + head


@claim(
    "cost.small-transformer",
    "A vision transformer of width 128 with 4 blocks, patches of 8×8×3 and 10 classes has around 400 000 weights",
    "direct",
    lambda draw: {"count": transformer(128, 256, 4, 10, 8 * 8 * 3)},
    "false",
    corrected="556 042 with layers of 256: 24 704 + 128 + 4 · 132 480 + 1290; its Hessian has 3.09e11 entries, 1.24 TB",
    scale=lambda: 1,
    because=WHOLE,
    fixed=True,
    fails=(
        Fails(
            "as stated",
            lambda draw: {"count": transformer(128, 256, 4, 10, 8 * 8 * 3)},
            lambda count: count / 400_000 - 1,
        ),
    ),
)
def small_transformer(count):
    return count - 556_042, round(count**2 / 1e11, 2) - 3.09, round(4 * count**2 / 1e12, 2) - 1.24


def kernels(d, hidden, blocks, classes, patch):
    """Of these, what is in arrays with two axes: token, layers and head; the kernels of attention have three."""
    return d + blocks * 2 * d * hidden + d * classes


@claim(
    "cost.shampoo-coverage",
    "Shampoo for arrays with two axes preconditions that transformer",
    "direct",
    lambda draw: {"count": kernels(128, 256, 4, 10, 8 * 8 * 3), "all": transformer(128, 256, 4, 10, 8 * 8 * 3)},
    "false",
    corrected="263 552 of its 556 042 weights, 47.4 %: kernels of attention have three axes, that of the patches four",
    scale=lambda: 1,
    because=WHOLE,
    fixed=True,
    fails=(
        Fails(
            "as stated",
            lambda draw: {"count": kernels(128, 256, 4, 10, 8 * 8 * 3), "all": transformer(128, 256, 4, 10, 8 * 8 * 3)},
            lambda count, all: 1 - count / all,
        ),
    ),
)
def shampoo_coverage(count, all):
    return count - 263_552, all - 556_042, round(1000 * count / all) - 474


# --- operations --------------------------------------------------------------------------------------------------


def lu(A):
    """L, U with A = LU, and the operations, one by one."""
    n, U, L, flops = len(A), A + 0, eye(A), 0
    for k in range(n):
        for i in range(k + 1, n):
            L[i, k] = U[i, k] / U[k, k]
            flops += 1
            for j in range(k + 1, n):
                U[i, j] = U[i, j] - L[i, k] * U[k, j]
                flops += 2
            U[i, k] = 0 * U[i, k]
    return L, U, flops


def ldl(A):
    """L and the pivots D of A = LDLᵀ, from one triangle of A, and the operations."""
    n, work, L, flops = len(A), A + 0, eye(A), 0
    for k in range(n):
        for i in range(k + 1, n):
            L[i, k] = work[i, k] / work[k, k]
            flops += 1
            for j in range(k + 1, i + 1):
                work[i, j] = work[i, j] - L[i, k] * work[j, k]
                flops += 2
    return L, work.diagonal(), flops


def factored(draw):
    A = draw.spd(draw.size(), 1e2)
    return {"A": A, "lu": lu(A), "ldl": ldl(A)}


@claim(
    "cost.solve",
    "Elimination takes 2n³/3 operations to highest order, a triangle of a symmetric matrix n³/3, half of that",
    GOLUB,
    factored,
    given="A ≻ 0 here, so that no rows change places; n³/3 without the roots of Cholesky",
    scale=lambda A: (size(A), size(A), 1, 1),
    because="sums of products of the size of A; operations are whole numbers",
)
def solve(A, lu, ldl):
    """Exactly (4n³ − 3n² − n)/6 and (2n³ + 3n² − 5n)/6: the difference to 2n³/3 and n³/3 is O(n²)."""
    n, (L, U, flops), (K, D, fewer) = len(A), lu, ldl
    return (
        L @ U - A,
        (K * D) @ K.T - A,
        6 * flops - (4 * n**3 - 3 * n**2 - n),
        6 * fewer - (2 * n**3 + 3 * n**2 - 5 * n),
    )


def history(draw, with_row):
    """More steps than the memory holds."""
    m, n = int(draw.rng.integers(1, 5)), draw.size()
    vectors = [draw.vector(n) for _ in range(m + int(draw.rng.integers(1, 6)))]
    S = blank_rows(m, vectors[0])
    for k, s in enumerate(vectors):
        S = with_row(S, k, s)
    return {"m": m, "all": np.array(vectors), "kept": np.array(S), "ordered": latest(S, len(vectors))}


@claim(
    "cost.l-bfgs",
    "L-BFGS remembers every pair",
    NW + "§7.2",
    history,
    "false",
    corrected="The last m only, in 2mn numbers however many steps there are; the newest takes the place of the oldest",
    uses=("ops.with_row",),
    scale=lambda: 1,
    because="rows are copied, not computed",
    fails=(Fails("as stated, more than m steps", history, lambda all, kept: all.size / kept.size - 1),),
)
def l_bfgs(m, all, kept, ordered):
    return ordered - all[-m:], kept.size - m * all.shape[1]


class Counted:
    """A number that counts the operations on numbers of its kind."""

    done = 0

    def __init__(self, value):
        self.value = float(value)

    def __float__(self):
        return self.value


def counted(operation):
    def apply(self, other):
        if not isinstance(other, Counted):
            return NotImplemented
        Counted.done += 1
        return Counted(operation(self.value, other.value))

    return apply


for name in ("__add__", "__sub__", "__mul__", "__truediv__"):
    setattr(Counted, name, counted(getattr(float, name)))


def counting(values):
    return np.vectorize(Counted, otypes=[object])(values)


def product(draw, two_loop):
    """Hq by the loops over m pairs, with the operations counted, and by the matrix H."""
    n, m = draw.size(), int(draw.rng.integers(1, 5))
    S, gamma, q = np.array([draw.vector(n) for _ in range(m)]), draw.number(1, 9), draw.vector(n)
    Y = S @ draw.spd(n, 10)
    Counted.done = 0
    found = two_loop(counting(S), counting(Y), m, Counted(gamma), counting(q))
    return {"S": S, "Y": Y, "gamma": gamma, "q": q, "Hq": found.astype(float), "done": Counted.done}


@claim(
    "cost.two-loop",
    "A product by the two loops takes 4mn operations",
    NW + "§7.2",
    product,
    "imprecise",
    corrected="10mn + n: 4mn multiplications, as many additions, and 2mn operations for the yᵀs, unless they are kept",
    uses=("ops.two_loop",),
    scale=lambda S, Y, gamma, q: (1, growth(S, Y, gamma) * size(q)),
    because=WHOLE + "; " + PRODUCTS,
    exact=False,
    fails=(Fails("as stated, all operations counted", product, lambda S, done: done / (4 * S.size) - 1),),
)
def two_loop(S, Y, gamma, q, Hq, done):
    return done - 10 * S.size - len(q), dense(S, Y, gamma) @ q - Hq
