"""The protocols the application speaks, a module each: endpoints over one shared state."""
