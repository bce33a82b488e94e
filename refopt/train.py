"""``train``: stochastic methods on a network's data, or on any objective, step by step."""

import re
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from refopt import checkpoints
from refopt.catalogue import find
from refopt.draws import Sampler, seed_of
from refopt.driver import check_callback, parameters
from refopt.elementwise import WORTH, distance
from refopt.ops import finite, namespace, norm, scalar
from refopt.progress import Bar
from refopt.sampled import Draw, Needs, at, begun
from refopt.settings import Chosen, Common, common, settled
from refopt.stopping import Status

AT_ONCE = 512  #: samples of which the loss after a run is computed at a time
HISTORY = ("loss", "grad_norm", "step_norm", "damping", "time")

MESSAGES = {
    Status.MAXITER: "all steps were taken; whether x is a minimum was not asked",
    Status.CALLBACK: "the callback asked to stop",
    Status.MAXTIME: "the time is up",
    Status.SINGULAR: "the matrix of the step is singular: give a larger damping",
    Status.LINE_SEARCH: "the line search finds no lower point any more",
    Status.NOT_FINITE: "the {what} of step {t} is not finite; x is the last point whose loss and gradient were finite",
}

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
SEPARATED = "; every label has a positive margin: unless something holds the weights back, there is no minimum"


def train(
    problem: Any, x: Any, method: str | Sequence[str] = "kfac", steps: int | Sequence[int] = 1000,
    batch_size: int | None = None, rng: Any = None, options: Any = None, callback: Any = None, progress: Any = True,
) -> Any:  # fmt: skip
    """Minimize the objective by steps on batches of its samples.

    Parameters
    ----------
    problem : a ``refopt.Supervised``; or a ``refopt.Problem``, with batch_size None.
    x : (P,) float32 or float64 parameters of any array kind, in whose type the run is. Not modified.
    method : a name from ``refopt.available("train")``; or several, one after the other, as ``("adam", "l-bfgs")``: each
        begins with the weights of the one before it, and with nothing else.
    steps : how many; for several methods one number for each.
    batch_size : samples of a batch; None for all of them, which "l-bfgs" always takes.
    rng : a ``numpy.random.Generator`` or a seed: the same batches for every method given the same seed.
    options : fields of the method's ``Params``, each number or a function of the step (``refopt.schedules``), and
        replacement, checkpoint, checkpoint_every, resume, maxtime. For several methods a dict for each, in order.
    callback : ``callback(intermediate_result=...)`` or ``callback(x)`` after every step, with a copy of x;
        StopIteration ends the run.
    progress : a line on the terminal; or a stream to write it to.

    Returns
    -------
    OptimizeResult with x; fun, the objective on all samples there, nothing dropped; state, the method's last, or a
    first one at x where something was not finite; history, arrays with an entry for each step: loss and grad_norm of
    its batch where it began, step_norm, damping (NaN where there is none), time in seconds; nit, status, success
    (every step was taken), message, seed; separated, whether x classifies every sample (``Supervised.separated``).

    Raises
    ------
    ValueError or TypeError for an unknown method or option, a wrong shape, or a batch larger than the data. When a
    loss is not finite the run stops, and x is the last point where it was.
    """
    if getattr(problem, "grad", None) is None or not hasattr(problem, "fun"):
        raise TypeError(
            f"problem must be a refopt.Supervised, or a refopt.Problem with fun and grad; it is {problem!r}"
        )
    phases, shared = planned(method, steps, options)
    check_callback(callback)
    x = begun(x)
    problem = in_type_of(x, problem)
    sampler = Sampler(problem, seed_of(rng), batch_size, shared.replacement)
    check_batch(problem, batch_size)
    if shared.resume and shared.checkpoint is None:
        raise ValueError("resume needs the option checkpoint, the file to go on from")
    with np.errstate(all="ignore"):
        run = Run(problem, sampler, phases, shared, callback, x)
        if shared.resume:
            run.resume(rng is not None)
        status = run.go(progress)
        return run.result(status)


