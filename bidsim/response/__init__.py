"""The truth: what users do when they see an ad, and what they buy without one. No bidder reads this room."""
