"""The LLM and web modules: started, replaced, stopped, and connected to runs.

Source: docs/spec/05-modules.md.
"""
