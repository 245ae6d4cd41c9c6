"""Jobs of the service from click to result: requests, following, downloads."""
