"""What the artist can do, one file per step."""

from . import depth, generate, opening, path, prompts, results, scale, service, start, weights

_modules = (start, opening, depth, path, generate, prompts, results, scale, service, weights)


def register() -> None:
    for module in _modules:
        module.register()


def unregister() -> None:
    for module in reversed(_modules):
        module.unregister()
