"""The oracle: what the literature says about second-order optimization, checked on arrays, ours or anyone's."""

from refopt.oracle.claim import Claim, ClaimReport, find, ledger, verify

__all__ = ["Claim", "ClaimReport", "find", "ledger", "verify"]
