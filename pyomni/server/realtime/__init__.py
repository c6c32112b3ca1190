"""`/v1/realtime`: a conversation by voice over a WebSocket, in OpenAI's events."""
