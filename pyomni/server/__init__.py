"""The HTTP server: one model, many who ask, the routes OpenAI's clients know."""
