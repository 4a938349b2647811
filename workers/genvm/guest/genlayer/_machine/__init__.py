"""What runs a contract: the entry of a run, and the calls to the host. Not for contracts."""
