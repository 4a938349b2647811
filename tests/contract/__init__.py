"""Wire formats, compared with vectors."""
