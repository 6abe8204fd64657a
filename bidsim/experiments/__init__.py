"""The only room that runs worlds: once, again, and side by side."""
