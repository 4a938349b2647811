"""`genvm-manager serve`: starts and restarts HTTP and the supervisor, and lets itself be found."""
