"""Watching the model, with alarms that can be left on.

What was expected and what came, slice by slice and window by window.
"""
