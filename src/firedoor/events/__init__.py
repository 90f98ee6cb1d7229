"""What happens, as typed values: a batch or a request that was worked on, and all that is told.

A plane emits each in one place. Metrics, traces, objectives and the ledger are made of them.
"""
