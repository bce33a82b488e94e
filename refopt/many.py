"""``minimize_many``: one problem, many starts.

Where the functions are jitted, one compiled loop goes from start to start. What it cannot end by itself (a run that is
stuck and must think, a start where f is not finite), and every start of other functions, is a call of ``minimize``.
"""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from numbers import Integral
from threading import Lock
from types import SimpleNamespace
from typing import Any

import numpy as np

from refopt import stopping
from refopt.accounts import Account
from refopt.catalogue import Entry, as_dict, find, split_options
from refopt.derivatives.differences import doubtful, own_sizes, sizes, start_sizes
from refopt.driver import MESSAGES, next_chunk, result_type
from refopt.inputs import check_derivatives, vector
from refopt.minimize import given, ignore_unused, jitted_problem, minimize, second, steps_at_most, wanted, why_generic
from refopt.ops import namespace
from refopt.stopping import Status

COUNTS = ("nit", "nfev", "njev", "nhev", "nhvp")
ENDED = {
    stopping.DONE: Status.CONVERGED,
    stopping.DISTANT: Status.CONVERGED,
    stopping.FALLING: Status.UNBOUNDED,
    stopping.RUNNING: Status.MAXITER,
}  #: what a verdict means at the end of a run that needs no thought


def minimize_many(
    fun: Callable[..., Any], X0: Any, args: Any = (), method: str = "bfgs", jac: Any = None, hess: Any = None,
    hessp: Any = None, tol: float | None = None, options: dict[str, Any] | None = None, workers: int = 1,
) -> Any:  # fmt: skip
    """Minimize f(x) from every row of X0 (k, n), each start as ``minimize`` would.   Arguments as there.

    Parameters
    ----------
    X0 : (k, n) numbers, a start in each row; an array of any kind. Not modified.
    options : as for ``minimize``, for every start, without trace and disp; but maxtime is for all of them together.
    workers : threads in which compiled starts run side by side, -1 for as many as there are cores.

    Returns
    -------
    OptimizeResult with a row or an entry for each start: x and jac (k, n); fun, nit, nfev, njev, nhev, nhvp, status,
    success, message and advice (k,). ``best`` is the place of the lowest fun, ``time`` the seconds for all. A start
    whose turn never came has status MAXTIME, its x as given, and NaN for fun and jac. Curvature is not kept.

    Raises
    ------
    As ``minimize``; ValueError for X0 without rows or columns. An exception of the user's functions ends all runs.

    Cost: with jitted functions, what the steps cost: no time passes in Python but for runs that are stuck.
    """
    began = time.perf_counter()
    with Account((fun, jac, hess, hessp), args, holds="fisher" not in as_dict(options)) as account:
        return started(X0, account, method, tol, options, workers, began)


def started(
    X0: Any, account: Account, method: str, tol: float | None, options: Any, workers: int, began: float
) -> Any:  # fmt: skip
    """A run from every row, by the functions of the account."""
    (fun, jac, hess, hessp), args = account.functions, account.args
    entry = find(method, "minimize")
    params, common = split_options(entry, options)
    if refused := [name for name in ("trace", "disp") if common.get(name)]:
        raise ValueError(f"{refused[0]} is for one run: pass that start to minimize")
    check_derivatives(jac=jac, hess=hess, hessp=hessp)
    ignore_unused(entry, hess=hess, hessp=hessp)
    X, jac = starts(X0), jac or getattr(fun, "jac", None)
    hess, hessp = second(entry, fun, hess, hessp)
    deadline = began + given(common, "maxtime", np.inf)
    found, rows = blank(X), list(range(X.shape[0]))
    if fits_one_loop(entry, fun, jac, hess, hessp, args, X, common):
        tests, problem = wanted(entry, tol, common, jac, hessp or hess, X[0]), jitted_problem(fun, jac, hess, hessp)
        limit = steps_at_most(common, X.shape[1])
        rows = in_one_loop(entry, problem, params, tests, limit, X, found, deadline, threads(workers))

    def solve(row: range) -> None:
        left = max(deadline - time.perf_counter(), 0.0)
        start, chosen = X[row.start, ...], {**(options or {}), "maxtime": left}
        put(found, row.start, minimize(fun, start, args, method, jac, hess, hessp, tol=tol, options=chosen))

    left = Rows(rows, deadline)
    if (first := left.take(1)) is not None:
        solve(first)  # alone: what must be compiled is compiled once
    side_by_side(solve, left, threads(workers), lambda count, seconds: 1)
    return outcome(found, began)


def fits_one_loop(
    entry: Entry, fun: Any, jac: Any, hess: Any, hessp: Any, args: Any, X: Any, common: dict[str, Any]
) -> bool:  # fmt: skip
    """Whether the compiled loop over starts can do it; if not, ``minimize`` can, compiled or not."""
    special = common.get("compiled") is False or common.get("maxfun") is not None
    special = special or any(common.get(name) is not None for name in entry.arrays)
    return not special and not why_generic(entry, fun, jac, hess, args, X, hessp)


def starts(X0: Any) -> Any:
    """The starts as a float matrix of the caller's own array kind, never the caller's own array."""
    X0 = X0 if hasattr(X0, "dtype") else np.asarray(X0)
    shape = tuple(X0.shape)
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"X0 must hold a start in each row, shape (k, n); it has shape {shape}")
    flat = vector(namespace(X0).reshape(X0, (-1,)), "X0")
    return namespace(flat).reshape(flat, shape)


def threads(workers: int) -> int:
    if not isinstance(workers, Integral) or (workers != -1 and workers < 1):
        raise ValueError(f"workers must be a positive number of threads, or -1 for all cores; it is {workers!r}")
    return int(workers) if workers > 0 else os.cpu_count() or 1


