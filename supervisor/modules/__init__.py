"""The LLM and web modules: started, replaced, stopped, and lent to runs (spec 05)."""
