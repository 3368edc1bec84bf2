"""Scenery of the built-in demo clip, painted: ground, track and trees from above, and two cars on it.

Everything is procedural and seeded. Lengths are in world units. Points are (x, y), angles are radians, clockwise in the
picture. Colours are in 0..1.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

DENSITY = 2
"""Samples per unit of the painted world."""
WORLD = (1000, 620)
"""Width and height of the painted world."""
CAR = (58.0, 30.0)
"""Length and width of both cars."""
CORNER = 7.0
"""Radius of a car's corners."""
LANE = 19.0
"""Distance of a lane from the middle of the track."""
SPRITE = 4
"""Samples per unit of a car's painting."""
TREE = (597.0, 381.0, 44.0)
"""Middle and radius of the tree that the target passes under."""
Car = tuple[Image.Image, Image.Image]
"""Picture of a car: its colours and its outline."""
MARGIN = 48
"""Half the side of the patch of world that is painted anew around a car."""


def track(x: np.ndarray | float) -> np.ndarray:
    """Height `y` of the middle of the track at `x`."""
    return 312 + 38 * np.sin((np.asarray(x) - 250) / 128) + 7 * np.sin(np.asarray(x) / 47)


def noise(shape: tuple[int, int], power: float, seed: int, shortest: float = 0.0) -> np.ndarray:
    """Fractal noise of zero mean and unit deviation: amplitude falls with frequency ** `power`."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :])
    frequency[0, 0] = 1  # the mean, which goes below
    spectrum = np.fft.rfft2(rng.standard_normal(shape)) * frequency**-power * np.exp(-((frequency * shortest) ** 2))
    field = np.fft.irfft2(spectrum, shape)
    return (field - field.mean()) / field.std()


def mix(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Mixture of two pictures: `a` where `share` [h, w] is 0, `b` where it is 1."""
    return a + (b - a) * share[..., None]


def step(value: np.ndarray, soft: float) -> np.ndarray:
    """Smooth step: 0 below 0, 1 above 0, smooth over `soft` on either side."""
    share = np.clip(value / (2 * soft) + 0.5, 0, 1)
    return share * share * (3 - 2 * share)


def rgb(*channels: int) -> np.ndarray:
    """Colour as an array."""
    return np.array(channels, np.float64) / 255


def grid() -> tuple[np.ndarray, np.ndarray]:
    """Samples of the world: their x [1, W] and y [H, 1]."""
    x, y = (np.arange(side * DENSITY) + 0.5 for side in WORLD)
    return x[None, :] / DENSITY, y[:, None] / DENSITY


def to_bytes(picture: np.ndarray) -> np.ndarray:
    """Picture as uint8, from colours in 0..1."""
    return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)


def from_bytes(image: Image.Image) -> np.ndarray:
    """Colours in 0..1, from an image."""
    return np.asarray(image, np.float64) / 255


def paint_ground() -> np.ndarray:
    """Ground of the world, [H, W, 3]: meadow with flowers, and the track with its ruts and stones."""
    x, y = grid()
    shape = (y.size, x.size)
    hills, patches = noise(shape, 1.7, 1), noise(shape, 1.3, 2)
    blades, grain = noise(shape, 0.55, 3, shortest=1.2), noise(shape, 0.2, 4, shortest=1.0)
    grass = mix(rgb(58, 92, 38), rgb(122, 142, 62), step(0.6 * hills + 0.5 * patches, 1.3))
    grass = mix(grass, rgb(160, 150, 88), 0.7 * step(patches - 1.1, 0.7))
    grass *= (1 + 0.13 * blades + 0.07 * grain)[..., None]
    slope = (track(x + 1) - track(x - 1)) / 2
    side = (y - track(x)) / np.hypot(1, slope)
    distance = np.abs(side) + 2.2 * patches + 1.2 * blades
    dirt = mix(rgb(150, 122, 86), rgb(190, 166, 124), step(0.5 * patches + 0.4 * hills, 1.2))
    ruts = sum(np.exp(-(((np.abs(side) - LANE + wheel + patches) / 3.2) ** 2)) for wheel in (-9, 9))
    dirt *= (1 - 0.2 * ruts + 0.06 * blades + 0.07 * grain)[..., None]
    ground = mix(dirt, grass, step(distance - 41, 4))
    ground = mix(ground, 0.9 * grass, 0.75 * step(4.5 - distance + 2 * hills, 2.5))
    picture = Image.fromarray(to_bytes(ground))
    canvas, rng = ImageDraw.Draw(picture), np.random.default_rng(5)
    for px, py, radius, kind in zip(*rng.uniform(0, 1, (4, 2600)), strict=True):
        px, py = px * WORLD[0], py * WORLD[1]
        off = abs(py - float(track(px)))
        if off > 50 and patches[int(py * DENSITY), int(px * DENSITY)] > 0.2:  # flowers grow in drifts
            colour = ((238, 234, 220), (232, 200, 74), (196, 120, 160))[int(kind * 3)]
            dot(canvas, px, py, 0.5 + 0.6 * radius, 0.5 + 0.6 * radius, colour)
        elif 38 < off < 48 and kind > 0.45:  # stones lie along the track
            size, light = 0.9 + 2.4 * radius**2, 0.75 + 0.5 * radius
            dot(canvas, px + 0.6, py + 0.8, size, 0.8 * size, (62, 58, 44))
            dot(canvas, px, py, size, 0.8 * size, tuple(int(light * c) for c in (142, 138, 128)))
    return from_bytes(picture.filter(ImageFilter.GaussianBlur(0.5)))


