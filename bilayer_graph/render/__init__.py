"""Pictures of any mesh: rasteriser, shading, overlay; nothing random."""

from bilayer_graph.render.clay import interpolate, shade
from bilayer_graph.render.normals import Normals
from bilayer_graph.render.panels import lay_over, overlay
from bilayer_graph.render.rasterizer import Fragments, Hits, rasterize, rasterize_hits

__all__ = [
    "Fragments",
    "Hits",
    "Normals",
    "interpolate",
    "lay_over",
    "overlay",
    "rasterize",
    "rasterize_hits",
    "shade",
]
