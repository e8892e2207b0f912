"""The compute slot's built-in adapter: processes of this machine."""