def dot(canvas: ImageDraw.ImageDraw, x: float, y: float, across: float, down: float, colour: tuple[int, ...]) -> None:
    """Draws an ellipse by its middle and radii, in units."""
    canvas.ellipse([DENSITY * side for side in (x - across, y - down, x + across, y + down)], fill=colour)


def paint_trees() -> tuple[np.ndarray, np.ndarray]:
    """Colour [H, W, 3] of leaves seen from above, lit from the upper left, and how much they hide [H, W]."""
    rng = np.random.default_rng(6)
    size = (WORLD[0] * DENSITY, WORLD[1] * DENSITY)
    picture, cover = Image.new("RGB", size, (38, 62, 26)), Image.new("L", size)
    colours, covers = ImageDraw.Draw(picture), ImageDraw.Draw(cover)
    places = [(x, y, r) for x, y, r in rng.uniform((60, 90, 11), (940, 560, 44), (70, 3)) if abs(y - track(x)) > 62 + r]
    for x, y, radius in [*places, TREE]:
        hue = rng.uniform(-1, 1)
        lumps = [(x, y, 0.72 * radius)]
        for angle in np.arange(7) * 2 * np.pi / 7 + rng.uniform(0, 1):
            reach = radius * rng.uniform(0.5, 0.62)
            lumps.append((x + reach * np.cos(angle), y + reach * np.sin(angle), radius * rng.uniform(0.32, 0.44)))
        for lump_x, lump_y, lump in sorted(lumps, key=lambda place: -place[0] - place[1]):
            for share in np.linspace(0, 1, int(30 + lump * lump)):  # from the rim in the shade to the top in the light
                angle, reach = rng.uniform(0, 2 * np.pi), lump * np.sqrt(rng.uniform(0, 1)) * (1 - 0.45 * share)
                leaf_x = lump_x + reach * np.cos(angle) - 0.28 * lump * share
                leaf_y = lump_y + reach * np.sin(angle) - 0.28 * lump * share
                light = 0.42 + 0.62 * share + rng.uniform(-0.13, 0.13)
                colour = tuple(int(light * c) for c in (104 + 24 * hue, 140 + 8 * hue, 58 - 8 * hue))
                across, down = rng.uniform(1.0, 2.6, 2)
                dot(colours, leaf_x, leaf_y, across, down, colour)
                dot(covers, leaf_x, leaf_y, across, down, (255,))
    soft = ImageFilter.GaussianBlur(0.7)
    return from_bytes(picture.filter(soft)), from_bytes(cover.filter(soft))


