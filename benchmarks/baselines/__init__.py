"""Plain servers and executors that the service is compared with."""
