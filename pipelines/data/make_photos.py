"""make_photos.py UNPACKED OUT - cuts 400 squares out of twelve photographs: 64x64 JPEG of quality 90, with SOURCES.txt.

The squares of one photograph are <photo>_<nnn>.jpg, so that its name before the number is the group which a split must keep together.
Their places and sides come from a hash of seed, photograph and attempt; the sides lie evenly over the octaves between 96 pixels and
the whole height. Taken are squares with enough detail that do not nearly repeat an earlier one.
"""
import hashlib
import math
import os
import sys

from PIL import Image, ImageFilter, ImageStat

SIZE = 64
QUALITY = 90
SEED = "photos 1"
WALLPAPERS = "usr/share/backgrounds"
SKLEARN = "usr/lib/python3/dist-packages/sklearn/datasets/images"

# The photographs whose license lets crops be passed on (data/README.md), and how many squares each gives.
PHOTOS = [
    (WALLPAPERS, "Image_0B_by_freespace.jpg", 38),
    (WALLPAPERS, "Image_1A_by_freespace.jpg", 38),
    (WALLPAPERS, "Wine_by_Jakkub_Mede.jpg", 38),
    (WALLPAPERS, "aitzgorri_by_Aitzol_Berasategi.jpg", 38),
    (WALLPAPERS, "friends_by_Aitzol_Berasategi.jpg", 38),
    (WALLPAPERS, "life_by_Aitzol_Berasategi.jpg", 38),
    (WALLPAPERS, "picosdeeuropa_by_Aitzol_Berasategi.jpg", 38),
    (WALLPAPERS, "seeding_by_Clements_Engelhardt.jpg", 38),
    (WALLPAPERS, "sunset_by_Aitzol_Berasategi.jpg", 38),
    (WALLPAPERS, "umang_by_Abhishek_Mudgal.jpg", 10),  # a drawn gradient: little to see in it
    (SKLEARN, "china.jpg", 24),
    (SKLEARN, "flower.jpg", 24),
]
MIN_SIDE = 96


def uniform(*key):
    """A number in [0, 1) out of the key's hash."""
    h = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return int.from_bytes(h[:7], "big") / 2**56


def overlap(a, b):
    """Intersection over union of two squares (x, y, side)."""
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[2], b[1] + b[2]) - max(a[1], b[1])
    common = max(w, 0) * max(h, 0)
    return common / (a[2] ** 2 + b[2] ** 2 - common)


def detail(im):
    """Largest spread of a channel, and mean strength of the edges."""
    edges = im.convert("L").filter(ImageFilter.FIND_EDGES).crop((1, 1, SIZE - 1, SIZE - 1))
    return max(ImageStat.Stat(im).stddev), ImageStat.Stat(edges).mean[0]


def squares(photo, im, want):
    """`want` squares; what counts as detail is lowered slowly, for images that are mostly sky or nothing but soft."""
    taken = []
    for attempt in range(2000):
        level = max(0, 1 - attempt / 1000)
        short = min(im.size)
        side = round(MIN_SIDE * (short / MIN_SIDE) ** uniform(SEED, photo, attempt, "side"))
        x = math.floor(uniform(SEED, photo, attempt, "x") * (im.width - side + 1))
        y = math.floor(uniform(SEED, photo, attempt, "y") * (im.height - side + 1))
        crop = im.resize((SIZE, SIZE), Image.LANCZOS, (x, y, x + side, y + side))
        spread, edges = detail(crop)
        if spread < 28 * level or edges < 14 * level:
            continue
        if any(overlap((x, y, side), s) > 0.6 - 0.2 * level for s, _ in taken):
            continue
        taken.append(((x, y, side), crop))
        if len(taken) == want:
            return taken
    sys.exit(f"only {len(taken)} of {want} squares of '{photo}' are good enough")


def main():
    root, out = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    for old in os.listdir(out):
        if old.endswith(".jpg"):
            os.remove(os.path.join(out, old))
    rows = []
    for folder, file, want in PHOTOS:
        photo = os.path.splitext(file)[0]
        im = Image.open(os.path.join(root, folder, file)).convert("RGB")
        for i, ((x, y, side), crop) in enumerate(squares(photo, im, want)):
            name = f"{photo}_{i:03d}.jpg"
            crop.save(os.path.join(out, name), quality=QUALITY, optimize=True)
            rows.append(f"{name}\t{folder}/{file}\t{x}\t{y}\t{side}\n")
    with open(os.path.join(out, "SOURCES.txt"), "w", encoding="ascii", newline="\n") as f:
        f.write("file\tpath in the package\tleft\ttop\tside\n")
        f.writelines(sorted(rows))
    print(f"{len(rows)} photo crops in {out}")


main()
