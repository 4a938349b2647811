"""Cgroups: one for each run, and the memory that they allow."""
