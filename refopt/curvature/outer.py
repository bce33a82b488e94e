"""Sums of outer products of gradients, M = Σₛ σₛ Σₙ (Jₙᵀuₛₙ)(Jₙᵀuₛₙ)ᵀ, from cotangents u: whole, in blocks.

Two ways to the same numbers:

    rows       the gradients Jₙᵀuₛₙ one below another, Z (S·N, P), and M = ZᵀσZ: a symmetric rank-k product
    Kronecker  where every array of parameters is that of linear maps y = Wa + b used once in each sample: there Jₙᵀuₛₙ
               is gₛₙaₙᵀ, and the block of two maps l and m is Σₙ (Σₛ σₛ gˡₛₙ gᵐₛₙᵀ) ⊗ (aˡₙ aᵐₙᵀ). The sum over s is
               taken first; what remains is one product (o_l o_m, N)(N, i_l i_m), with S times fewer operations.

The Gram matrix of the rows, ZZᵀ, has the same two ways: for linear maps it is Σ_l (aˡaˡᵀ) ∘ (gˡgˡᵀ), without any row.

Shapes: u (S, N, …, C), signs σ (S,), of ±1.   Cost: rows SNP² flops, Kronecker NP²; memory beside the result
a few times its own, or ``WORKING`` bytes, whatever N is.
"""

from collections.abc import Callable, Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np

from refopt.expansion import Expansion, OfFunction
from refopt.ops import Matrix, Vector, device, namespace
from refopt.room import itemsize

WORKING = 2**25  #: bytes of what is computed on the way

Cotangents = Callable[[Expansion, slice], tuple[Any, list[float]]]
"""u and σ at the samples of an expansion, which are those of a slice of all samples."""


def batches(point: Expansion, terms: int) -> Iterator[tuple[Expansion, slice]]:
    """The expansion in parts, with the slices of all samples that they are."""
    N, whole, count = point.problem.samples, point.problem, samples_at_once(point, terms)
    if count >= N:
        yield point, slice(0, N)
        return
    for first in range(0, N, count):
        rows = slice(first, min(first + count, N))
        masks = tuple(mask[rows, ...] for mask in whole.masks)
        yield whole.batch(whole.X[rows, ...], whole.y[rows, ...], masks).at(point.x), rows


def samples_at_once(point: Expansion, terms: int) -> int:
    """So many that `terms` gradients of each take ``WORKING`` bytes, or as many as M."""
    P = point.x.shape[0]
    return max(1, int(max(WORKING / itemsize(point.x), P * P) / (terms * P)))


def terms(point: Expansion) -> int:
    """How many numbers a sample has as outputs: as many columns as a factor of its loss has, or about so."""
    return prod(point.f.shape[1:])


# --- whole, and in blocks ----------------------------------------------------------------------------------------


def blocks(point: Expansion, cotangents: Cotangents, parts: list[slice], count: int) -> list[Matrix]:
    """The blocks of M on the diagonal, for disjoint parts of the flat vector; `count` is S, or about that."""
    found = list[Any]([None] * len(parts))
    for some, rows in batches(point, count):
        u, signs = cotangents(some, rows)
        maps = linear_maps(some, u) if u.shape[0] > 1 else None
        if maps is None:
            added = by_rows(some.per_sample_vjp(u), signs, parts)
        else:
            added = [by_kronecker(maps, signs, part) for part in parts]
        found = [more if block is None else block + more for block, more in zip(found, added, strict=True)]
    return found


def by_rows(Z: Any, signs: list[float], parts: list[slice]) -> list[Matrix]:
    """ZᵀσZ for gradients Z (S, N, P)."""
    xp, P = namespace(Z), Z.shape[-1]
    plus = [s for s, sign in enumerate(signs) if sign > 0.0]
    minus = [s for s, sign in enumerate(signs) if sign < 0.0]
    groups = [(1.0, Z)] if not minus else [(1.0, _stacked(Z, plus)), (-1.0, _stacked(Z, minus))]
    found = []
    for part in parts:
        total = None
        for sign, rows in groups:
            cut = xp.reshape(rows, (-1, P))[:, part]
            product = xp.matrix_transpose(cut) @ cut
            total = product if total is None else total + sign * product
        found.append(total)
    return found


