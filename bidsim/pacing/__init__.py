"""One file per pacer: budget and time -> multiplier, or staying out."""
