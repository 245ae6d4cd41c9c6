"""The list of engines, and the buttons for missing licences and weights."""

from __future__ import annotations

from ..jobs import weights
from ..service import engines, session
from ..service.resources import Engine, Job
from ..service.wording import stage, time_left
from .text import say


def draw(layout, settings) -> None:
    """The list of engines; below it the state of the chosen one."""
    known = session.current.engines
    if not known:
        return
    column = layout.column(align=True, heading="Engine")
    for engine in known:
        row = column.row(align=True)
        row.active = engine.ready
        chosen = engine.id == settings.engine
        lack = engines.lack(engine)
        row.operator(
            "lyra.choose_engine",
            text=f"{engine.label}: {lack}" if lack else engine.label,
            icon="RADIOBUT_ON" if chosen else "RADIOBUT_OFF",
            depress=chosen,
        ).engine = engine.id
    if chosen := engines.find(settings.engine):
        _draw_chosen(layout, chosen)
    job = weights.download_job()
    if job and job.state != "done":
        _draw_download(layout, job)


def _draw_chosen(layout, engine: Engine) -> None:
    if obstacle := engines.obstacle(engine):
        say(layout, obstacle, "INFO")
    for licence in engines.open_licences(engine):
        operator = layout.operator("lyra.accept_licence", text="Read and Accept Licence", icon="TEXT")
        operator.engine, operator.licence = engine.id, licence.id
    status = engines.status(engine)
    if status in engines.FETCHABLE and not weights.is_downloading():
        size = engines.download_size(engine)
        text = f"Download {size}" if status == "needs_download" else "Convert Weights"
        layout.operator("lyra.download_weights", text=text, icon="IMPORT")


def _draw_download(layout, job: Job) -> None:
    box = layout.box()
    box.label(text=stage(job))
    if weights.is_downloading():
        text = " - ".join(filter(None, (f"{job.progress:.0%}", time_left(job.eta_seconds))))
        box.progress(factor=job.progress, text=text)
        if job.message:
            say(box, job.message)
        box.operator("lyra.cancel_download", icon="CANCEL")
    elif job.error:
        say(box, job.error, "ERROR")
