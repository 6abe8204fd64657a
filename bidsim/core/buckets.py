"""Buckets of equal ratio, in which response times are counted."""

PER_OCTAVE = 32
"""Buckets from a time to its double, so that each is 2.2% wide."""
RATIO = 2.0 ** (1 / PER_OCTAVE)
"""Upper over lower bound of a bucket."""
OCTAVES = 48
"""From a nanosecond to three days; what takes longer is counted in the last bucket."""
