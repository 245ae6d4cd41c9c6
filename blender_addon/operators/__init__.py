"""What the artist can do, one file per step."""

from . import depth, engine, generate, opening, path, prompts, results, scale, seed, weights

_modules = (seed, opening, depth, path, generate, prompts, results, scale, engine, weights)


def register() -> None:
    for module in _modules:
        module.register()


def unregister() -> None:
    for module in reversed(_modules):
        module.unregister()
