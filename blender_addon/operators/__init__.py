"""What the artist can do, one file per step."""

from . import engine, generate, path, results, seed

_modules = (seed, path, generate, results, engine)


def register() -> None:
    for module in _modules:
        module.register()


def unregister() -> None:
    for module in reversed(_modules):
        module.unregister()
