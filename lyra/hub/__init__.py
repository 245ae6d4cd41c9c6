"""Model weights: catalogue, licences, download, verification."""

from lyra.hub.catalog import DEPTH_MODELS, ENGINES, IMAGE_DEPTH, ITEMS, Item, Needs
from lyra.hub.downloads import download
from lyra.hub.licences import LICENCES, AcceptedLicences, Licence
from lyra.hub.sources import HubSource, MirrorSource, choose_source
from lyra.hub.verification import Finding, verify
from lyra.hub.weights import Weights

__all__ = [
    "DEPTH_MODELS",
    "ENGINES",
    "IMAGE_DEPTH",
    "ITEMS",
    "LICENCES",
    "AcceptedLicences",
    "Finding",
    "HubSource",
    "Item",
    "Licence",
    "MirrorSource",
    "Needs",
    "Weights",
    "choose_source",
    "download",
    "verify",
]
