"""Kronecker factors: which K-FAC somebody's pairs of matrices are, in which order and scale, and what is wrong.

Of each layer A (in, in) or (in + 1, in + 1) with the coordinate of the bias, and G (out, out). A and G are read apart,
each as αK + λI with one K for all layers: what it should be, or what a mistake makes of it. The split of α between the
two is free, because only G ⊗ A matters; the product of both is told.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from refopt import curvature
from refopt.curvature.layerwise import Layers, layers
from refopt.oracle.iterates import host

Array = np.ndarray


class Reading(NamedTuple):
    """What the factors of one side are."""

    fisher: str
    sharing: str
    defects: list[str]  #: layer by layer
    alphas: list[float]
    dampings: list[float]
    residuals: list[float]
    free: list[bool]  #: a multiple of the identity, of which α and λ cannot be told apart
    means: list[float]  #: of the diagonal of K

    @property
    def residual(self) -> float:
        return max(self.residuals)


class Fit(NamedTuple):
    """How a list of pairs is read."""

    A: Reading
    G: Reading
    swapped: tuple[int, ...]  #: the layers whose pair is (G, A), not (A, G)
    bias: str  #: "last", "first", "none": the homogeneous coordinate of A
    backwards: bool  #: the last layer comes first

    @property
    def residual(self) -> float:
        return max(self.A.residual, self.G.residual)

    @property
    def scales(self) -> list[float]:
        return [a * g for a, g in zip(self.A.alphas, self.G.alphas, strict=True)]

    def defect(self, names: list[str]) -> str:
        """All that is wrong, and in which layers."""
        said = [f"A is summed up as {self.A.sharing}, G as {self.G.sharing}"] * (self.A.sharing != self.G.sharing)
        for reading in (self.A, self.G):
            for says in dict.fromkeys(filter(None, reading.defects)):
                where = [name for name, defect in zip(names, reading.defects, strict=True) if defect == says]
                said.append(says + (f" (layer {', '.join(where)})" if len(where) < len(names) else ""))
        return "; ".join(said)


class Kind(NamedTuple):
    """What the factors of one side may be, a matrix for each layer."""

    defect: str
    fisher: str
    sharing: str
    matrices: list[Array]


def fits(pairs: Any, problem: Any, x: Array, labels: Any, tolerance: float) -> list[Fit]:
    """The best readings of each arrangement, what is right first."""
    theirs = [(np.asarray(host(M), float), np.asarray(host(N), float)) for M, N in pairs]
    inputs, outputs = kinds(problem, x, labels)
    found = []
    for backwards in (False, True)[: len(theirs)]:
        given = theirs[::-1] if backwards else theirs
        for swapped in _exchanges(given, inputs[0].matrices):
            As, Gs = zip(*(pair[::-1] if k in swapped else pair for k, pair in enumerate(given)), strict=True)
            for bias in ("last", "first", "none"):
                turned = [k._replace(matrices=[_input(M, bias) for M in k.matrices]) for k in inputs]
                read = [_read(some, known, tolerance) for some, known in ((As, turned), (Gs, outputs))]
                found += [Fit(A, G, swapped, bias, backwards) for A, G in product(*read)]
    near = closest([fit.residual for fit in found], tolerance)
    return sorted(found, key=lambda fit: (fit.residual > near, *_simplicity(fit)))


def alone(
    side: str, given: Mapping[int, Any], problem: Any, x: Array, labels: Any, tolerance: float
) -> list[tuple[Reading, str]]:  # fmt: skip
    """The readings of the factors of one side, of the layers that are given, and where A has the bias; best first."""
    order = sorted(given)
    theirs = [np.asarray(host(given[k]), float) for k in order]
    known = kinds(problem, x, labels)[side == "G"]
    if order[-1] >= (count := len(known[0].matrices)):
        raise ValueError(f"there is no {side}.{order[-1]}: the network has {count} layers with factors, from 0 on")
    found = []
    for bias in ("last", "first", "none") if side == "A" else ("last",):
        turned = [k._replace(matrices=[_input(k.matrices[j], bias) if side == "A" else k.matrices[j] for j in order])
                  for k in known]  # fmt: skip
        found += [(reading, bias) for reading in _read(theirs, turned, tolerance)]
    near = closest([reading.residual for reading, _ in found], tolerance)
    return sorted(found, key=lambda each: (each[0].residual > near, any(each[0].defects), each[0].residual))


def told_alone(side: str, best: Reading, bias: str, names: list[str], tolerance: float) -> tuple[str, float]:
    """The sentence on the factors of one side, and the scale."""
    what = f"{best.fisher} K-FAC".strip()
    off = [f"{rest:.3g} in layer {name}" for name, rest in zip(names, best.residuals, strict=True) if rest > tolerance]
    if off:
        return f"Nothing explains {side}: it is off by {', '.join(off)}, where {what}'s comes closest.", 1.0
    text = f"Yours is {side} of {what}, of layer {', '.join(names)}"
    text += {"last": "", "first": ", the coordinate of the bias first", "none": ", without the bias"}[bias]
    if any(abs(alpha - 1.0) > precision(best.residual) for alpha in best.alphas):
        text += f", times {', '.join(f'{alpha:.6g}' for alpha in best.alphas)}"
    if any(best.dampings):
        text += f", with {', '.join(f'{lam:.6g}' for lam in best.dampings)} added to the diagonal"
    text += f", to {best.residual:.1e} where rounding explains {tolerance:.1e}."
    wrong = "; ".join(dict.fromkeys(filter(None, best.defects)))
    return text + f" That is a mistake: {wrong}." * bool(wrong), max(best.alphas, key=lambda alpha: abs(alpha - 1.0))


def _exchanges(given: list[tuple[Array, Array]], As: list[Array]) -> Iterator[tuple[int, ...]]:
    """The layers in which A and G may have changed places: none, all, those where the shapes say so."""
    everywhere = tuple(range(len(given)))
    by_shape = tuple(
        k for k, ((M, N), A) in enumerate(zip(given, As, strict=False)) if abs(len(N) - len(A)) < abs(len(M) - len(A))
    )
    yield from dict.fromkeys(((), everywhere, by_shape))


def closest(residuals: list[float], tolerance: float) -> float:
    """The residual up to which a reading is as close as the closest, where rounding explains that."""
    return max(10.0 * min(residuals, default=0.0), 0.1 * tolerance)


def _simplicity(fit: Fit) -> tuple[Any, ...]:
    wrong = any(fit.A.defects) or any(fit.G.defects)
    return fit.A.sharing != fit.G.sharing, wrong, len(fit.swapped), fit.backwards, fit.residual


def _read(theirs: Sequence[Array], known: list[Kind], tolerance: float) -> list[Reading]:
    """A reading of one side for each Fisher matrix and sharing, in every layer what is right before what is wrong."""
    found = []
    for fisher, sharing in dict.fromkeys((k.fisher, k.sharing) for k in known):
        own = [k for k in known if (k.fisher, k.sharing) == (fisher, sharing)]
        if [M.shape for M in theirs] == [K.shape for K in own[0].matrices]:
            best = []
            for layer, T in enumerate(theirs):
                tried = [(*_fit(T, k.matrices[layer]), k.defect) for k in own]
                near = closest([rest for _, _, rest, _ in tried], tolerance)
                best.append(min(tried, key=lambda t: (t[2] > near, bool(t[3]) and t[2] <= near, t[2])))
            alphas, dampings, rest, defects = map(list, zip(*best, strict=True))
            free, means = zip(*((_is_multiple(K), float(np.diag(K).mean())) for K in own[0].matrices), strict=True)
            found.append(_settled(Reading(fisher, sharing, defects, alphas, dampings, rest, [*free], [*means])))
    return found


def _settled(reading: Reading) -> Reading:
    """Where K = kI the α of the other layers, if they have one, and what is more as λ."""
    others = [alpha for alpha, free in zip(reading.alphas, reading.free, strict=True) if not free]
    near = precision(reading.residual)
    if not others or not _alike(others, near):
        return reading
    alphas, dampings = list(reading.alphas), list(reading.dampings)
    for j, free in enumerate(reading.free):
        more = (alphas[j] - others[0]) * reading.means[j]
        if free and more > near * abs(others[0] * reading.means[j]):
            alphas[j], dampings[j] = others[0], more
    return reading._replace(alphas=alphas, dampings=dampings)


def _damped_alike(fit: Fit) -> Iterator[Fit]:
    """Where all of G is free: as it would be if G were damped as A is, with the same λ or with the same λ/mean."""
    if not (all(fit.G.free) and all(fit.A.dampings)):
        return
    of_A = list(zip(fit.A.alphas, fit.A.dampings, fit.A.means, strict=True))
    for rule in (
        lambda whole, alpha, lam, mean: lam,
        lambda whole, alpha, lam, mean: whole * lam / (lam + alpha * mean),
    ):
        whole = [alpha * mean for alpha, mean in zip(fit.G.alphas, fit.G.means, strict=True)]
        dampings = [rule(all_of_it, *own) for all_of_it, own in zip(whole, of_A, strict=True)]
        alphas = [(all_of_it - lam) / mean for all_of_it, lam, mean in zip(whole, dampings, fit.G.means, strict=True)]
        yield fit._replace(G=fit.G._replace(alphas=alphas, dampings=dampings))


def _is_multiple(K: Array) -> bool:
    """Whether K = kI."""
    return bool(np.abs(K - K[0, 0] * np.eye(len(K))).max() <= 1e-12 * abs(K[0, 0]))


def _input(A: Array, bias: str) -> Array:
    if bias == "last":
        return A
    if bias == "none":
        return A[:-1, :-1]
    order = np.roll(np.arange(len(A)), 1)
    return A[np.ix_(order, order)]


def _fit(T: Array, K: Array) -> tuple[float, float, float]:
    """α, λ and the relative residual of T = αK + λI; λ = 0 where that is as good, or where λI without αK is."""
    size = float(np.linalg.norm(T)) or 1.0
    alpha = float((T * K).sum() / ((K * K).sum() or 1.0))
    plain = float(np.linalg.norm(T - alpha * K)) / size
    if _is_multiple(K):
        return alpha, 0.0, plain
    basis = np.stack([K.reshape(-1), np.eye(len(K)).reshape(-1)], axis=1)
    (a, lam), *_ = np.linalg.lstsq(basis, T.reshape(-1))
    damped = float(np.linalg.norm(T - a * K - lam * np.eye(len(K)))) / size
    without = float(np.linalg.norm(T - np.diag(T).mean() * np.eye(len(T)))) / size
    fits = damped < 0.1 * min(plain, without) and a > 0.0
    return (float(a), float(lam), damped) if fits else (alpha, 0.0, plain)


def positions_of(problem: Any, x: Array) -> list[int]:
    """At how many positions of a sample each layer is applied."""
    return [int(np.asarray(part.a).shape[1]) for part in layers(problem, x, fisher="empirical").parts]


def is_shared(problem: Any, x: Array) -> bool:
    """Whether layers are applied at several positions of a sample."""
    return bool(problem.at(x).f.ndim > 2 or len(problem.X.shape) > 2)


# --- what they may be --------------------------------------------------------------------------------------------


def kinds(problem: Any, x: Array, labels: Any = None) -> tuple[list[Kind], list[Kind]]:
    """Of A and of G: right ones first, then mistakes."""
    inputs, outputs = list[Kind](), list[Kind]()
    for sharing in ("expand", "reduce") if is_shared(problem, x) else ("expand",):
        for fisher in ("exact", "empirical", "forward-only", *(["monte-carlo"] if labels is not None else [])):
            how: dict[str, Any] = {"labels": labels} if fisher == "monte-carlo" else {}
            blocks = [b for b in curvature.kfac(problem, x, fisher=fisher, sharing=sharing, **how).blocks
                      if isinstance(b, curvature.Kron)]  # fmt: skip
            outputs.append(Kind("", fisher, sharing, [np.asarray(b.G, float) for b in blocks]))
            if not inputs or inputs[-1].sharing != sharing:
                inputs.append(Kind("", "", sharing, [np.asarray(b.A, float) for b in blocks]))
        taken = layers(problem, x, fisher="empirical", sharing=sharing)
        inputs += [Kind(says, "", sharing, As) for says, As in wrong_inputs(taken, problem, x, inputs[-1].matrices)]
        outputs += [Kind(says, fisher, sharing, Gs) for fisher, says, Gs in wrong_outputs(problem, x, sharing)]
    return inputs, outputs


def _moment(a: Array) -> Array:
    flat = a.reshape(-1, a.shape[-1])
    return flat.T @ flat / len(flat)


def wrong_inputs(taken: Layers, problem: Any, x: Array, right: list[Array]) -> Iterator[tuple[str, list[Array]]]:
    """What a mistake makes of the A of all layers."""
    parts = taken.parts
    each = [np.asarray(part.a, float) for part in parts]
    without = [
        np.where(np.arange(a.shape[-1]) == a.shape[-1] - part.bias, 0.0, a) for a, part in zip(each, parts, strict=True)
    ]
    yield "in A the coordinate of the bias is 0, not 1", [_moment(a) for a in without]
    centred = [a - a.reshape(-1, a.shape[-1]).mean(0) for a in each]
    yield "A is the covariance of the inputs: their mean was subtracted", [_moment(a) for a in centred]
    yield (
        "A is the square of the mean input, not the mean of the squares",
        [np.outer(m, m) for m in (a.reshape(-1, a.shape[-1]).mean(0) for a in each)],
    )
    before = _before_activations(parts, x, each)
    yield (
        "A is made of what goes into the activation before the layer, not of what comes out",
        [_moment(a) for a in before],
    )
    kernels = [slot.shape[1:] for slot in problem.network.plan.slots if len(slot.shape) > 1]
    if len(kernels) == len(right) and any(len(shape) > 1 for shape in kernels):
        orders = [_channels_last(shape, len(A)) for shape, A in zip(kernels, right, strict=True)]
        yield (
            "in A the patches have the channels last: (kh, kw, C), not (C, kh, kw) as the weights have them",
            [A[np.ix_(order, order)] for order, A in zip(orders, right, strict=True)],
        )


def _before_activations(parts: Any, x: Array, each: list[Array]) -> list[Array]:
    """Inputs of layers replaced by the outputs of the linear layers before, where these fit."""
    found = [each[0]]
    for before, part, a_before, a in zip(parts, parts[1:], each, each[1:], strict=False):
        out = np.asarray(before.g).shape[-1]
        W = np.asarray(x[before.places[0]], float).reshape(out, -1)
        b = np.asarray(x[before.places[1]], float) if before.bias else 0.0
        y = a_before[..., : a_before.shape[-1] - before.bias] @ W.T + b
        fits = y.shape[:2] == a.shape[:2] and y.shape[-1] == a.shape[-1] - part.bias
        ones = np.ones((*a.shape[:2], int(part.bias)))
        found.append(np.concatenate([y, ones], 2) if fits else a)
    return found


def _channels_last(shape: tuple[int, ...], size: int) -> Array:
    """Where the coordinates of a patch are in the order (kh, kw, C); of a vector, where they are."""
    n = int(np.prod(shape))
    places = np.arange(n).reshape(shape)
    order = places.reshape(-1) if len(shape) == 1 else np.moveaxis(places, 0, -1).reshape(-1)
    return np.concatenate([order, np.arange(n, size)])


def wrong_outputs(problem: Any, x: Array, sharing: str) -> Iterator[tuple[str, str, list[Array]]]:
    """What a mistake makes of the G of all layers, of each Fisher matrix."""
    for fisher in ("exact", "empirical"):
        taken = layers(problem, x, fisher=fisher, sharing=sharing)
        each = [np.asarray(part.g, float) for part in taken.parts]
        after = [_after(part, x, g) for part, g in zip(taken.parts[1:], each[1:], strict=True)] + each[-1:]
        used = [a if a.shape == g.shape else g for a, g in zip(after, each, strict=True)]
        if sharing == "reduce":
            used = [g.sum(axis=2, keepdims=True) for g in used]
        says = "G is made of the gradients after the activation: its slope φ′ is missing"
        yield fisher, says, [taken.c * np.einsum("snri,snrj->ij", g, g) for g in used]
    means = [g.reshape(-1, g.shape[-1]).mean(0) for g in each]
    says = "G is the square of the mean gradient, not the mean of the squares"
    yield "empirical", says, [np.outer(m, m) for m in means]


def _after(part: Any, x: Array, g: Array) -> Array:
    """Gradients at the inputs of a layer, without the coordinate of the bias."""
    W = np.asarray(x[part.places[0]], float).reshape(g.shape[-1], -1)
    return g @ W


# --- telling it --------------------------------------------------------------------------------------------------


def told(
    fit: Fit, scale_in_words: Callable[..., Any], problem: Any, names: list[str], positions: list[int], tolerance: float
) -> tuple[str, str, Fit]:
    """The sentence, the reduction, and the reading of what may be read in two ways."""
    near = precision(fit.residual)
    named = lambda f: _alike(f.scales, near) and "times what" not in scale_in_words(f.scales[0], problem, near)[0]
    supposed = None if named(fit) else next(filter(named, _damped_alike(fit)), None)
    fit = supposed or fit
    text = f"Yours are the factors of {fit.G.fisher} K-FAC{f' ({fit.G.sharing})' * (max(positions) > 1)}"
    some = [names[k] for k in fit.swapped] if len(fit.swapped) < len(names) else []
    text += ", in the order (G, A), which change places" if fit.swapped and not some else ", in the order (A, G)"
    text += f", but (G, A) in layer {', '.join(some)}" if some else ""
    text += {"last": "", "first": ", the coordinate of the bias first", "none": ", without the bias"}[fit.bias]
    text += ", the last layer first" * fit.backwards
    scale = fit.scales[0]
    alike = _alike(fit.scales, near)
    words, reduction = scale_in_words(scale, problem, near)
    if alike:
        text += f"; G ⊗ A is {words}{_of_positions(fit, problem, positions) if 'times' in words else ''}"
    else:
        each = ", ".join(f"{scale:.6g} in {name}" for name, scale in zip(names, fit.scales, strict=True))
        text += f"; G ⊗ A is that of the problem's reduction times {each}{_of_positions(fit, problem, positions)}"
    a, g = fit.A.alphas[0], fit.G.alphas[0]
    if not _alike(fit.A.alphas, near):
        text += f", A being {', '.join(f'{alpha:.6g}' for alpha in fit.A.alphas)} times ours"
    elif abs(a - 1.0) > near:
        text += f", A being {a:.6g} times and G {g:.6g} times ours"
    text += _damped(fit, names)
    if (supposed or not alike) and all(fit.G.free):
        text += "; G is a multiple of the identity, in which scale and damping cannot be told apart"
        text += ": this is so if it is damped as A is" * bool(supposed)
    text += f", to {fit.residual:.1e} where rounding explains {tolerance:.1e}."
    defect = fit.defect(names)
    text += f" That is a mistake: {defect}." if defect else ""
    return text, reduction if alike else "", fit


def _alike(numbers: list[float], near: float) -> bool:
    return all(abs(number - numbers[0]) <= near * abs(numbers[0]) for number in numbers)


def precision(residual: float) -> float:
    """To which a scale is known that leaves a residual."""
    return max(1e-6, 2.0 * residual)


def _of_positions(fit: Fit, problem: Any, positions: list[int]) -> str:
    """What scales mean that, beside the mean over samples, are powers of the number of a layer's positions."""
    beside_mean = [scale * problem.c * len(problem.X) for scale in fit.scales]
    for power, says in POSITIONS.items():
        if max(positions) > 1 and np.allclose(beside_mean, [float(T) ** power for T in positions], rtol=1e-6):
            return f": {says}"
    return ""