def by_kronecker(maps: "list[LinearMap]", signs: list[float], part: slice) -> Matrix:
    """The block of M in a part of the flat vector, from linear maps."""
    xp, like, start = namespace(maps[0].a), maps[0].a, part.start
    maps = [one for one in maps if any(_inside(piece, part) for piece in one.pieces)]
    size = part.stop - start
    M = xp.zeros((size, size), dtype=like.dtype, device=device(like))
    for j, first in enumerate(maps):
        signed = first.g if min(signs) > 0.0 else first.g * xp.asarray(signs, dtype=like.dtype, device=device(like))
        for second in maps[j:]:
            S = xp.matmul(signed, xp.matrix_transpose(second.g))  # (N, o, o'), summed over s
            S = xp.matrix_transpose(xp.reshape(S, (S.shape[0], -1)))
            for p, a in first.inputs(part):
                for q, b in second.inputs(part):
                    if p.start > q.start or p.start == p.stop or q.start == q.stop:
                        continue  # b and W, the transpose of W and b; a layer without inputs or outputs
                    rows, columns = _shifted(p, start), _shifted(q, start)
                    if p == q:
                        M[rows, columns] = _square(S, a, first.outputs)
                    else:
                        block = _products(S, a, b, (first.outputs, second.outputs))
                        M[rows, columns], M[columns, rows] = block, xp.matrix_transpose(block)
    return M


def _products(S: Matrix, a: Matrix, b: Matrix, outputs: tuple[int, int]) -> Matrix:
    """Σₙ Sₙ ⊗ aₙbₙᵀ, (o·i, o'·i'), for S (o·o', N)."""
    xp, inputs = namespace(S), (a.shape[1], b.shape[1])
    width = inputs[0] * inputs[1]
    outer = lambda some: xp.reshape(a[some, :, None] * b[some, None, :], (-1, width))
    apart = xp.permute_dims(xp.reshape(_summed(S, outer, width), (*outputs, *inputs)), (0, 2, 1, 3))
    return xp.reshape(apart, (outputs[0] * inputs[0], outputs[1] * inputs[1]))


def _square(S: Matrix, a: Matrix, o: int) -> Matrix:
    """Σₙ Sₙ ⊗ aₙaₙᵀ for symmetric Sₙ: a quarter of it is computed, where o ≥ o' and i ≥ i'; the rest is the same."""
    xp, i = namespace(a), a.shape[1]
    lower, places = _triangle(o, a)
    lower_i, places_i = _triangle(i, a)
    rows, columns = lower_i // i, lower_i % i
    outer = lambda some: xp.take(a[some, :], rows, axis=1) * xp.take(a[some, :], columns, axis=1)
    total = _summed(xp.take(S, lower, axis=0), outer, rows.shape[0])
    whole = xp.take(xp.take(total, places_i, axis=1), places, axis=0)
    apart = xp.permute_dims(xp.reshape(whole, (o, o, i, i)), (0, 2, 1, 3))
    return xp.reshape(apart, (o * i, o * i))


def _triangle(n: int, like: Any) -> tuple[Any, Any]:
    """Where the lower triangle of a raveled (n, n) matrix is, and where in it each entry of the matrix is."""
    rows, columns = np.tril_indices(n)
    places = np.zeros((n, n), dtype=int)
    places[rows, columns] = places[columns, rows] = np.arange(rows.size)
    xp = namespace(like)
    return tuple(xp.asarray(index, device=device(like)) for index in (rows * n + columns, places.reshape(-1)))


