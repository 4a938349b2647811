"""The local node: what stands in for a blockchain when a contract author tries a contract.

`ledger` keeps accounts and storage, `host` answers the executor, `node` decides what a run changes.
"""
