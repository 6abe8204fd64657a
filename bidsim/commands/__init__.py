"""One file a command: `add` declares its arguments, with examples, and the function beside it does what they say."""
