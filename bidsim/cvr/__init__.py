"""The belief: features of what a bidder may see, models trained on logged rows, and compiled scorers."""
