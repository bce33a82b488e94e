"""The ledger: one module per topic, one function per claim.   And the sources, as they are cited."""

NW = "Nocedal & Wright, Numerical Optimization, 2nd ed., "
DS = "Dennis & Schnabel, Numerical Methods for Unconstrained Optimization and Nonlinear Equations, "
BV = "Boyd & Vandenberghe, Convex Optimization, "
CGT = "A. R. Conn, N. I. M. Gould & Ph. L. Toint, Trust-Region Methods, "
