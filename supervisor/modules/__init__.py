"""The LLM and web modules: started, replaced, stopped, and lent to runs.

Source: docs/spec/05-modules.md.
"""
