"""What the artist can do, one file per step."""

from . import engine, generate, path, prompts, results, seed, weights

_modules = (seed, path, generate, prompts, results, engine, weights)


def register() -> None:
    for module in _modules:
        module.register()


def unregister() -> None:
    for module in reversed(_modules):
        module.unregister()
