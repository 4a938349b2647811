"""What every process of the service needs; knows nothing of contracts, HTTP or runs."""
