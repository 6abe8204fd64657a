"""What drives conversions: what the model uses, and what changes conversions. Reads Results, and the model's trees."""
