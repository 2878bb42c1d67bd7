"""What the functions share: the domain of the service, and the one module (`api`) that knows HTTP."""
