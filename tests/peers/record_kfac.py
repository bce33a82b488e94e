"""Write down the Kronecker factors of other libraries: ``python tests/peers/record_kfac.py`` where they are installed.

    pip install torch curvlinops-for-pytorch backpack-for-pytorch nngeometry kfac-jax "jax<0.8"

One npz file for each of them in ``tests/peers/kfac``: the factors "CASE/A0", "CASE/G0", … layer by layer, products of
whole matrices with three vectors, parameters and data of each model, and versions.
"""

import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
DATA = HERE / "kfac"
LOSSES = ("cross-entropy", "mse", "binary-cross-entropy")


def curvlinops(kept):
    from curvlinops import EKFACLinearOperator, KFACInverseLinearOperator, KFACLinearOperator

    from peers import kfac_models as peer

    def operator(kind, name, loss, reduction, fisher, sharing, bias="joint"):
        model = peer.model(name, loss)
        return kind(
            model, peer.loss_of(loss, reduction), list(model.parameters()), [tensors(name, loss)], fisher_type=fisher,
            kfac_approx=sharing, separate_weight_and_bias=bias == "separate", check_deterministic=False,
        )  # fmt: skip

    def factors(case, *arguments):
        K = operator(KFACLinearOperator, *arguments)
        K.compute_kronecker_factors()
        for k, layer in enumerate(K._mapping):
            kept[f"{case}/A{k}"] = K._input_covariances[layer].numpy()
            kept[f"{case}/G{k}"] = K._gradient_covariances[layer].numpy()

    for loss in LOSSES:
        for reduction in ("sum", "mean"):
            for fisher in ("type-2", "empirical", "forward-only"):
                arguments = "dense", loss, reduction, fisher, "expand"
                factors("/".join(arguments), *arguments)
    for name in ("convolutional", "tokens", "attention"):
        for sharing in ("expand", "reduce"):
            for fisher in ("type-2", "empirical"):
                arguments = name, "cross-entropy", "mean", fisher, sharing
                factors("/".join(arguments), *arguments)
    for name in ("dense", "convolutional"):
        for bias in ("joint", "separate"):
            E = operator(EKFACLinearOperator, name, "cross-entropy", "mean", "type-2", "expand", bias)
            kept[f"{name}/ekfac/{bias}"] = some_columns(E)
    K = operator(KFACLinearOperator, "dense", "cross-entropy", "mean", "type-2", "expand")
    kept["dense/exact"] = some_columns(KFACInverseLinearOperator(K, damping=0.1, use_exact_damping=True))
    kept["dense/pi"] = some_columns(
        KFACInverseLinearOperator(K, damping=0.1, use_heuristic_damping=True, min_damping=0.0)
    )
    kept["dense/factored"] = some_columns(KFACInverseLinearOperator(K, damping=0.1))


def backpack(kept):
    from backpack import backpack, extend
    from backpack.extensions import KFLR

    from peers import kfac_models as peer

    for name in ("dense", "convolutional"):
        for loss in ("cross-entropy", "mse"):
            for reduction in ("sum", "mean"):
                model, ell = extend(peer.model(name)), extend(peer.loss_of(loss, reduction))
                X, y = tensors(name, loss)
                with backpack(KFLR()):
                    ell(model(X), y).backward()
                for k, layer in enumerate(peer.linear_layers(model)):
                    G, A = layer.weight.kflr
                    case = f"{name}/{loss}/{reduction}"
                    kept[f"{case}/A{k}"], kept[f"{case}/G{k}"] = A.detach().numpy(), G.detach().numpy()


def nngeometry(kept):
    import torch
    from nngeometry.metrics import FIM
    from nngeometry.object import PMatEKFAC, PMatKFAC
    from torch.utils.data import DataLoader, TensorDataset

    from peers import kfac_models as peer

    for name in ("dense", "convolutional"):
        for loss, variant in (("cross-entropy", "classif_logits"), ("mse", "regression")):
            X, y = tensors(name, loss)
            loader = DataLoader(TensorDataset(X, y), batch_size=len(X))
            model, default = peer.model(name), torch.get_default_dtype()
            torch.set_default_dtype(torch.float64)  # its constants are of this type
            K = FIM(model, loader, PMatKFAC, variant, "cpu")
            for k, (A, G) in enumerate(K.data.values()):
                kept[f"{name}/{loss}/A{k}"], kept[f"{name}/{loss}/G{k}"] = A.detach().numpy(), G.detach().numpy()
            if name == "dense":
                E = FIM(model, loader, PMatEKFAC, variant, "cpu")
                E.update_diag(loader)
                kept[f"{name}/{loss}/ekfac"] = E.to_torch().detach().numpy() @ vectors(E.size(0))
            torch.set_default_dtype(default)


def kfac_jax(kept):
    import jax
    import kfac_jax

    from peers import kfac_models as peer

    jax.config.update("jax_enable_x64", True)
    model = peer.model("dense")
    params = [(m.weight.detach().numpy().T, m.bias.detach().numpy()) for m in peer.linear_layers(model)]

    def loss(params, batch):
        X, y = batch
        for k, (W, b) in enumerate(params):
            X = X @ W + b
            X = jax.numpy.tanh(X) if k + 1 < len(params) else X
        if y.ndim == 1:
            kfac_jax.register_softmax_cross_entropy_loss(X, y)
            return -jax.numpy.mean(jax.nn.log_softmax(X)[jax.numpy.arange(len(y)), y])
        kfac_jax.register_squared_error_loss(X, y)
        return jax.numpy.mean(jax.numpy.sum((X - y) ** 2, axis=1))

    for name in ("cross-entropy", "mse"):
        batch = tuple(jax.numpy.asarray(part) for part in peer.data("dense", name))
        estimator = kfac_jax.BlockDiagonalCurvature(loss, default_estimation_mode="fisher_exact")
        state = estimator.init(jax.random.PRNGKey(0), (params, batch), exact_powers_to_cache=None,
                               approx_powers_to_cache=None, cache_eigenvalues=False)  # fmt: skip
        state = estimator.update_curvature_matrix_estimate(
            state, ema_old=0.0, ema_new=1.0, identity_weight=0.0, batch_size=len(batch[0]), rng=jax.random.PRNGKey(1),
            func_args=(params, batch),
        )  # fmt: skip
        for k, block in enumerate(state.blocks_states):
            A, G = (np.asarray(factor.value) for factor in block.factors)
            kept[f"dense/{name}/A{k}"], kept[f"dense/{name}/G{k}"] = A, G


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
    for name in ("dense", "convolutional", "tokens", "attention"):
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


def some_columns(operator):
    """The products with three vectors."""
    import torch

    return (operator @ torch.from_numpy(vectors(operator.shape[1]))).detach().numpy()


def vectors(P):
    return np.random.default_rng(2).standard_normal((P, 3))


if __name__ == "__main__":
    DATA.mkdir(exist_ok=True)
    for peer in sys.argv[1:] or PEERS:
        np.savez_compressed(DATA / f"{peer}.npz", **record(peer))
