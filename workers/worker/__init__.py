"""A worker process: it opens a module and serves its connections."""
