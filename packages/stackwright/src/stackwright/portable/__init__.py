"""What travels with an exported model. Nothing here imports anything but the standard library."""
