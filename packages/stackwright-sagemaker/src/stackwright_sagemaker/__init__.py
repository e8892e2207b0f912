"""Amazon SageMaker's container contract as the server, and images for it."""
