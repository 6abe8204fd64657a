"""The words everyone speaks: units, errors, random streams, batches, plug-in contracts, results."""
