"""The one process that owns permits and GenVM children; all others ask it over a Unix socket."""
