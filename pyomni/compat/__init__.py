"""Names of other packages for what pyomni does: programs written for them run after one changed import."""