POSITIONS = {
    1: "both factors are summed over the positions of a layer, where one is a mean",
    -1: "both factors are means over the positions of a layer, where one is a sum",
}


def _damped(fit: Fit, names: list[str]) -> str:
    """The numbers on the diagonals, and what they may be."""
    both = list(zip(fit.A.dampings, fit.G.dampings, strict=True))
    if not any(map(any, both)):
        return ""
    parts = (f"{a:.6g} and {g:.6g} in {name}" for name, (a, g) in zip(names, both, strict=True) if a or g)
    text = f"; added to the diagonals of A and G: {', '.join(parts)}"
    if all(abs(alpha + lam - 1.0) <= 1e-6 for alpha, lam in zip(fit.A.alphas, fit.A.dampings, strict=True)):
        text += ", as in an average that began with the identity"
    return text


def nearest(fit: Fit, names: list[str], tolerance: float) -> str:
    """Where neither or only one of the factors can be explained."""
    text = "Nothing explains these factors"
    for side, reading in (("A", fit.A), ("G", fit.G)):
        what = f"{reading.fisher} K-FAC's".strip()
        if reading.residual <= tolerance:
            text += f"; {side} is {what}"
        else:
            off = [k for k, rest in enumerate(reading.residuals) if rest > tolerance]
            where = ", ".join(f"{reading.residuals[k]:.3g} in layer {names[k]}" for k in off)
            text += f"; {side} is off by {where}, where {what} comes closest"
    return text + "."
