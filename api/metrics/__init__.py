"""What is counted, and how it is shown to Prometheus. Decides nothing about any request."""
