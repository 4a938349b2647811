"""The commands of `genvm-manager`, one file or folder for each."""
