"""Pruning: which weights of a network can go, what that costs, and how the others make up for it.

    obd(w, h, count=k)              by a diagonal curvature, without corrections
    obs(w, H, count=k)              one weight at a time (or in groups), the others corrected
    obs_rows(W, X, sparsity=s)      a layer, row by row
    sparsegpt(W, X, sparsity=s)     a layer, all rows in one sweep; pattern=(n, m): n of every m weights go
    magnitude, wanda, refit         scores without corrections, and the best weights for a mask
    prune(net, x, X, …)             a whole network, layer by layer
    fisher_inverse(G, damping)      H⁻¹ for `obs` from the gradients of samples

All return ``Pruned``: mask, weights, order, saliency, predicted and actual increase of the loss.
"""

from refopt.pruning.baselines import magnitude, refit, refitted, wanda
from refopt.pruning.hessian import factored, fisher_inverse, inverse, layer_hessian
from refopt.pruning.layerwise import obs_rows
from refopt.pruning.network import PrunedNetwork, prune
from refopt.pruning.obd import CAUTIONS, obd, saliency
from refopt.pruning.obs import corrected, downdate, merged, obs, saliencies
from refopt.pruning.result import Pruned
from refopt.pruning.sparsegpt import sparsegpt, swept

__all__ = [
    "CAUTIONS",
    "Pruned",
    "PrunedNetwork",
    "corrected",
    "downdate",
    "factored",
    "fisher_inverse",
    "inverse",
    "layer_hessian",
    "magnitude",
    "merged",
    "obd",
    "obs",
    "obs_rows",
    "prune",
    "refit",
    "refitted",
    "saliencies",
    "saliency",
    "sparsegpt",
    "swept",
    "wanda",
]
