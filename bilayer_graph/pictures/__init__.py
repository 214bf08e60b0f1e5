"""What is read from a user's files: images and 2D keypoints."""

from bilayer_graph.pictures.arrays import Picture, as_image, to_tensor
from bilayer_graph.pictures.box import (
    keypoints_box,
    limbs,
    move_camera,
    person_box,
    to_crop,
    to_pixels,
)
from bilayer_graph.pictures.crop import crop_image
from bilayer_graph.pictures.folders import list_images
from bilayer_graph.pictures.images import read_image
from bilayer_graph.pictures.joint_orders import JOINT_ORDERS
from bilayer_graph.pictures.keypoint_files import KeypointFile, People, read_keypoints

__all__ = [
    "JOINT_ORDERS",
    "KeypointFile",
    "People",
    "Picture",
    "as_image",
    "crop_image",
    "keypoints_box",
    "limbs",
    "list_images",
    "move_camera",
    "person_box",
    "read_image",
    "read_keypoints",
    "to_crop",
    "to_pixels",
    "to_tensor",
]
