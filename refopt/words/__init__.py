"""The loop bodies of the vocabulary: what the words of ``refopt.ops`` and the array operators become when compiled.

Each word does to float64 arrays of NumPy what the word of the same name in ``refopt.ops`` does to any array. Plain
Python, so that it can be tested as it stands; compiled, it is a loop without temporaries. Of a ``Symmetric`` only the
lower triangle is read, and only it is written. Bodies index and write, which the protocols ``Vector``, ``Matrix`` and
``Symmetric`` do not offer to methods.
"""

# ruff: noqa: F401

from refopt.words.arithmetic import (
    copied,
    copied_matrix,
    divided,
    greater,
    leave_matrix,
    leave_row,
    leave_symmetric,
    leave_vector,
    lesser,
    matrix_plus,
    minus,
    moved,
    new_matrix,
    new_vector,
    over,
    plus,
    product,
    row_of,
    scaled,
    symmetric_product,
    symmetric_scaled,
    times,
    zero_matrix,
    zero_vector,
)
from refopt.words.differences import (
    difference_gradient,
    difference_hessian,
    difference_jacobian,
    difference_product,
    exact_step,
    hessian_product,
    one_sided,
    one_sided_column,
    relative_length,
    second_difference_hessian,
    second_difference_product,
)
from refopt.words.history import blank_rows, two_loop, with_row
from refopt.words.lowest import lowest, oblique
from refopt.words.residuals import (
    column_norms,
    damped,
    outer,
    positive,
    rmatvec,
    solve_upper,
    solve_upper_t,
    triangular,
)
from refopt.words.spectrum import eigh, orthogonal, projected, row, solve_symmetric, stacked
from refopt.words.vocabulary import (
    absolute,
    cholesky,
    diagonal,
    dimension,
    dot,
    eps,
    finite,
    frobenius,
    gershgorin,
    identity,
    larger,
    norm,
    norm_inf,
    power,
    rank_one,
    rank_two,
    signs,
    solve_lower,
    solve_lower_t,
    weighted_max,
)

ORDERED = (
    difference_gradient,
    one_sided,
    difference_jacobian,
    one_sided_column,
    second_difference_hessian,
    exact_step,
    difference_product,
    second_difference_product,
)
"""Words whose rounding is meant: sums in them are not reordered."""
