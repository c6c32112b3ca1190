"""Images and videos: read from what a user has, and cut into the patches a vision encoder takes."""
