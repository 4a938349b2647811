"""The configuration file of the service, and what is read beside it."""
