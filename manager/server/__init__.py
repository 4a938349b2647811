"""gunicorn with the application: master, workers, settings."""
