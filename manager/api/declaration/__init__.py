"""How an operation of the API is declared: its parameters, bodies, reply, errors and handler."""
