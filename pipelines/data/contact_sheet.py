"""contact_sheet.py FOLDER OUT.png [COLUMNS] - all images of a folder on one sheet, in the order of their names."""
import os
import sys

from PIL import Image

folder, out = sys.argv[1:3]
columns = int(sys.argv[3]) if len(sys.argv) > 3 else 25
names = sorted(n for n in os.listdir(folder) if n.endswith((".png", ".jpg")))
sheet = Image.new("RGB", (columns * 66, (len(names) + columns - 1) // columns * 66), "gray")
for i, n in enumerate(names):
    sheet.paste(Image.open(os.path.join(folder, n)).convert("RGB"), (i % columns * 66 + 1, i // columns * 66 + 1))
sheet.save(out)
