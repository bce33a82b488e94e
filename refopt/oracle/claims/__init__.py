"""The ledger: one module per topic, one function per claim."""
