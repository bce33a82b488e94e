"""Write down the Kronecker factors of other libraries: ``python tests/peers/record_kfac.py`` where they are installed.

    pip install torch curvlinops-for-pytorch backpack-for-pytorch nngeometry kfac-jax "jax<0.8"

One npz file for each of them in ``tests/peers/kfac``: the factors A0, A1, … layer by layer, once for all cases that
have them in common; "CASE/G", the upper triangles of all G of a case one after the other; products of whole matrices
with a few vectors; the labels that were drawn; parameters and data of each model, and versions.
"""

import sys
import warnings
from importlib.metadata import version
from itertools import product
from pathlib import Path
from unittest import mock

import numpy as np

HERE = Path(__file__).parent
DATA = HERE / "kfac"
LOSSES = ("cross-entropy", "mse", "binary-cross-entropy")
MODELS = ("dense", "binary", "convolutional", "grouped", "segmentation", "tokens", "attention", "pooled", "tied")
REDUCTIONS = ("sum", "mean")


def curvlinops(kept):
    from curvlinops import EKFACLinearOperator, KFACInverseLinearOperator, KFACLinearOperator

    from peers import kfac_models as peer

    def operator(kind, name, loss, reduction, fisher, sharing, bias="joint"):
        model = peer.model(name, loss)
        parameters = [p for layer in peer.linear_layers(model) for p in layer.parameters()]
        return kind(
            model, peer.loss_of(loss, reduction), parameters, [tensors(name, loss)], fisher_type=fisher,
            kfac_approx=sharing, separate_weight_and_bias=bias == "separate", check_deterministic=False,
        )  # fmt: skip

    def factors(name, loss, reduction, fisher, sharing):
        K, drawn = operator(KFACLinearOperator, name, loss, reduction, fisher, sharing), []
        K.draw_label = told(lambda f, draw=K.draw_label: draw(f).detach(), drawn)
        K.compute_kronecker_factors()
        inputs, gradients = ([each[layer] for layer in K._mapping] for each in
                             (K._input_covariances, K._gradient_covariances))  # fmt: skip
        keep(kept, "/".join((name, loss, reduction, fisher, sharing)), gradients, inputs, f"{name}/{sharing}")
        if drawn:
            once(kept, f"{name}/{loss}/drawn", drawn)

    for name, sharing in [(name, sharing) for name in MODELS for sharing in ("expand", "reduce")]:
        if (name, sharing) in (("dense", "reduce"), ("binary", "reduce"), ("binary", "expand")):
            continue
        kinds = ("type-2", "mc", "empirical", *(["forward-only"] if name == "dense" else []))
        for loss, reduction, fisher in product(LOSSES, REDUCTIONS, kinds):
            factors(name, loss, reduction, fisher, sharing)
    for name, loss, reduction, fisher in product(
        ("dense", "convolutional", "pooled"), LOSSES, REDUCTIONS, ("type-2", "empirical")
    ):
        for bias in ("joint", "separate") if (loss, reduction) == ("cross-entropy", "mean") else ("joint",):
            E = operator(EKFACLinearOperator, name, loss, reduction, fisher, "expand", bias)
            kept[f"{name}/{loss}/{reduction}/{fisher}/ekfac/{bias}"] = some_columns(E, 1)
    K = operator(KFACLinearOperator, "dense", "cross-entropy", "mean", "type-2", "expand")
    kept["dense/exact"] = some_columns(KFACInverseLinearOperator(K, damping=0.1, use_exact_damping=True))
    kept["dense/pi"] = some_columns(
        KFACInverseLinearOperator(K, damping=0.1, use_heuristic_damping=True, min_damping=0.0)
    )
    kept["dense/factored"] = some_columns(KFACInverseLinearOperator(K, damping=0.1))


