"""Bid requests: users, sites, placements, floors, seasonality, and how they arrive."""