def paint_car(
    body: tuple, stripe: tuple, accent: tuple, number: str, stripes: tuple
) -> tuple[Image.Image, Image.Image]:
    """Picture of a car from above, its nose to the right: colours and outline.

    It has `SPRITE` samples per unit and a rim of 4 units.
    """
    fine, rim = 4 * SPRITE, 4
    length, width = CAR
    size = (int((length + 2 * rim) * fine), int((width + 2 * rim) * fine))
    picture = Image.new("RGB", size, body)
    canvas = ImageDraw.Draw(picture)

    def place(*corners: tuple[float, float]) -> list[tuple[float, float]]:
        return [((x + rim) * fine, (y + rim) * fine) for x, y in corners]

    for low, high in stripes:
        canvas.rectangle(place((0, low), (length, high)), fill=stripe)
    for column in range(3):  # chequers on the tail
        for row in range(10):
            if (row + column) % 2 == 0:
                canvas.rectangle(place((3 + 3 * column, 3 * row), (6 + 3 * column, 3 * row + 3)), fill=accent)
    glass = (34, 42, 52)
    canvas.polygon(place((34, 4), (41, 6), (42, 15), (41, 24), (34, 26), (33, 15)), fill=glass)
    canvas.polygon(place((16, 4.5), (13, 6.5), (12.5, 15), (13, 23.5), (16, 25.5), (17, 15)), fill=glass)
    for low, high in ((2.5, 4), (26, 27.5)):
        canvas.polygon(place((18, low), (32, low), (31, high), (19, high)), fill=glass)
    canvas.line(place((36, 8), (39.5, 14)), fill=(150, 170, 186), width=fine)  # the sky in the glass
    canvas.ellipse(place((19, 8.5), (32, 21.5)), fill=(244, 240, 230), outline=(30, 30, 30), width=fine // 3)
    font = ImageFont.load_default(11 * fine)
    canvas.text(place((25.5, 15))[0], number, fill=(24, 24, 28), font=font, anchor="mm", stroke_width=fine // 3)
    for low, high in ((3, 8), (22, 27)):
        canvas.rounded_rectangle(place((54, low), (57.2, high)), radius=fine, fill=(250, 244, 206))
        canvas.rectangle(place((0.5, low), (1.8, high)), fill=(150, 22, 22))
    canvas.line(place((43.5, 4), (43.5, 26)), fill=tuple(c // 2 for c in body), width=fine // 3)
    picture = picture.reduce(4)
    across = np.abs(np.linspace(-1, 1, picture.height) * (width + 2 * rim) / width)[:, None]
    dust = noise((picture.height, picture.width), 1.2, ord(number))
    light = 1.06 - 0.36 * np.clip(across, 0, 1) ** 5 + 0.035 * dust
    outline = Image.new("L", size)
    shape = place((0, 0), (length, width))
    ImageDraw.Draw(outline).rounded_rectangle([*shape[0], shape[1][0] - 1, shape[1][1] - 1], CORNER * fine, fill=255)
    return Image.fromarray(to_bytes(from_bytes(picture) * light[..., None])), outline.reduce(4)


@dataclass
class Scene:
    """Everything that is painted once.

    Attributes:
      ground: Ground without shade, [H, W, 3].
      shade: Light that the trees leave to the ground.
      leaves: Colour of the leaves, [H, W, 3].
      cover: How much the leaves hide, [H, W].
      target: Picture of the target.
      distractor: Picture of its twin.
    """

    ground: np.ndarray
    shade: np.ndarray
    leaves: np.ndarray
    cover: np.ndarray
    target: Car
    distractor: Car

    @classmethod
    def paint(cls) -> "Scene":
        """Scene with all its parts painted."""
        leaves, cover = paint_trees()
        shadow = Image.fromarray(to_bytes(np.roll(cover, (9 * DENSITY, 6 * DENSITY), axis=(0, 1))))
        shadow = from_bytes(shadow.filter(ImageFilter.GaussianBlur(2.5 * DENSITY)))
        return cls(
            ground=paint_ground(),
            shade=1 - 0.45 * shadow,
            leaves=leaves,
            cover=cover,
            target=paint_car((206, 52, 36), (246, 240, 228), (28, 28, 34), "7", ((8, 12.5), (17.5, 22))),
            distractor=paint_car((44, 92, 160), (240, 196, 60), (238, 236, 230), "4", ((12, 18),)),
        )

    def lit(self, ground: np.ndarray, area: tuple[slice, ...] = ()) -> np.ndarray:
        """Ground of an area in the light, under the trees: uint8."""
        return to_bytes(mix(ground[area] * self.shade[area][..., None], self.leaves[area], self.cover[area]))


def park(ground: np.ndarray, car: Car, middle: np.ndarray, heading: float) -> tuple[slice, ...]:
    """Puts a car and its shadow onto the ground, in place; returns the changed area."""
    corner = np.floor((middle - MARGIN) * DENSITY).astype(int)
    area = tuple(slice(low, low + 2 * MARGIN * DENSITY) for low in corner[::-1])

    def turned(image: Image.Image, offset: tuple[float, float]) -> np.ndarray:
        cos, sin = np.cos(heading), np.sin(heading)
        x, y = corner / DENSITY - middle - offset
        scale = SPRITE / (2 * DENSITY)  # twice as fine as the world, then averaged
        rows = ((cos, sin, image.width), (-sin, cos, image.height))
        data = [v for a, b, side in rows for v in (a * scale, b * scale, SPRITE * (a * x + b * y) + side / 2)]
        size = (4 * MARGIN * DENSITY,) * 2
        return from_bytes(image.transform(size, Image.Transform.AFFINE, data, Image.Resampling.BICUBIC).reduce(2))

    colours, outline = car
    dark = turned(outline, (2.5, 3.5))
    dark = from_bytes(Image.fromarray(to_bytes(dark)).filter(ImageFilter.GaussianBlur(1.6 * DENSITY)))
    ground[area] *= 1 - 0.5 * dark[..., None]
    ground[area] = mix(ground[area], turned(colours, (0, 0)), turned(outline, (0, 0)))
    return area
