"""A stand-in for Blender's UILayout, so that panels can be drawn without a window."""

from types import SimpleNamespace


class Recorder:
    """Takes every call a panel makes and keeps the texts; properties that do not exist are errors, as in Blender."""

    def __init__(self, texts=None):
        self.texts = [] if texts is None else texts

    def _part(self, *_args, heading="", **_options):
        self.texts.append(heading)
        return Recorder(self.texts)

    row = column = box = split = grid_flow = _part

    def label(self, text="", **_options):
        self.texts.append(text)

    def prop(self, owner, name, **_options):
        owner.bl_rna.properties[name]  # KeyError for a misspelt one
        self.texts.append(name)

    def operator(self, name, text=None, **_options):
        import bpy

        group, _, function = name.partition(".")
        properties = getattr(getattr(bpy.ops, group), function).get_rna_type().properties
        self.texts += [name, text or ""]
        return SimpleNamespace(**{prop.identifier: None for prop in properties})

    def progress(self, factor, text):
        assert 0 <= factor <= 1
        self.texts.append(text)

    def template_list(self, kind, _id, owner, name, *_more, **_options):
        self.texts += [kind, *(str(entry.text) for entry in getattr(owner, name))]

    def template_icon(self, **_options):
        pass


def drawn(panel, context) -> list[str]:
    """The texts and the names of properties and operators of a panel, in order; empty where its poll says no."""
    if hasattr(panel, "poll") and not panel.poll(context):
        return []
    layout = Recorder()
    panel.draw(SimpleNamespace(layout=layout), context)
    return [text for text in layout.texts if text]
