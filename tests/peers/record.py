"""Write down what PyTorch computes: ``python tests/peers/record.py`` in an environment that has torch.

One npz file for each model in ``tests/peers/data``: inputs, parameters in the order of `named_parameters()`, a
direction, and for every loss and reduction the loss, its gradient, a Hessian and a Gauss-Newton product, and the
gradients per sample.
"""

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
DATA = HERE / "data"


def record(name):
    """The arrays of one file."""
    import torch

    sys.path.insert(0, str(HERE.parent))
    from peers import torch_networks as peer

    torch.manual_seed(0)
    model, rng = peer.MODELS[name](), np.random.default_rng(1)
    X, classes = peer.data(name, rng)
    x = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    v = torch.from_numpy(rng.standard_normal(x.shape[0]))
    kept = {"X": X, "x": x.numpy(), "v": v.numpy(), "versions": f"torch {torch.__version__}, numpy {np.__version__}"}
    losses = peer.SUMS if name == "dense" else ["cross-entropy"]
    reductions = ["sum", "mean", "mean-elements", "mean-tokens"] if name == "dense" else ["sum", "mean-tokens"]
    for loss in losses:
        y = peer.labels(loss, rng, classes)
        kept[f"{loss}/y"] = y
        for reduction in reductions:
            fun = peer.reduced(loss, reduction, y)
            found = peer.computed(model, x, torch.from_numpy(X), torch.from_numpy(y), v, fun, peer.SUMS[loss])
            kept[f"{loss}/per_sample"] = found.pop("per_sample")
            kept |= {f"{loss}/{reduction}/{what}": value for what, value in found.items()}
    return kept


if __name__ == "__main__":
    DATA.mkdir(exist_ok=True)
    for name in ("dense", "convolutional", "pooled_transformer", "tied", "small_vit"):
        np.savez_compressed(DATA / f"{name}.npz", **record(name))
