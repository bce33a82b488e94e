"""How the runs of every method are judged: its equations, the choices that sources leave open, and known mistakes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from refopt.oracle import carried, fine, regions, rules
from refopt.oracle.defects import Defect, adaptive, matrices, secant, tensors
from refopt.oracle.rules import Path, Seen


@dataclass(frozen=True)
class Rule:
    """How the runs of a method are judged."""

    says: Callable[..., Iterator[Seen]]
    conventions: tuple[dict[str, Any], ...] = ({},)
    defects: Mapping[str, Defect] = field(default_factory=dict)
    searches: bool = True
    hidden: str = ""  #: a field without which a run may have learnt from what left no trace


def _newton(path: Path, H: Any, g: Any) -> Any:
    return fine.solved(H, -g)


def _damped(path: Path, H: Any, g: Any) -> Any:
    return fine.solved(H + path.params.damping * np.eye(g.size), -g)


def _saddle_free(path: Path, H: Any, g: Any) -> Any:
    """−|H|⁻¹g, by the method's own equation, or in fifty digits by eigenvalues."""
    if not fine.is_fine(H):
        return _direction("saddle_free_newton", "floor")(path, H, g)
    values, V = fine.eigh(H)
    size = abs(values)
    return -V @ ((V.T @ g) / np.maximum(size, path.params.floor * size.max()))


def _modified(path: Path, H: Any, g: Any) -> Any:
    """−(H + τI)⁻¹g; in fifty digits with the τ of float64, which is found by trials."""
    own = rules.equation("modified_newton", "direction")
    known = own(np.asarray(H, float), np.asarray(g, float), float(path.params.beta))
    return fine.solved(H + known[1] * np.eye(g.size), -g) if fine.is_fine(H) else np.asarray(known[0])


def _direction(method: str, *names: str) -> Callable[[Path, Any, Any], Any]:
    """The method's own direction, with those of its options."""

    def direction(path: Path, H: Any, g: Any) -> Any:
        p = rules.equation(method, "direction")(H, g, *(getattr(path.params, name) for name in names))
        return np.asarray(p[0] if isinstance(p, tuple) else p)

    return direction


def home(name: str) -> tuple[str, str]:
    """Package and module of a method; "train." is said where ``minimize`` has another method of the name."""
    stochastic = name in STEPS or name in BATCHES
    return ("stochastic" if stochastic else "methods"), name.removeprefix("train.").replace("-", "_")


