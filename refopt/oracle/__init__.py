"""The oracle: what the literature says about second-order optimization, checked on arrays, ours or anyone's."""

from refopt.oracle.claim import Claim, ClaimReport, find, ledger, verify
from refopt.oracle.records import Recorder, records
from refopt.oracle.replay import Replay, replay

__all__ = ["Claim", "ClaimReport", "Recorder", "Replay", "find", "ledger", "records", "replay", "verify"]
