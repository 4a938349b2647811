"""What can be known of a contract without running it."""
