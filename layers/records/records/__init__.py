"""What the functions share: requests and responses, the conversion, the rows and the storage."""
