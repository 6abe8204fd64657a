"""Watching the model: what was expected and what came, slice by slice and window by window, and alarms that can be left on."""
