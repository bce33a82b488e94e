"""The oracle: what the literature says about second-order optimization, checked on arrays, ours or anyone's."""

import importlib
from typing import Any

from refopt.oracle.claim import Claim, ClaimReport, find, ledger, verify

_LATER = {
    "Diagnosis": "diagnosis",
    "Pruning": "prunings.verdict",
    "Recorder": "iterates",
    "Replay": "replaying",
    "Verdict": "exchange",
    "diagnose": "diagnosis",
    "judge": "exchange",
    "pruned": "prunings.verdict",
    "records": "iterates",
    "replay": "replaying",
}

__all__ = ["Claim", "ClaimReport", "find", "ledger", "verify", *_LATER]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'refopt.oracle' has no attribute {name!r}")
    return getattr(importlib.import_module(f"refopt.oracle.{_LATER[name]}"), name)
