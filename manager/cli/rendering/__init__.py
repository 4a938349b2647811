"""How commands print results: text and tables for people, JSON for scripts."""