def _summed(S: Matrix, outer: Callable[[slice], Matrix], width: int) -> Matrix:
    """S (k, N) times N rows of so many numbers, some samples at a time."""
    N = S.shape[1]
    count, total = max(1, int(WORKING / (width * itemsize(S)))), None
    for first in range(0, N, count):
        some = slice(first, min(first + count, N))
        more = S[:, some] @ outer(some)
        total = more if total is None else total + more
    return total


# --- the diagonal, and the Gram matrix ---------------------------------------------------------------------------


def diagonal(point: Expansion, cotangents: Cotangents, count: int) -> Vector:
    """diag M (P,)."""
    total = None
    for some, rows in batches(point, count):
        u, signs = cotangents(some, rows)
        for sign in sorted(set(signs), reverse=True):
            chosen = _stacked(u, [s for s, other in enumerate(signs) if other == sign])
            more = some.squared_vjp(chosen)
            more = more if sign > 0.0 else -more
            total = more if total is None else total + more
    return total


def gram(point: Expansion, u: Any) -> Matrix:
    """ZZᵀ (S·N, S·N), of the rows Jₙᵀuₛₙ in the order of u."""
    xp, size = namespace(u), u.shape[0] * u.shape[1]
    maps = linear_maps(point, u)
    if maps is None:
        Z = xp.reshape(point.per_sample_vjp(u), (size, -1))
        return Z @ xp.matrix_transpose(Z)
    total = None
    for one in maps:
        g = xp.reshape(xp.permute_dims(one.g, (2, 0, 1)), (size, -1))
        a = one.a @ xp.matrix_transpose(one.a)
        a = a + 1.0 if len(one.pieces) > 1 else a
        N = a.shape[0]
        G = xp.reshape(g @ xp.matrix_transpose(g), (u.shape[0], N, u.shape[0], N)) * a[None, :, None, :]
        total = G if total is None else total + G
    return xp.reshape(total, (size, size))


# --- linear maps -------------------------------------------------------------------------------------------------


class LinearMap(NamedTuple):
    """y = Wa + b: inputs a (N, in), gradients g (N, out, S), and where W and b are in the flat vector."""

    a: Matrix
    g: Any
    pieces: tuple[slice, ...]

    @property
    def outputs(self) -> int:
        return self.g.shape[1]

    def inputs(self, part: slice) -> list[tuple[slice, Matrix]]:
        """What W and b, so far as they are in the part, multiply: a, and 1."""
        ones = namespace(self.a).ones((self.a.shape[0], 1), dtype=self.a.dtype, device=device(self.a))
        found = list(zip(self.pieces, (self.a, ones), strict=False))
        return [(piece, value) for piece, value in found if _inside(piece, part)]


def linear_maps(point: Expansion, u: Any) -> list[LinearMap] | None:
    """All linear maps, where they hold all parameters and each is used at one position of a sample; else None."""
    if isinstance(point, OfFunction) or point.net.plan.shares:
        return None
    found = []
    for capture in point.captures(u):
        if capture.a.shape[1] != 1:
            return None
        pieces = (capture.weight,) if capture.bias is None else (capture.weight, capture.bias)
        g = namespace(u).permute_dims(capture.g[:, :, 0, :], (1, 2, 0))
        found.append(LinearMap(capture.a[:, 0, :], g, pieces))
    covered = sum(piece.stop - piece.start for one in found for piece in one.pieces)
    return found if covered == point.net.size else None


def _inside(piece: slice, part: slice) -> bool:
    return part.start <= piece.start and piece.stop <= part.stop


def _shifted(piece: slice, start: int) -> slice:
    return slice(piece.start - start, piece.stop - start)


def _stacked(u: Any, chosen: list[int]) -> Any:
    """The chosen rows of a stack."""
    if len(chosen) == u.shape[0]:
        return u
    xp = namespace(u)
    return xp.take(u, xp.asarray(chosen, device=device(u)), axis=0)
