"""The local node, which replaces a blockchain when a contract author tries a contract.

`ledger` keeps accounts and storage, `host` answers the executor, `node` applies what a run changes.
"""
