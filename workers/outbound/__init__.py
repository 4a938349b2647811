"""What modules share on their way out."""
