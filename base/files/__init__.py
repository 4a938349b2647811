"""The state folder, the cache folder, and how files there are opened."""
