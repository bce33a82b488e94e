"""Arrays as matrices along an axis, and in pieces: against einsum and plain indexing."""

import numpy as np
import pytest

from refopt.tensors import along, gram, pieces, reunited, unfolded

G = np.random.default_rng(0).standard_normal((2, 3, 4))


def test_along_every_axis(namespace):
    X = np.random.default_rng(1).standard_normal((5, 4))
    found = namespace.to_numpy(along(namespace.asarray(X), namespace.asarray(G), 2))
    assert np.allclose(found, np.einsum("ck,ijk->ijc", X, G), rtol=1e-14)
    X = X[:, :3]
    assert np.allclose(along(X, G, 1), np.einsum("bj,ijk->ibk", X, G), rtol=1e-14)


def test_gram_matrices(namespace):
    for axis, subscripts in enumerate(("ajk,bjk->ab", "iak,ibk->ab", "ija,ijb->ab")):
        found = namespace.to_numpy(gram(namespace.asarray(G), axis))
        assert np.allclose(found, np.einsum(subscripts, G, G), rtol=1e-13)
        assert unfolded(G, axis).shape == (G.shape[axis], G.size // G.shape[axis])


@pytest.mark.parametrize("longest", [0, 1, 2, 3, 9])
@pytest.mark.parametrize("shape", [(7,), (5, 4), (2, 3, 4), (1, 1), ()])
def test_pieces_are_together_the_array(shape, longest, namespace):
    A = np.arange(float(np.prod(shape, dtype=int))).reshape(shape)
    parts = [namespace.asarray(A[piece]) for piece in pieces(shape, longest)]
    assert np.array_equal(namespace.to_numpy(reunited(parts, shape, longest)), A)
    if longest:
        assert all(max(part.shape, default=0) <= longest for part in parts)
    lengths = [{part.shape[k] for part in parts} for k in range(len(shape))]
    assert all(max(each) - min(each) <= 1 for each in lengths)