def in_type_of(x: Any, problem: Any) -> Any:
    """The problem with its data in the type of x, where it has data: with others every gradient would be of theirs."""
    if getattr(problem, "dtype", x.dtype) == x.dtype or not hasattr(problem, "batch"):
        return problem
    xp = namespace(x)
    alike = lambda data: xp.astype(data, x.dtype) if xp.isdtype(data.dtype, "real floating") else data
    return problem.batch(alike(problem.X), alike(problem.y), tuple(map(alike, problem.masks)))


def planned(method: Any, steps: Any, options: Any) -> tuple[list[tuple[Chosen, int]], Common]:
    """Methods with the number of the step at which each ends; and the common options, which the first may hold."""
    methods = [method] if isinstance(method, str) else list(method)
    counts = list(steps) if isinstance(steps, list | tuple) else [steps]
    each = list(options) if isinstance(options, list | tuple) else [options, *[None] * (len(methods) - 1)]
    if not methods or not len(methods) == len(counts) == len(each):
        raise ValueError(
            f"{len(methods)} methods take as many numbers of steps, and as many dicts of options where there are any; "
            f"given were {len(counts)} and {len(each)}"
        )
    phases, told, end = [], dict[str, Any](), 0
    for name, count, own in zip(methods, counts, each, strict=True):
        if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 0:
            raise ValueError(f"steps must be a whole number of at least 0; it is {count!r}")
        chosen, others = settled(find(name, "train"), own)
        end += int(count)
        phases.append((chosen, end))
        told |= others
    return phases, common(told)


def check_batch(problem: Any, batch_size: int | None) -> None:
    if batch_size is None:
        return
    if not hasattr(problem, "samples"):
        raise TypeError(f"a {type(problem).__name__} has no samples: batch_size must be None")
    whole = isinstance(batch_size, int | np.integer) and not isinstance(batch_size, bool)
    if not whole or not 1 <= batch_size <= problem.samples:
        raise ValueError(f"batch_size must be from 1 to the number of samples, {problem.samples}; it is {batch_size!r}")


class Seen(NamedTuple):
    """One step, as the history has it."""

    loss: float
    grad_norm: float
    step_norm: float
    damping: float
    time: float


