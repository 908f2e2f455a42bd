"""What lies between HTTP and the token seam, the same for every engine."""
