"""The linear layer y = Wx, whose Jacobian and Hessian are Kronecker products; vec and row as in ``kronecker``."""

import numpy as np

from refopt.linalg import row, vec
from refopt.oracle.claim import Fails, claim
from refopt.oracle.claims.kronecker import MN, SUMS
from refopt.oracle.draw import bulk


def layer(draw, kron):
    """y = Wx with W of shape (m, d): Jacobians in both orders, and a direction U."""
    m, d = draw.size(2, 3), draw.size(2, 3)
    x, U, one = draw.vector(d), draw.matrix(m, d), draw.array(np.eye(m, dtype=int))
    line = x.reshape(1, d)
    return {
        "x": x, "U": U, "J_rows": kron(one, line), "J_columns": kron(line, one),
        "G_rows": kron(one, line.T @ line), "G_columns": kron(line.T @ line, one),
    }  # fmt: skip


@claim(
    "kronecker.linear-layer",
    "For y = Wx, J = I ⊗ xᵀ and JᵀJ = xxᵀ ⊗ I",
    MN,
    layer,
    "false",
    corrected="By rows J = I ⊗ xᵀ and JᵀJ = I ⊗ xxᵀ, a diagonal of equal blocks; by columns J = xᵀ ⊗ I, JᵀJ = xxᵀ ⊗ I",
    uses=("linalg.kron",),
    scale=lambda x, U: (*(bulk(x) * bulk(U),) * 2, *(bulk(x) ** 2,) * 2, *((bulk(x) * bulk(U)) ** 2,) * 2),
    because=SUMS,
    fails=(Fails("as stated", layer, lambda x, J_rows, G_columns: (J_rows.T @ J_rows - G_columns) / bulk(x) ** 2),),
)
def linear_layer(x, U, J_rows, J_columns, G_rows, G_columns):
    """‖Ux‖² is the second derivative of ½‖(W + tU)x − y‖²."""
    square = (U @ x) @ (U @ x)
    return (
        J_rows @ row(U) - U @ x, J_columns @ vec(U) - U @ x,
        J_rows.T @ J_rows - G_rows, J_columns.T @ J_columns - G_columns,
        row(U) @ G_rows @ row(U) - square, vec(U) @ G_columns @ vec(U) - square,
    )  # fmt: skip


def layer_loss(draw, kron):
    """(1/2n)‖WX − Y‖² of n samples: three values along U give its bend, exactly."""
    m, d, n = draw.size(1, 3), draw.size(1, 3), draw.size(2, 4)
    W, U, X, Y = draw.matrix(m, d), draw.matrix(m, d), draw.matrix(d, n), draw.matrix(m, n)
    values = [((V @ X - Y) ** 2).sum() / (2 * n) for V in (W + U, W, W - U)]
    one = draw.array(np.eye(m, dtype=int))
    J = np.vstack([kron(one, x[None]) for x in X.T])
    return {
        "n": n, "X": X, "U": U, "bend": values[0] - 2 * values[1] + values[2], "J": J,
        "H": kron(one, X @ X.T) / n, "most": abs(values[0]) + abs(values[1]) + abs(values[2]),
    }  # fmt: skip


@claim(
    "kronecker.mean-over-samples",
    "For (1/2n)‖WX − Y‖², JᵀJ = XXᵀ ⊗ I/n",
    "direct",
    layer_loss,
    "imprecise",
    corrected="The Hessian has the 1/n, by rows I ⊗ XXᵀ/n; JᵀJ of the outputs has not: it is I ⊗ XXᵀ",
    uses=("linalg.kron",),
    scale=lambda n, X, U, most: (4 * most + (bulk(X) * bulk(U)) ** 2, bulk(X) ** 2),
    because="three values of the loss, as large as this",
    fails=(Fails("as stated, n > 1", layer_loss, lambda X, J, H: (J.T @ J - H) / bulk(X) ** 2),),
)
def mean_over_samples(n, U, J, H, bend):
    return row(U) @ H @ row(U) - bend, J.T @ J - n * H


def two_rows(draw, kron):
    """The bend of ‖WX − Y‖² mixed between a row u of weights and another one v."""
    m, d, n = draw.size(2, 3), draw.size(1, 3), draw.size(1, 4)
    X, u, v = draw.matrix(d, n), draw.vector(d), draw.vector(d)
    one = draw.array(np.eye(m, dtype=int))
    first, second = one[:, :1] * u, one[:, 1:2] * v
    H = 2 * kron(one, X @ X.T)
    mixed = ((first + second) @ X) ** 2 - (first @ X) ** 2 - (second @ X) ** 2
    own, cross = row(first) @ H @ row(first), row(first) @ H @ row(second)
    return {"X": X, "u": u, "v": v, "mixed": mixed.sum(), "own": own, "cross": cross}


@claim(
    "kronecker.rows-decouple",
    "‖WX − Y‖² has no curvature between rows of W: each row has the Hessian 2XXᵀ, and can be refitted by itself",
    "direct",
    two_rows,
    given="the loss of this layer alone, not of a network around it",
    uses=("linalg.kron",),
    scale=lambda X, u, v: (bulk(X) * (bulk(u) + bulk(v))) ** 2,
    because=SUMS,
)
def rows_decouple(X, u, mixed, cross, own):
    return mixed, cross, own - 2 * ((u @ X) @ (u @ X))