class Run:
    """A run: where it is, what it has seen, and the last point known to be good."""

    def __init__(self, problem: Any, sampler: Sampler, phases: Any, common: Common, callback: Any, x: Any) -> None:
        self.problem, self.sampler, self.phases, self.common, self.callback = problem, sampler, phases, common, callback
        self.began, self.t, self.phase, self.what = time.perf_counter(), 0, 0, ""
        self.history: list[Seen] = []
        self.donates = isinstance(x, np.ndarray)  #: a step may write into x
        self.donate = writer(x)
        self.state: Any = None
        self.begin(copied(x))
        self.good = copied(x)  #: the last x at which loss and gradient were finite
        self.before = copied(x)

    @property
    def now(self) -> Chosen:
        return self.phases[self.phase][0]

    def begin(self, x: Any) -> None:
        """The first state of the present method."""
        self.state = self.now.module.init(self.problem, x, self.now.at(self.t))

    # --- the loop ----------------------------------------------------------------------------------------------

    def go(self, progress: Any) -> Status:
        end, status = self.phases[-1][1], Status.MAXITER
        bar = Bar(progress, " then ".join(chosen.entry.name for chosen, _ in self.phases), end, self.t)
        every = self.common.checkpoint_every
        while self.t < end and status == Status.MAXITER:
            while self.t >= self.phases[self.phase][1]:
                self.phase += 1
                self.begin(copied(self.state.x))
            status = self.advance()
            if status in (Status.NOT_FINITE, Status.SINGULAR, Status.LINE_SEARCH):
                break
            bar.tell(self.t, self.history[-1].loss)
            if self.common.checkpoint is not None and (self.t % every == 0 or self.t == end):
                self.save()
            if status == Status.MAXITER and time.perf_counter() - self.began > self.common.maxtime and self.t < end:
                status = Status.MAXTIME
        bar.end()
        return status

    def advance(self) -> Status:
        """One step, unless something in it is not finite."""
        module, params, old = self.now.module, self.now.at(self.t), self.state
        self.keep(old.x)
        try:
            draw = None if whole(module) else self.sampler.draw(self.t, old.x, needs(module, params))
            new = module.step(self.problem, old, params, draw, donate=self.donate)
        except (ArithmeticError, ValueError):
            if self.sound(whole(module)):
                raise
            return Status.NOT_FINITE
        seen = Seen(
            float(new.f), norm(new.g), distance(new.x, self.before), damping(new, params),
            time.perf_counter() - self.began,
        )  # fmt: skip
        if not (finite(seen.loss) and finite(seen.grad_norm)):
            self.what = "loss" if not finite(seen.loss) else "gradient"
            return Status.NOT_FINITE
        self.good, self.before = self.before, self.good
        if not getattr(new, "ok", True):
            return Status.LINE_SEARCH if self.now.entry.name == "l-bfgs" else Status.SINGULAR
        if not finite(seen.step_norm):
            self.what = "step"
            return Status.NOT_FINITE
        self.state, self.t = new, self.t + 1
        self.history.append(seen)
        return self.report()

    def sound(self, whole: bool) -> bool:
        """Whether loss and gradient are finite where the step began: then an error is not theirs."""
        point = at(self.problem, self.before, None if whole else Draw(batch=self.sampler.batch(self.t)))
        self.what = "gradient" if finite(float(point.fun)) else "loss"
        return finite(float(point.fun)) and finite(norm(point.grad))

    def keep(self, x: Any) -> None:
        """Remember where the step begins; in memory of our own where it writes into x."""
        if self.donates:
            np.copyto(self.before, x)
        else:
            self.before = x

    def report(self) -> Status:
        """Tell the callback."""
        if self.callback is None:
            return Status.MAXITER
        x = copied(self.state.x)
        try:
            if parameters(self.callback) == {"intermediate_result"}:
                from scipy.optimize import OptimizeResult

                self.callback(intermediate_result=OptimizeResult(x=x, nit=self.t, fun=self.history[-1].loss,
                                                                 **self.history[-1]._asdict()))  # fmt: skip
            else:
                self.callback(x)
        except StopIteration:
            return Status.CALLBACK
        return Status.MAXITER

    # --- its end -----------------------------------------------------------------------------------------------

    def result(self, status: Status) -> Any:
        from scipy.optimize import OptimizeResult

        x = self.state.x if status != Status.NOT_FINITE else self.good
        fun, separated = judged(self.problem, x)
        if status == Status.MAXITER and not finite(fun):
            status, self.what, x = Status.NOT_FINITE, "loss after the last", self.good
            fun, separated = judged(self.problem, x)
        if status == Status.NOT_FINITE:
            self.begin(copied(x))  # what the method has learnt is not finite either
        columns = zip(*self.history, strict=True) if self.history else [()] * len(HISTORY)
        return OptimizeResult(
            x=x, fun=fun, state=self.state, nit=self.t, status=status, success=status == Status.MAXITER,
            message=MESSAGES[status].format(what=self.what, t=self.t) + separated * SEPARATED, separated=separated,
            seed=self.sampler.seed,
            history={name: np.array(column, dtype=float) for name, column in zip(HISTORY, columns, strict=True)},
            time=time.perf_counter() - self.began,
        )  # fmt: skip

    # --- on disk -----------------------------------------------------------------------------------------------

    def identity(self) -> dict[str, Any]:
        """What must be the same for a run to go on."""
        return {
            "methods": tuple(chosen.entry.name for chosen, _ in self.phases), "batch_size": self.sampler.batch_size,
            "replacement": self.sampler.replacement, "parameters": self.state.x.shape[0],
            "dtype": str(self.state.x.dtype), "layers": layers(self.problem),
            "loss": getattr(getattr(self.problem, "loss", None), "name", None),
            "reduction": getattr(self.problem, "reduction", None),
            "samples": getattr(self.problem, "samples", None), "data of checksum": checksum(self.problem),
        }  # fmt: skip

    def save(self) -> None:
        content = self.identity() | {
            "seed": self.sampler.seed, "t": self.t, "phase": self.phase, "state": tuple(self.state), "good": self.good,
            "history": [np.array(column, dtype=float) for column in zip(*self.history, strict=True)],
        }  # fmt: skip
        checkpoints.save(self.common.checkpoint, content)

    def resume(self, seeded: bool) -> None:
        """Go on from the file, if it is there."""
        with suppress(FileNotFoundError):
            found = checkpoints.load(self.common.checkpoint, self.state.x)
            for name, mine in self.identity().items():
                theirs = found.get(name)
                if theirs != mine:
                    if name == "layers" and theirs and mine:  # the first that differs
                        theirs, mine = next(pair for pair in zip_longest(theirs, mine) if pair[0] != pair[1])
                    raise ValueError(
                        f"the checkpoint is of a run with {name} {theirs!r}, this one has {mine!r}: "
                        "go on as it began, or from its x with another file"
                    )
            if seeded and found["seed"] != self.sampler.seed:
                raise ValueError(f"the checkpoint is of a run with the seed {found['seed']}, not {self.sampler.seed}")
            self.sampler = self.sampler._replace(seed=found["seed"])
            self.t, self.phase, self.good = found["t"], found["phase"], found["good"]
            self.state = self.now.module.State(*found["state"])
            columns = [np.asarray(column).tolist() for column in found["history"]]
            self.history = [Seen(*row) for row in zip(*columns, strict=True)]
            self.began -= self.history[-1].time if self.history else 0.0


