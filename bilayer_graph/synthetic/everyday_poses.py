"""Arm and leg poses of everyday life as ranges of joint angles; any arms go with any legs."""

from __future__ import annotations

from typing import NamedTuple

Range = tuple[float, float]


class Arm(NamedTuple):
    """How often one arm is held so, and its angles in degrees."""

    weight: float
    twist: Range  # inwards
    swing: Range  # 0: to the side, 90: to the front
    elevation: Range  # -90: hanging, 0: level, 90: upwards
    elbow: Range  # flexion


class Leg(NamedTuple):
    """Angles of one leg in degrees."""

    hip: Range  # flexion
    spread: Range
    outwards: Range  # twist of the thigh
    knee: Range  # flexion
    toes: Range  # downwards


class Stance(NamedTuple):
    """How often the legs are held so; the second leg is the first's twin unless it is given."""

    weight: float
    first: Leg
    bend: Range  # of the trunk, forwards
    second: Leg | None = None


ARMS: dict[str, Arm] = {
    "hang": Arm(5, (-10, 25), (-20, 30), (-82, -68), (0, 35)),
    "swing": Arm(2, (-10, 20), (60, 90), (-80, -55), (5, 45)),
    "on hip": Arm(1, (65, 90), (-30, 0), (-55, -40), (80, 105)),
    "in lap": Arm(2, (15, 45), (20, 60), (-75, -55), (40, 90)),
    "carry": Arm(1, (0, 20), (0, 30), (-80, -65), (70, 110)),
    "reach forward": Arm(2, (-20, 20), (60, 105), (-30, 30), (0, 50)),
    "reach down": Arm(1, (-10, 20), (60, 100), (-60, -25), (0, 30)),
    "to the side": Arm(1, (-20, 20), (-10, 30), (-30, 20), (0, 35)),
    "overhead": Arm(2, (-20, 20), (10, 60), (45, 78), (0, 50)),
    "wave": Arm(1, (-85, -55), (0, 40), (-35, 5), (60, 120)),
    "to the head": Arm(1, (-60, -30), (30, 70), (-40, 0), (110, 140)),
    "anything": Arm(3, (-70, 85), (-35, 125), (-82, 78), (0, 140)),
}

_STANDING = Leg((-4, 8), (0, 10), (0, 20), (0, 10), (-5, 5))

STANCES: dict[str, Stance] = {
    "stand": Stance(5, _STANDING, (-5, 12)),
    "lean": Stance(1, _STANDING, (-5, 10), Leg((10, 25), (3, 15), (5, 30), (15, 40), (0, 15))),
    "walk": Stance(
        4,
        Leg((10, 35), (-2, 5), (0, 10), (0, 20), (-8, 10)),
        (0, 12),
        Leg((-20, -5), (-2, 5), (0, 10), (10, 45), (0, 30)),
    ),
    "run": Stance(
        1,
        Leg((40, 80), (-2, 8), (0, 10), (60, 110), (0, 30)),
        (5, 25),
        Leg((-20, 0), (-2, 8), (0, 10), (10, 60), (0, 40)),
    ),
    "step": Stance(1, Leg((30, 80), (0, 15), (0, 15), (0, 80), (-5, 25)), (-5, 15), _STANDING),
    "sit": Stance(3, Leg((75, 100), (2, 22), (0, 15), (60, 105), (-5, 20)), (-8, 25)),
    "sit on floor": Stance(1, Leg((75, 103), (3, 25), (0, 20), (0, 70), (5, 25)), (0, 30)),
    "cross-legged": Stance(0.5, Leg((80, 100), (28, 42), (30, 44), (95, 120), (5, 20)), (5, 25)),
    "squat": Stance(1.5, Leg((90, 122), (6, 30), (5, 30), (95, 138), (-20, 0)), (10, 45)),
    "kneel": Stance(1, Leg((-10, 20), (2, 15), (0, 10), (75, 115), (25, 45)), (-5, 15)),
    "one knee": Stance(
        1,
        Leg((75, 100), (0, 20), (0, 15), (75, 105), (-10, 5)),
        (0, 25),
        Leg((-18, 5), (0, 10), (0, 10), (75, 110), (0, 40)),
    ),
    "lunge": Stance(
        1,
        Leg((50, 95), (0, 10), (0, 10), (45, 95), (-10, 10)),
        (0, 25),
        Leg((-22, 0), (0, 10), (0, 15), (0, 45), (5, 35)),
    ),
    "bend over": Stance(1, Leg((35, 85), (0, 15), (0, 10), (0, 30), (-5, 5)), (25, 65)),
    "anything": Stance(3, Leg((-20, 115), (-8, 42), (-25, 42), (0, 140), (-18, 42)), (-15, 55)),
}
