"""From a TOML file to a frozen `Scenario`, and from it to a `Simulation`; all validation of what a person typed."""