def layers(problem: Any) -> tuple[str, ...] | None:
    """The layers of a network in words, with the shapes of their arrays: the same in every process."""
    network: Any = getattr(problem, "network", None)
    if not hasattr(network, "leaves"):
        return None
    return tuple(
        ", ".join([f"{name} {ADDRESS.sub('', repr(layer))}", *(f"{array} {s}" for array, s in layer.shapes.items())])
        for name, layer in network.leaves()
    )


def checksum(problem: Any) -> int | None:
    """A number for the data, by three of its samples: the same whatever holds them, another for other data."""
    if not hasattr(problem, "samples"):
        return None
    N = problem.samples
    few = [data[k, ...] for data in (problem.X, problem.y) for k in (0, N // 2, N - 1)]
    return zlib.crc32(b"".join(checkpoints.on_host(part).tobytes() for part in few))


def writer(x: Any) -> Any:
    """How steps may write into their state: in one pass of machine code, where that is to be had."""
    if not isinstance(x, np.ndarray):
        return False
    if x.shape[0] < WORTH:
        return True
    try:
        from refopt.compiled.passes import in_one_pass
    except ImportError:
        return True
    return in_one_pass


def judged(problem: Any, x: Any) -> tuple[float, bool]:
    """fun on all samples, and whether their labels are separated.

    Some samples at a time where they are many: what a sweep keeps of all of them may be too much.
    """
    if not hasattr(problem, "separated"):
        return scalar(problem.fun(x)), False
    if problem.samples <= AT_ONCE or problem.masks:
        point = problem.at(x)
        return point.fun, point.separated
    total, separated = 0.0, True
    for k in range(0, problem.samples, AT_ONCE):
        some = slice(k, k + AT_ONCE)
        point = problem.batch(problem.X[some, ...], problem.y[some, ...]).at(x)
        total, separated = total + point.fun / point.c, separated and point.separated
    return problem.factor(point.f.shape) * total, separated


def whole(module: Any) -> bool:
    """Whether a method wants all samples, with nothing dropped."""
    return getattr(module, "WHOLE", False)


def needs(module: Any, params: Any) -> Needs:
    return module.needs(params) if hasattr(module, "needs") else Needs()


def damping(state: Any, params: Any) -> float:
    return float(getattr(state, "damping", getattr(params, "damping", float("nan"))))


def copied(x: Any) -> Any:
    return x.copy() if isinstance(x, np.ndarray) else namespace(x).asarray(x, copy=True)
