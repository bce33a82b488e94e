"""The public names, for type checkers, which run no ``__getattr__``."""

from refopt import conformance as conformance
from refopt import curvature as curvature
from refopt import derivatives as derivatives
from refopt import exact as exact
from refopt import linalg as linalg
from refopt import methods as methods
from refopt import networks as networks
from refopt import oracle as oracle
from refopt import pruning as pruning
from refopt import schedules as schedules
from refopt import stochastic as stochastic
from refopt import zoo as zoo
from refopt.catalogue import available as available
from refopt.compiled import compile as compile
from refopt.least_squares import curve_fit as curve_fit
from refopt.least_squares import least_squares as least_squares
from refopt.loop import iterate as iterate
from refopt.many import minimize_many as minimize_many
from refopt.minimize import as_scipy as as_scipy
from refopt.minimize import minimize as minimize
from refopt.oracle.claim import verify as verify
from refopt.problem import LeastSquares as LeastSquares
from refopt.problem import Problem as Problem
from refopt.recommend import recommend as recommend
from refopt.sampled import Draw as Draw
from refopt.stopping import Status as Status
from refopt.supervised import Supervised as Supervised
from refopt.train import train as train

__version__: str