def backpack(kept):
    from backpack import backpack, extend
    from backpack.core.derivatives.nll_base import NLLLossDerivatives
    from backpack.extensions import KFAC, KFLR

    from peers import kfac_models as peer

    both = ("cross-entropy", "mse")
    of = {"dense": both, "convolutional": both, "segmentation": both[:1], "binary": ("binary-cross-entropy",)}
    cases = [(name, loss) for name, losses in of.items() for loss in losses]
    for (name, loss), reduction in product(cases, REDUCTIONS):
        for fisher, extension in (("exact", KFLR()), ("mc", KFAC(mc_samples=3))):
            model, ell, drawn = extend(peer.model(name, loss)), extend(peer.loss_of(loss, reduction)), []
            X, y = tensors(name, loss)
            scores = NLLLossDerivatives.compute_sampled_grads
            with (
                backpack(extension),
                mock.patch.object(NLLLossDerivatives, "compute_sampled_grads", told(scores, drawn)),
            ):
                ell(model(X), y).backward()
            G, A = zip(
                *(getattr(layer.weight, extension.savefield) for layer in peer.linear_layers(model)), strict=True
            )
            keep(kept, f"{name}/{loss}/{reduction}/{fisher}", G, A, name)
            if drawn:
                kept[f"{name}/{loss}/{reduction}/scores"] = drawn[0].detach().numpy()


def nngeometry(kept):
    import torch
    from nngeometry.metrics import FIM, FIM_MonteCarlo
    from nngeometry.object import PMatEKFAC, PMatKFAC
    from torch.utils.data import DataLoader, TensorDataset

    from peers import kfac_models as peer

    def loader(name, loss):
        X, y = tensors(name, loss)
        return DataLoader(TensorDataset(X, y), batch_size=len(X))

    def factors(case, K):
        A, G = zip(*K.data.values(), strict=True)
        keep(kept, case, G, A, case)

    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # its constants are of this type
    exact = {"cross-entropy": "classif_logits", "mse": "regression", "binary-cross-entropy": "classif_binary_logits"}
    for name, loss in [
        *product(("dense", "convolutional"), ("cross-entropy", "mse")), ("binary", "binary-cross-entropy"),
    ]:  # fmt: skip
        model, arguments = peer.model(name), (exact[loss], "cpu")
        factors(f"{name}/{loss}/exact", FIM(model, loader(name, loss), PMatKFAC, *arguments))
        E = FIM(model, loader(name, loss), PMatEKFAC, *arguments)
        E.update_diag(loader(name, loss))
        kept[f"{name}/{loss}/ekfac"] = E.to_torch().detach().numpy() @ vectors(E.size(0))
    for name in ("dense", "convolutional", "segmentation"):
        variant, drawn = "segmentation_logits" if name == "segmentation" else "classif_logits", []
        model, data = peer.model(name), loader(name, "cross-entropy")
        with mock.patch.object(torch, "multinomial", told(torch.multinomial, drawn)):
            factors(f"{name}/cross-entropy/mc", FIM_MonteCarlo(model, data, PMatKFAC, variant, trials=3))
        kept[f"{name}/cross-entropy/drawn"] = drawn[0].numpy()
    torch.set_default_dtype(default)


