"""Work of the service for a world: requested, followed, and its results downloaded."""