# --- the results -----------------------------------------------------------------------------------------------------


def blank(X: Any) -> Any:
    """The results before the first run."""
    xp, k = namespace(X), X.shape[0]
    unknown = xp.full_like(X, xp.nan)
    found = SimpleNamespace(x=xp.asarray(X, copy=True), jac=unknown, fun=xp.asarray(unknown[:, 0], copy=True))
    for name in COUNTS:
        setattr(found, name, np.zeros(k, int))
    found.status, found.success = np.full(k, int(Status.MAXTIME)), np.zeros(k, bool)
    found.advice = np.full(k, "", object)
    return found


def put(found: Any, i: int, result: Any) -> None:
    """The result of one start into its row."""
    for name, column in vars(found).items():
        column[i, ...] = result[name]


def outcome(found: Any, began: float) -> Any:
    fun, xp = found.fun, namespace(found.fun)
    known = xp.where(xp.isnan(fun), xp.full_like(fun, xp.inf), fun)
    messages = np.array([MESSAGES[status] for status in Status], object)
    return result_type()(
        vars(found), message=messages[found.status], best=int(xp.argmin(known)), time=time.perf_counter() - began
    )


# --- many starts in one compiled loop --------------------------------------------------------------------------------


def in_one_loop(
    entry: Entry, problem: Any, params: Any, tests: Any, limit: int, X: Any, found: Any, deadline: float, workers: int
) -> list[int]:  # fmt: skip
    """The rows of X as far as the compiled loop takes them; returns those that need more than that.

    In one thread these are all, where an evaluation takes a millisecond, since nothing would be gained; and no row
    takes much longer than a tenth of a second, so that a signal or the time limit never waits: it is cut off, and
    needs more. Several threads finish the rows they have begun.
    """
    from refopt.compiled import rows_runner
    from refopt.dialect import COLUMNS

    search = getattr(params, "search", 0)
    run = partial(rows_runner(entry.module, stopping, problem, workers > 1, search), params, tests)
    size, tried = own_sizes(X), np.zeros(len(X), int)
    if tests.differences > 0.0:
        size = sizes(X)
        for k in np.flatnonzero(doubtful(size).any(axis=1)):
            size[k], tried[k] = start_sizes(problem.fun, X[k])
    numbers = np.full((X.shape[0], len(COLUMNS)), np.nan)
    start = time.perf_counter()
    run(X[:1].copy(), size, X[:1].copy(), numbers[:1].copy(), 0, 1, 0)
    steps = limit if workers > 1 else min(limit, int(0.1 / (time.perf_counter() - start)))
    if steps < min(limit, 100):
        return list(range(len(X)))

    def solve(rows: range) -> None:
        run(found.x, size, found.jac, numbers, rows.start, rows.stop, steps)

    side_by_side(solve, Rows(range(len(X)), deadline), workers, next_chunk)
    columns = SimpleNamespace(**dict(zip(COLUMNS, numbers.T, strict=True)))
    columns.nfev = columns.nfev + tried
    sees_hessian = hasattr(entry.module.State, "B")
    return filled(found, columns, tests, limit, sees_hessian)


def filled(found: Any, columns: Any, tests: Any, limit: int, sees_hessian: bool) -> list[int]:
    """Fill in what a compiled loop has found; returns the rows that have not ended, or not without thought."""
    begun = ~np.isnan(columns.verdict)
    found.fun[begun] = columns.f[begun]
    columns.nfev, columns.njev = stopping.spent(columns, tests)
    for name in COUNTS:
        getattr(found, name)[begun] = getattr(columns, name)[begun]
    ended = np.isfinite(columns.f0) & np.isfinite(columns.g0) & ((columns.verdict > 0) | (columns.nit >= limit))
    for verdict, status in ENDED.items():
        rows = ended & (columns.verdict == verdict)
        found.status[rows], found.success[rows] = status, status == Status.CONVERGED
    ended &= np.isin(columns.verdict, list(ENDED))
    found.advice[ended & (columns.verdict == stopping.DISTANT)] = stopping.AT_INFINITY
    found.advice[ended & (columns.verdict == stopping.FALLING)] = stopping.NO_FLOOR
    if not sees_hessian:
        found.advice[ended & (columns.nit == 0) & (columns.gnorm == 0.0)] = stopping.ZERO_GRADIENT
    return np.flatnonzero(~ended).tolist()


class Rows:
    """Rows still to do, for several threads to take from until the time is up."""

    def __init__(self, rows: Sequence[int], deadline: float) -> None:
        self.rows, self.deadline, self.next, self.lock = rows, deadline, 0, Lock()

    def take(self, count: int) -> range | None:
        """Up to ``count`` rows in a row."""
        with self.lock:
            first, self.next = self.next, min(self.next + count, len(self.rows))
            if first == self.next or time.perf_counter() >= self.deadline:
                return None
            return range(self.rows[first], self.rows[self.next - 1] + 1)

    def close(self) -> None:
        self.deadline = 0.0


def side_by_side(solve: Callable[[range], None], rows: Rows, workers: int, pace: Callable[..., int]) -> None:
    """``solve`` every block of rows, in this thread or in several; ``pace(count, seconds)`` is how many come next."""

    def work() -> None:
        count = 1
        while (block := rows.take(count)) is not None:
            start = time.perf_counter()
            solve(block)
            count = pace(count, time.perf_counter() - start)

    if workers == 1 or rows.next == len(rows.rows):
        return work()
    with ThreadPoolExecutor(workers) as pool:
        try:  # a signal may come while threads are still started
            tasks = [pool.submit(work) for _ in range(workers)]
            wait(tasks, return_when=FIRST_EXCEPTION)
        finally:
            rows.close()
    for task in tasks:
        task.result()
