"""One file per bidder policy: value -> bid."""
