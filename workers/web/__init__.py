"""The web module: HTTP and pages for contracts, without access to the operator's network."""