STARTS = ({"start": "I"}, {"start": "scaled"}, {"start": "length"}, {"start": "γI"})
AHEAD = ({"ahead": False}, {"ahead": True})
STEPS: dict[str, Mapping[str, Defect]] = {
    "sgd": {}, "momentum": adaptive.MOMENTUM, "adagrad": {}, "rmsprop": adaptive.RMSPROP, "adam": adaptive.ADAM,
    "adamw": adaptive.ADAMW, "adam-no-sqrt": {}, "adahessian": adaptive.ADAHESSIAN, "shampoo": tensors.SHAMPOO,
    "soap": tensors.SOAP,
}  # fmt: skip
EXACTLY = {"shampoo": tensors.exactly}
LEARNT = tuple({"trials": t, "begin": b} for t in ("as here", "halved", "taken") for b in ("length", "I"))
JACOBIANS: tuple[dict[str, Any], ...] = ({}, {"region": "I"}, {"region": "line"}, {"region": "line", "start": "I"})
BATCHES = (
    "kfac", "kfac-tridiagonal", "ekfac", "adam-true-fisher", "adam-true-fisher-batch", "train.diagonal-newton",
    "train.gauss-newton", "train.natural-gradient", "train.hessian-free",
)  # fmt: skip
H_DEFECTS = {**secant.PAIRS, **secant.H_UPDATES}
RULES = {
    "gradient-descent": Rule(rules.steepest),
    "newton": Rule(rules.newton_type(_newton, "p = −H⁻¹g"), defects=matrices.NEWTON),
    "damped-newton": Rule(rules.newton_type(_damped, "p = −(H + λI)⁻¹g"), defects=matrices.NEWTON),
    "modified-newton": Rule(rules.newton_type(_modified, "p = −(H + τI)⁻¹g")),
    "saddle-free-newton": Rule(rules.newton_type(_saddle_free, "p = −|H|⁻¹g")),
    "diagonal-newton": Rule(
        rules.newton_type(_direction("diagonal_newton", "floor", "clip", "clip_update"), "pᵢ = −gᵢ/|Hᵢᵢ|")
    ),
    "bfgs": Rule(rules.quasi_newton("bfgs"), STARTS, H_DEFECTS),
    "dfp": Rule(rules.quasi_newton("dfp"), STARTS, H_DEFECTS),
    "broyden": Rule(rules.quasi_newton("broyden", rules.stays_positive), STARTS[:3], H_DEFECTS),
    "l-bfgs": Rule(rules.l_bfgs, ({},), {**secant.PAIRS, **secant.HISTORIES}),
    "trust-exact": Rule(regions.stationary, searches=False),
    "trust-dogleg": Rule(regions.powell, searches=False),
    "trust-ncg": Rule(regions.steihaug_path, searches=False),
    "trust-krylov": Rule(regions.lanczos, searches=False),
    "newton-cg": Rule(regions.conjugate),
    "sr1": Rule(carried.symmetric_rank_one, LEARNT, searches=False, hidden="B"),
    "hessian-free": Rule(carried.hessian_free, ({}, {"inner": "to η"})),
    "natural-gradient": Rule(
        rules.newton_type(_damped, "p = −(F + λI)⁻¹g", rules.fisher),
        defects=matrices.FISHER,
    ),
    "gauss-newton": Rule(regions.gauss_newton, searches=False),
    "dogleg": Rule(carried.jacobians("dogleg"), JACOBIANS[:2], searches=False),
    "broyden-good": Rule(carried.jacobians("broyden_good"), JACOBIANS, searches=False),
    "broyden-bad": Rule(carried.jacobians("broyden_bad"), JACOBIANS, searches=False),
    "lm": Rule(
        regions.damped_fit,
        tuple({"scaling": name} for name in ("longest columns", "columns", "I")),
        matrices.FITS,
        searches=False,
    ),
    **{
        name: Rule(rules.updates(name.replace("-", "_"), EXACTLY.get(name)), AHEAD, wrong, searches=False)
        for name, wrong in STEPS.items()
    },
    **{name: Rule(carried.drawn(home(name)[1]), searches=False) for name in BATCHES},
}


def named(method: Any) -> str:
    """The name of a method in the rulebook."""
    if isinstance(method, str):
        name = method.lower().replace("_", "-")
    else:
        package, _, name = method.__name__.rpartition(".")
        name = name.replace("_", "-")
        name = f"train.{name}" if package.endswith("stochastic") and f"train.{name}" in RULES else name
    if name not in RULES:
        raise ValueError(f"no replay of {method!r}; there is one of {', '.join(RULES)}")
    return name


def options_of(name: str, params: Any) -> Any:
    """Their options as the method's ``Params``."""
    package, module = home(name)
    known: Any = import_module(f"refopt.{package}.{module}").Params
    if params is None:
        return known()
    if not isinstance(params, Mapping):  # of ``minimize``, which has options that a step by itself has not
        return known(**{field: getattr(params, field) for field in known._fields if hasattr(params, field)})
    if unknown := params.keys() - set(known._fields):
        raise TypeError(
            f"{name} has no option {', '.join(sorted(unknown))}; its options are {', '.join(known._fields)}"
        )
    return known(**params)


def without(params: Any, fields: tuple[str, ...]) -> Any:
    """A dict of options without some of them."""
    return {key: value for key, value in params.items() if key not in fields} if isinstance(params, Mapping) else params
