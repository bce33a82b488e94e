"""How long Kronecker factors of 17 000 parameters take, beside curvlinops and BackPACK where they are installed."""

import warnings

import numpy as np
import pytest

from benchmarks.beside_torch import both
from refopt.curvature import ekfac, kfac

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]


def near(ours, theirs):
    assert np.linalg.norm(ours - theirs) <= 1e-12 * np.linalg.norm(theirs)


@pytest.mark.parametrize("N", [256, 2048])
def test_beside_curvlinops(paired, N):
    curvlinops = pytest.importorskip("curvlinops")
    problem, x, model, X, y = both(N)

    def operator(kind):
        import torch

        K = kind(
            model, torch.nn.CrossEntropyLoss(), list(model.parameters()), [(X, y)], fisher_type="type-2",
            separate_weight_and_bias=False, check_deterministic=False, num_per_example_loss_terms=1, num_data=N,
        )  # fmt: skip
        K.compute_kronecker_factors()
        return K

    ours, theirs = paired(
        f"K-FAC, exact, 64-128-64-10, N = {N}", lambda: kfac(problem, x), "curvlinops",
        lambda: operator(curvlinops.KFACLinearOperator),
    )  # fmt: skip
    for k, layer in enumerate(("0", "2", "4")):
        near(ours.blocks[k].A, theirs._input_covariances[layer].numpy())
        near(ours.blocks[k].G, theirs._gradient_covariances[layer].numpy())

    def corrected():
        E = operator(curvlinops.EKFACLinearOperator)
        E.compute_eigenvalue_correction()
        return E

    ours, theirs = paired(f"EKFAC, exact, 64-128-64-10, N = {N}", lambda: ekfac(problem, x), "curvlinops", corrected)
    np.testing.assert_allclose(ours.trace(), float(theirs.trace), rtol=1e-12)


@pytest.mark.parametrize("N", [256, 2048])
def test_beside_backpack(paired, N):
    backpack = pytest.importorskip("backpack")
    from backpack.extensions import KFLR

    problem, x, model, X, y = both(N)
    loss = backpack.extend(__import__("torch").nn.CrossEntropyLoss())
    model = backpack.extend(model)

    def factors():
        with warnings.catch_warnings(), backpack.backpack(KFLR()):
            warnings.simplefilter("ignore")
            loss(model(X), y).backward()
        return [layer.weight.kflr for layer in model if hasattr(layer, "weight")]

    ours, theirs = paired(f"K-FAC, exact, 64-128-64-10, N = {N}", lambda: kfac(problem, x), "BackPACK", factors)
    for block, (G, _) in zip(ours.blocks, theirs, strict=True):
        near(block.G, G.numpy())
