"""
Exercises, worked
=================

Pencil-and-paper exercises on second-order methods, each worked by the library and checked against the answer. Where the
numbers are rational the arithmetic is too: then "equal" means equal.
"""

from fractions import Fraction
from itertools import islice

import matplotlib.pyplot as plt
import numpy as np

import refopt
from refopt import exact
from refopt.methods import newton

# %%
# Newton on a quadratic
# ---------------------
#
# *Minimize f(w) = ½ wᵀAw − bᵀw with A = [[4, 1], [1, 2]] and b = (3, 2) by one Newton step from w = 0.*
#
# A⁻¹b = (4/7, 5/7), there the gradient is zero, and f = −½ bᵀA⁻¹b = −11/7. One step from anywhere is enough.

A, b = exact.array([[4, 1], [1, 2]]), exact.array([3, 2])
w = exact.solve(A, b)
print("w =", *w, "  gradient", *(A @ w - b), "  f =", w @ A @ w / 2 - b @ w)

A, b = np.array([[4.0, 1.0], [1.0, 2.0]]), np.array([3.0, 2.0])
quadratic = refopt.Problem(lambda w: 0.5 * w @ A @ w - b @ w, lambda w: A @ w - b, lambda w: A)
first, second = islice(refopt.iterate(newton, quadratic, np.zeros(2)), 2)
print("by the method:", second.x, "and", np.array([4, 5]) / 7)

# %%
# *Must A be positive definite?* For the one step no, for a minimum yes: with A = diag(1, −2) the step ends on a saddle.

A, b = np.diag([1.0, -2.0]), np.zeros(2)
saddle = refopt.Problem(lambda w: 0.5 * w @ A @ w, lambda w: A @ w, lambda w: A)
state = next(islice(refopt.iterate(newton, saddle, np.array([3.0, 1.0])), 1, None))
print("gradient", state.g, "at a point with eigenvalues", np.linalg.eigvalsh(A))

# %%
# A narrow valley
# ---------------
#
# *Take one step from (1, 1) on f = w₁² + 100 w₂², by gradient descent and by the natural gradient with the Hessian as
# metric, both with α = 0.01.*
#
# Gradient (2, 200): gradient descent goes to (0.98, −1), across the valley; the natural gradient to (0.99, 0.99), along
# it. With α = 0.01 gradient descent never stops crossing.

w, H, step = exact.array([1, 1]), exact.array([[2, 0], [0, 200]]), Fraction(1, 100)
print("gradient descent:", *map(float, w - step * (H @ w)))
print("natural gradient:", *map(float, w - step * exact.solve(H, H @ w)))

# %%
# A linear layer
# --------------
#
# *For y = Wx, what is the Gauss-Newton matrix of ½‖Wx − t‖² with respect to W?*
#
# That depends on how W is made a vector. Row by row, J = I ⊗ xᵀ and G = I ⊗ xxᵀ: one block for each output. Column by
# column, J = xᵀ ⊗ I and G = xxᵀ ⊗ I. The two are permutations of each other, and not equal.

x, m = np.array([1.0, 2.0, -1.0]), 2
rows = np.kron(np.eye(m), np.outer(x, x))
columns = np.kron(np.outer(x, x), np.eye(m))
J_rows = np.kron(np.eye(m), x[None, :])
J_columns = np.kron(x[None, :], np.eye(m))
K = np.eye(m * len(x))[np.arange(m * len(x)).reshape(m, len(x)).T.reshape(-1)]  # from rows to columns
print("row by row:", (J_rows.T @ J_rows == rows).all())
print("column by column:", (J_columns.T @ J_columns == columns).all())
print("equal:", (rows == columns).all(), "  equal after the permutation:", (K @ rows @ K.T == columns).all())

figure, panels = plt.subplots(1, 2, figsize=(6, 2.9), layout="constrained")
titles = r"row by row: $I \otimes xx^T$", r"column by column: $xx^T \otimes I$"
for panel, G, title in zip(panels, (rows, columns), titles, strict=True):
    panel.imshow(G, cmap="RdBu", vmin=-4, vmax=4)
    panel.set(title=title, xticks=[], yticks=[])
plt.show()

# %%
# Gauss-Newton where JᵀJ is singular
# ----------------------------------
#
# *When is JᵀJ positive definite, and what is the step when it is not?*
#
# Exactly when J has full column rank. Otherwise the normal equations JᵀJ p = −Jᵀr still have solutions; the shortest
# one is −J⁺r, and it is the limit of Levenberg-Marquardt steps as λ → 0.

J, r = np.outer([1.0, 2.0, 3.0], [1.0, -1.0]), np.array([1.0, 0.0, 2.0])
fit = refopt.least_squares(lambda p: J @ p + r, np.zeros(2), jac=lambda p: J)
damped = -np.linalg.solve(J.T @ J + 1e-10 * np.eye(2), J.T @ r)
print("rank", np.linalg.matrix_rank(J), "  p =", fit.x, "  normal equations:", fit.grad)
print("by the pseudoinverse:", -np.linalg.pinv(J) @ r, "  with λ = 1e-10:", damped)
print(fit.advice)

# %%
# Gauss-Newton that walks away
# ----------------------------
#
# *Does Gauss-Newton always converge near a solution?* For r(x) = (x + 1, λx² + x − 1) with λ < 1 the minimum is x = 0,
# and the error is multiplied by about λ at each step, but for its sign: the second derivatives that the method leaves
# out weigh that much. Levenberg-Marquardt lowers f or does not move, and comes home in every case.

for curvature in (-0.3, -0.9, -1.5):
    residual = lambda x, c=curvature: np.array([x[0] + 1, c * x[0] ** 2 + x[0] - 1])
    jacobian = lambda x, c=curvature: np.array([[1.0], [2 * c * x[0] + 1]])
    x, errors = np.array([1e-3]), []
    for _ in range(5):
        errors.append(abs(x[0]))
        x = x - np.linalg.lstsq(jacobian(x), residual(x))[0]
    fit = refopt.least_squares(residual, [1e-3], jac=jacobian)
    print(f"λ = {curvature}: eₖ₊₁/eₖ = {errors[-1] / errors[-2]:.3f}, Levenberg-Marquardt ends at {fit.x[0]:.0e}")
