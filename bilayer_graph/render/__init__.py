"""Pictures of any mesh: rasteriser, shading, overlay; nothing random."""

from bilayer_graph.render.clay import interpolate, shade
from bilayer_graph.render.normals import Normals
from bilayer_graph.render.panels import lay_over, overlay
from bilayer_graph.render.rasterizer import Fragments, Hits, rasterize, rasterize_hits
from bilayer_graph.render.sheets import contact_sheet
from bilayer_graph.render.value_maps import colour_bar, draw_values, signed_colours

__all__ = [
    "Fragments",
    "Hits",
    "Normals",
    "colour_bar",
    "contact_sheet",
    "draw_values",
    "interpolate",
    "lay_over",
    "overlay",
    "rasterize",
    "rasterize_hits",
    "shade",
    "signed_colours",
]
