"""Training data and training runs of the models that this project makes itself."""
