"""An empty stand-in for torchaudio, which has no build for every machine.

``qwen-tts`` imports it for its 25 Hz tokenizer only; the 12 Hz models never call it.
"""
