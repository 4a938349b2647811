"""How commands show what they have learned."""
