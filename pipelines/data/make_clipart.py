"""make_clipart.py PNG_ROOT OUT - chooses 600 cliparts and writes them as 64x64 RGB PNG, with SOURCES.txt.

The choice is a function of the file names and of the images alone: candidates are visited in the order of a hash of their path, so
that another version of the package moves as few of them as possible. Taken are images that still show something at 64x64: enough
ink, enough colour, not nearly the same as one already taken.
"""
import hashlib
import os
import re
import sys

from PIL import Image, ImageChops, ImageStat

SIZE = 64
MARGIN = 2
MAX_PIXELS = 20_000_000  # twelve files of the package are posters of up to 620 Mpx
Image.MAX_IMAGE_PIXELS = None  # the limit above is asked before anything is decoded
SEED = b"clipart 1"

# category: (folder, how many, at most from one folder of up to three steps)
QUOTA = {
    "computer": ("computer", 110, 22),
    "shapes": ("shapes", 34, 14),
    "signs": ("signs_and_symbols", 90, 9),
    "people": ("people", 100, 60),
    "transport": ("transportation", 72, 40),
    "food": ("food", 100, 30),
    "animals": ("animals", 94, 30),
}
ALIKE = {"people/stickmen": 10, "shapes/jigsaw": 8}  # folders of much the same thing

# Not for a demonstration: marks and figures that belong to somebody, politics, arms, undress.
SKIP = re.compile(
    r"flags/historic|pantyhose|semaphore|swastika|nazi|hitler|nude|naked|bikini|topless|lingerie|pin-?up|gun|pistol|marijuana|cannabis|"
    r"cigar|smok|firefox|mozilla|thunderbird|skype|msn|google|yahoo|facebook|windows|apple_|mac_|macos|ipod|nokia|coca|pepsi|mcdonald|"
    r"disney|mickey|hello_kitty|pokemon|pikachu|simpson|intel|amd|nvidia|java|adobe|opera|vlc|oracle|ubuntu|debian|fedora|redhat|suse|"
    r"hummer|ferrari|porsche|volkswagen|vw_|bmw|nintendo|playstation|xbox|wii|openoffice|brozo|"
    r"pack?man|quake|/gim|/ooo_|user_lambda|incredible_tux",
    re.I,
)
# Seen on the contact sheet: photographs of people, a broken drawing, thin diagrams.
UNFIT = re.compile(
    r"a_happy_boy|a_man_singing|a_youngster|a_boy_plays|my_lovely_baby|duck_yellow_ii|otto_0|knot_|sailing_|boating_rules|"
    r"tatoo_tatuaggio|kaboom"
)


def order(path):
    return hashlib.sha256(SEED + path.encode()).digest()


def candidates(root, folder):
    found = []
    for where, _, names in os.walk(os.path.join(root, folder)):
        for n in names:
            full = os.path.join(where, n)
            path = os.path.relpath(full, root)
            if n.endswith(".png") and not os.path.islink(full) and path.isascii() and not (SKIP.search(path) or UNFIT.search(path)):
                found.append(path)
    return sorted(found, key=order)


def load(path):
    """The image over white, cut to its ink, centred in a square; None when it is unreadable or too large."""
    try:
        im = Image.open(path)
        if im.width * im.height > MAX_PIXELS:
            return None
        im = im.convert("RGBA")
    except (OSError, ValueError, SyntaxError):
        return None
    white = Image.new("RGBA", im.size, "white")
    rgb = Image.alpha_composite(white, im).convert("RGB")
    box = ImageChops.difference(rgb, Image.new("RGB", rgb.size, "white")).getbbox()
    if not box:
        return None
    rgb = rgb.crop(box)
    inner = SIZE - 2 * MARGIN
    scale = inner / max(rgb.size)
    w, h = (max(1, round(s * scale)) for s in rgb.size)
    if max(rgb.size) < inner // 2 or min(w, h) < inner // 3:
        return None  # would be blown up, or a thin line
    out = Image.new("RGB", (SIZE, SIZE), "white")
    out.paste(rgb.resize((w, h), Image.LANCZOS), ((SIZE - w) // 2, (SIZE - h) // 2))
    return out


def figures(im):
    """Part of the square that is not paper; mean saturation of that part; spread of the gray values."""
    paper = ImageChops.difference(im, Image.new("RGB", im.size, "white")).convert("L").point(lambda v: 255 if v > 12 else 0)
    ink = ImageStat.Stat(paper).sum[0] / 255
    if not ink:
        return 0, 0, 0
    saturation = ImageStat.Stat(im.convert("HSV"), paper).mean[1]
    return ink / (SIZE * SIZE), saturation, ImageStat.Stat(im.convert("L")).stddev[0]


def thumb(im):
    return list(im.resize((8, 8), Image.BOX).tobytes())


def is_like(a, b):
    return sum(abs(x - y) for x, y in zip(a, b)) / len(a) < 9


def name_of(category, path):
    stem = os.path.splitext(os.path.basename(path))[0]
    return category + "_" + re.sub(r"[^A-Za-z0-9.+-]+", "_", stem).strip("_") + ".png"


def choose(root, category, names, thumbs):
    folder, want, per_folder = QUOTA[category]
    taken, in_folder = [], {}
    for path in candidates(root, folder):
        where, name = "/".join(path.split("/")[:-1][:3]), name_of(category, path)
        if in_folder.get(where, 0) >= ALIKE.get(where, per_folder) or name.lower() in names:
            continue
        im = load(os.path.join(root, path))
        if im is None:
            continue
        ink, saturation, spread = figures(im)
        if ink < 0.15 or saturation < 45 or spread < 25:
            continue
        t = thumb(im)
        if any(is_like(t, other) for other in thumbs):
            continue
        thumbs.append(t)
        names.add(name.lower())
        in_folder[where] = in_folder.get(where, 0) + 1
        taken.append((name, path, im))
        if len(taken) == want:
            return taken
    sys.exit(f"only {len(taken)} of {want} images of '{folder}' are good enough")


def main():
    root, out = sys.argv[1:]
    names, thumbs, taken = set(), [], []
    for category in QUOTA:
        taken += choose(root, category, names, thumbs)
    os.makedirs(out, exist_ok=True)
    for old in os.listdir(out):
        if old.endswith(".png"):
            os.remove(os.path.join(out, old))
    with open(os.path.join(out, "SOURCES.txt"), "w", encoding="ascii", newline="\n") as f:
        f.write("file\topenclipart path\n")
        for name, path, im in sorted(taken, key=lambda t: t[0]):
            im.save(os.path.join(out, name), optimize=True)
            f.write(f"{name}\t{path}\n")
    print(f"{len(taken)} cliparts in {out}")


main()
