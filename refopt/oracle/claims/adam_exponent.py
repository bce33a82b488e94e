"""What Adam's root and its ε do to the length of a step, for a gradient that stays the same: m̂ = g, v̂ = g²."""

from refopt.oracle.claim import Fails, claim
from refopt.oracle.draw import excess

KINGMA = "D. P. Kingma & J. Ba, arXiv:1412.6980, §2"


def gains(draw):
    """g/(g² + ε) and g/(g + ε) with ε = r², and the first at g = r."""
    r, g = draw.magnitude(3), draw.magnitude(3)
    return {"r": r, "g": g, "plain": g / (g * g + r * r), "rooted": g / (g + r * r), "peak": r / (2 * r * r)}


def at_the_peak(draw):
    """ε = 1e-6, g = 1e-3."""
    r = draw.array("1/1000")[()]
    return {"plain": r / (r * r + r * r)}


@claim(
    "adam-exponent.gain",
    "Without the root, m̂/(v̂ + ε), steps are bounded as Adam's are",
    KINGMA,
    gains,
    "false",
    corrected="g/(g² + ε) is as large as 1/2√ε at g = √ε, 500 for ε = 1e-6; with the root |g|/(|g| + ε) < 1",
    scale=lambda r: (1 / float(r), 1, 1),
    because="two roundings",
    fails=(Fails("as stated, ε = 1e-6 and g = 1e-3", at_the_peak, lambda plain: excess(plain - 1)),),
)
def gain(r, plain, rooted, peak):
    return excess(plain - peak), 2 * r * peak - 1, excess(rooted - 1)


def with_large_eps(draw):
    """η g/(√v + ε), with √v from a hundredth of ε to a hundred times."""
    eta, eps, g, ratio = draw.magnitude(), draw.magnitude(), draw.vector(1)[0], draw.magnitude(2)
    return {"plain": eta / eps * g, "step": eta * g / (ratio * eps + eps), "ratio": ratio}


def not_negligible(draw):
    made = with_large_eps(draw)
    return made if made["ratio"] >= 1 else not_negligible(draw)


@claim(
    "adam-exponent.large-eps",
    "With a large ε Adam is gradient descent with η/ε: ηg/(√v + ε) = (η/ε)g",
    KINGMA,
    with_large_eps,
    "imprecise",
    corrected="It is (η/ε)g/(1 + √v/ε): 99 % of it at √v = ε/100, half at √v = ε, 9 % at √v = 10ε",
    scale=lambda plain: abs(float(plain)),
    because="a few roundings",
    fails=(
        Fails("as stated, √v ≥ ε", not_negligible, lambda plain, step: (step - plain) / plain),
    ),
)  # fmt: skip
def large_eps(plain, step, ratio):
    return step * (1 + ratio) - plain
