"""What is learned: prompts with checkable answers, tokenizers, and rewards."""
