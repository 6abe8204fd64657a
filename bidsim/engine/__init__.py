"""The compiled request loop, settlement and budgets, and late conversions."""
