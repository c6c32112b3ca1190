"""Generation loops and prompts: what runs next, and on what."""
