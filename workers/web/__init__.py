"""The web module: pages and HTTP for contracts, without a way into the operator's network."""
