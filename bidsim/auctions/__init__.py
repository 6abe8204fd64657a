"""One file per auction format: allocation and payment."""
