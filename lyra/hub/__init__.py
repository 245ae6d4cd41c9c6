"""Which weights exist, what they need, and how they get onto this machine: list, plan, download, convert, verify."""

from lyra.engines.planning import DepthPlan, Plan, plan, plan_depth
from lyra.engines.readiness import EngineState, engine_state
from lyra.hub.catalog import DEPTH_MODELS, ENGINES, ITEMS, Item, Needs
from lyra.hub.downloads import download
from lyra.hub.licences import LICENCES, AcceptedLicences, Licence
from lyra.hub.sources import HubSource, MirrorSource, choose_source
from lyra.hub.verification import Finding, verify
from lyra.hub.weights import Weights

__all__ = [
    "DEPTH_MODELS",
    "ENGINES",
    "ITEMS",
    "LICENCES",
    "AcceptedLicences",
    "DepthPlan",
    "EngineState",
    "Finding",
    "HubSource",
    "Item",
    "Licence",
    "MirrorSource",
    "Needs",
    "Plan",
    "Weights",
    "choose_source",
    "download",
    "engine_state",
    "plan",
    "plan_depth",
    "verify",
]
