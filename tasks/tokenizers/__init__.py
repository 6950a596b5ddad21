"""From text to tokens and back: characters, or a pretrained model's own tokenizer."""
