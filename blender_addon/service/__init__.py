"""The connection to the local service: process, HTTP client, typed resources, and the state of both."""
