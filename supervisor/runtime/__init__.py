"""What touches the system: processes, descriptors, files."""
