"""A storm against a whole service, and an oracle outside it that knows what must be true."""
