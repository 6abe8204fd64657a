"""Compiled counters that the request loop calls; they write tables and judge nothing."""
