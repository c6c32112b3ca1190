"""Models by name: fetched from a Hugging Face hub, converted once, found again.

`names` knows what a name means, `store` where what it means lies, `remote` and `download` bring it here, and
`pulling` does the whole.
"""
