"""The local service: its process, the HTTP client, its resources as types, and the state of the connection."""