def kfac_jax(kept):
    import jax
    import kfac_jax
    from kfac_jax._src.loss_functions import DistributionNegativeLogProbLoss

    from peers import kfac_models as peer
    from peers.jax_models import forward

    jax.config.update("jax_enable_x64", True)
    register = {
        "cross-entropy": kfac_jax.register_softmax_cross_entropy_loss,
        "mse": kfac_jax.register_squared_error_loss,
        "binary-cross-entropy": kfac_jax.register_sigmoid_cross_entropy_loss,
    }

    def estimated(name, loss, mode):
        model = peer.model(name, "mse")  # classes last
        params = [tuple(p.detach().numpy() for p in layer.parameters()) for layer in peer.linear_layers(model)]
        params = [(W.T if W.ndim == 2 else W.transpose(2, 3, 1, 0), b) for W, b in params]

        def registered(params, batch):
            X, y = batch
            f = forward(model, iter(params), X)
            register[loss](f, y)
            return jax.numpy.sum(f)  # only what is registered counts

        batch = tuple(jax.numpy.asarray(part) for part in peer.data(name, loss))
        estimator = kfac_jax.BlockDiagonalCurvature(registered, default_estimation_mode=mode)
        state = estimator.init(jax.random.PRNGKey(0), (params, batch), exact_powers_to_cache=None,
                               approx_powers_to_cache=None, cache_eigenvalues=False)  # fmt: skip
        state = estimator.update_curvature_matrix_estimate(
            state, ema_old=0.0, ema_new=1.0, identity_weight=0.0, batch_size=len(batch[0]), rng=jax.random.PRNGKey(1),
            func_args=(params, batch),
        )  # fmt: skip
        blocks = list(zip(estimator.blocks, state.blocks_states, strict=True))
        A = [np.asarray(one.factors[0].value * block.state_dependent_scale(one)) for block, one in blocks]
        return A, [np.asarray(one.factors[1].value * block.fixed_scale()) for block, one in blocks]

    for name, loss, mode in product(
        ("dense", "convolutional", "segmentation", "tokens", "attention", "pooled", "tied"), LOSSES,
        ("fisher_exact", "fisher_gradients", "fisher_empirical"),
    ):  # fmt: skip
        drawn, sample = [], DistributionNegativeLogProbLoss.sample
        with mock.patch.object(DistributionNegativeLogProbLoss, "sample", told(sample, drawn)):
            A, G = estimated(name, loss, mode)
        alone = name in peer.POSITIONS and mode == "fisher_exact" and loss != "cross-entropy"
        keep(kept, f"{name}/{loss}/{mode}", G, A, f"{name}/one term at a time" if alone else name)
        if drawn:
            kept[f"{name}/{loss}/drawn"] = np.asarray(drawn)


def told(function, results):
    """The function, whose results are put on a list as well."""

    def telling(*arguments, **details):
        results.append(function(*arguments, **details))
        return results[-1]

    return telling


def keep(kept, case, G, A, common):
    """All G of a case, and the A that it has in common with others."""
    G, A = ([np.asarray(factor) for factor in factors] for factors in (G, A))
    kept[f"{case}/G"] = np.concatenate([factor[np.triu_indices(len(factor))] for factor in G])
    for k, factor in enumerate(A):
        once(kept, f"{common}/A{k}", factor)


def once(kept, key, array):
    """Keep an array that is the same in several cases."""
    array = np.asarray(array)
    if key in kept:
        assert np.allclose(kept[key], array, rtol=1e-13, atol=1e-13 * abs(array).max()), key
    kept.setdefault(key, array)


PEERS = {
    "curvlinops": ("curvlinops-for-pytorch", curvlinops),
    "backpack": ("backpack-for-pytorch", backpack),
    "nngeometry": ("nngeometry", nngeometry),
    "kfac_jax": ("kfac-jax", kfac_jax),
}


def record(peer):
    """The arrays of one file."""
    if str(HERE.parent) not in sys.path:
        sys.path.insert(0, str(HERE.parent))
    from peers import kfac_models

    package, fill = PEERS[peer]
    others = ("torch", "numpy", "jax") if peer == "kfac_jax" else ("torch", "numpy")
    kept = {"versions": ", ".join(f"{name} {version(name)}" for name in (package, *others))}
    for name in MODELS:
        kept[f"{name}/x"] = kfac_models.parameters(kfac_models.model(name))
        for loss in LOSSES:
            kept[f"{name}/X"], kept[f"{name}/{loss}/y"] = kfac_models.data(name, loss)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fill(kept)
    return kept


def tensors(name, loss):
    import torch

    from peers import kfac_models

    return tuple(map(torch.from_numpy, kfac_models.data(name, loss)))


def some_columns(operator, columns=3):
    """The products with a few vectors."""
    import torch

    return (operator @ torch.from_numpy(vectors(operator.shape[1], columns))).detach().numpy()


def vectors(P, columns=3):
    return np.random.default_rng(2).standard_normal((P, columns))


if __name__ == "__main__":
    DATA.mkdir(exist_ok=True)
    for peer in sys.argv[1:] or PEERS:
        np.savez_compressed(DATA / f"{peer}.npz", **record(peer))
