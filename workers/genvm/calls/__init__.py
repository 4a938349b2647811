"""What a contract may ask for, and who answers it."""
