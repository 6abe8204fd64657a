"""What may go wrong in a scenario: one file a kind of incident."""
