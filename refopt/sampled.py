"""What stochastic methods share: the randomness of a step as data, and the objective on what was drawn.

A method is a module of ``refopt.stochastic`` with ``Params`` and ``State`` (NamedTuples) and the pure functions

    init(problem, x, params)                                the state before the first step
    update(state, grad, params, draw=None, …)               the next state, given the gradient of the draw
    step(problem, state, params, draw)                      the gradient of the draw, and ``update``

A state begins with x, f, g: x after the step; f and g, loss and gradient of the draw where the step began; and has t,
the steps taken. With ``donate=True`` a step may write into the arrays of a state that nobody else holds.

Where a method needs more than the gradient, ``update`` takes it by name (products with the probes, squares, …), so that
it can be fed with anybody's numbers. ``needs(params)`` says how many labels and probes a draw must hold.
"""

from math import prod
from typing import Any, NamedTuple

from refopt.ops import device, namespace, norm_inf, reals, scalar
from refopt.ops import eps as precision

Shapes = tuple[tuple[int, ...], ...]


class Draw(NamedTuple):
    """The randomness of one step. What a method does not use may be missing."""

    batch: Any = None  #: indices (B,) of samples; None for all of them
    labels: Any = None  #: drawn from the model: like the y of the batch, or a stack of such, (S, …)
    probes: Any = None  #: (K, P), random signs
    masks: tuple[Any, ...] = ()  #: for the layers of Dropout, 1 where an entry is kept


class Needs(NamedTuple):
    """What a method wants drawn for one step beside the batch."""

    labels: int = 0
    probes: int = 0


class Plain:
    """A ``refopt.Problem`` at one point: what has no samples."""

    def __init__(self, problem: Any, x: Any) -> None:
        self.problem, self.x = problem, x
        self.fun, self.grad = scalar(problem.fun(x)), problem.grad(x)

    def hvp(self, v: Any) -> Any:
        if self.problem.hvp is None and self.problem.hess is None:
            raise ValueError("products with the Hessian are needed: give the refopt.Problem an hvp(x, v) or a hess(x)")
        if self.problem.hvp is None:
            return self.problem.hess(self.x) @ v
        return self.problem.hvp(self.x, v)


def at(problem: Any, x: Any, draw: Draw | None = None) -> Any:
    """The problem at x, on the samples of the draw and with its masks."""
    if draw is not None and (draw.batch is not None or draw.masks):
        problem = drawn(problem, draw)
    return problem.at(x) if hasattr(problem, "at") else Plain(problem, x)


def drawn(problem: Any, draw: Draw) -> Any:
    """The problem on the samples of a draw, with its masks."""
    if not hasattr(problem, "batch"):
        raise TypeError(f"a {type(problem).__name__} has no samples to draw: leave batch and masks out, or give "
                        "a refopt.Supervised")  # fmt: skip
    X, y = problem.X, problem.y
    if draw.batch is not None:
        X, y = taken(X, draw.batch), taken(y, draw.batch)
    return problem.batch(X, y, draw.masks or problem.masks)


def taken(data: Any, indices: Any) -> Any:
    """data[indices], (B, …)."""
    xp = namespace(data)
    where = device(data)
    indices = xp.asarray(indices) if where is None else xp.asarray(indices, device=where)
    if indices.ndim != 1 or not indices.shape[0]:
        raise ValueError(f"a batch is a vector of one index at least, not of shape {tuple(indices.shape)}")
    return xp.take(data, indices, axis=0)


def supervised(problem: Any, method: str) -> None:
    """An error where a method needs the samples of a network, and there are none."""
    if not hasattr(problem, "per_sample_grad"):
        raise TypeError(f"{method} needs a refopt.Supervised, whose network it looks into, not a "
                        f"{type(problem).__name__}")  # fmt: skip


def required(value: Any, what: str, method: str) -> Any:
    """A part of the draw, or what was computed from it, which must be there."""
    if value is None:
        raise ValueError(f"a step of {method} needs {what}")
    return value


def stacked_labels(problem: Any, draw: Draw | None, method: str) -> list[Any]:
    """The draw's labels, one set after the other."""
    labels = required(None if draw is None else draw.labels, "draw.labels, drawn from the model", method)
    return [labels[k, ...] for k in range(labels.shape[0])] if labels.ndim > problem.y.ndim else [labels]


def products(point: Any, probes: Any) -> Any:
    """Hz of every probe: (K, P)."""
    return namespace(probes).stack([point.hvp(probes[k, :]) for k in range(probes.shape[0])])


def shapes_of(problem: Any, x: Any, shapes: Shapes) -> Shapes:
    """Those given, else those of the network's arrays, else that of x; an error where they do not fill x."""
    plan = getattr(getattr(problem, "network", None), "plan", None)
    found = tuple(tuple(map(int, shape)) for shape in shapes) or (
        tuple(slot.shape for slot in plan.slots) if plan else (tuple(x.shape),)
    )
    if sum(map(prod, found)) != x.shape[0]:
        raise ValueError(f"arrays of shapes {found} hold {sum(map(prod, found))} numbers, x has {x.shape[0]}")
    return found


def arrays_of(x: Any, shapes: Shapes) -> list[Any]:
    """The arrays whose numbers x (P,) holds, one after the other in C order."""
    xp, found, end = namespace(x), [], 0
    for shape in shapes:
        found.append(xp.reshape(x[end : end + prod(shape)], shape))
        end += prod(shape)
    return found


def flat(arrays: list[Any]) -> Any:
    """(P,) of the arrays."""
    xp = namespace(arrays[0])
    return xp.concat([xp.reshape(array, (-1,)) for array in arrays])


def begun(x: Any) -> Any:
    """x, checked, for a first state; integers and lists become the default float."""
    if isinstance(x, list | tuple) and any(getattr(part, "ndim", 0) for part in x):
        raise ValueError(
            "x must be one vector (P,), not a list of arrays: join them, as np.concatenate([a.ravel() for a in x]) does"
        )
    x = reals(x)
    if x.ndim != 1 or not x.shape[0]:
        raise ValueError(f"x must be a vector (P,) of one parameter or more; it has shape {tuple(x.shape)}")
    if not namespace(x).isdtype(x.dtype, "real floating"):
        raise TypeError(f"x must hold real numbers; it has dtype {x.dtype}")
    if precision(x) > 1e-6:
        raise TypeError(f"x must be of float32 or float64, as steps in {x.dtype} round to nothing")
    if not norm_inf(x) < float("inf"):
        raise ValueError("x is not finite: it holds NaN or infinity")
    return x


def like(g: Any, state: Any) -> None:
    """An error for a gradient of another shape than the parameters'."""
    if tuple(g.shape) != tuple(state.x.shape):
        raise ValueError(f"the gradient has shape {tuple(g.shape)}, the parameters {tuple(state.x.shape)}")
