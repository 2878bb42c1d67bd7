"""What a developer runs by hand: `make deploy`, `make openapi`."""
