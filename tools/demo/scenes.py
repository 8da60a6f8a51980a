"""Procedural scenes with questions and answers: signs (TextVQA-like), forms (DocVQA-like),
character strings (OCRBench-like), object presence (MME-like)."""
import glob, random
from PIL import Image, ImageDraw, ImageFont

COLORS = {"red": (210, 40, 40), "green": (40, 160, 60), "blue": (50, 80, 210), "yellow": (235, 205, 50),
          "purple": (140, 60, 170), "orange": (240, 140, 40), "black": (25, 25, 25), "white": (245, 245, 245)}
SHAPES = ["circle", "square", "triangle", "star"]
WORDS = """stop exit open closed sale coffee hotel bank park bus taxi school library market pizza bread milk water fire
danger caution slow north south east west river ocean mountain garden bridge street avenue station airport museum theater
music dance paper stone metal glass apple orange lemon cherry grape banana tomato potato onion pepper sugar salt honey
winter summer spring autumn monday friday sunday morning evening night happy quiet bright silver golden purple crystal
dragon tiger eagle falcon rabbit turtle dolphin panther wizard knight castle tower palace temple harbor island desert
forest meadow valley canyon sunset thunder breeze storm cloud rain snow frost flame ember spark candle lantern mirror
window door table chair pencil marker ruler folder ticket wallet camera guitar violin piano trumpet drum bakery pharmacy
clinic dentist doctor nurse police rescue pilot sailor farmer butcher tailor painter singer actor writer baker planet
comet rocket orbit galaxy meteor lunar solar stellar cosmic atom proton photon vector matrix tensor kernel cache binary""".split()
NAMES = "alice bob carol david emma frank grace henry irene jack karen leo mary nina oscar paul quinn rosa steve tina uma victor wendy xavier yara zoe".split()
FIELDS = ["name", "total", "date", "room", "code", "price", "seat", "age"]
ALNUM = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
FONTS = sorted(glob.glob("/usr/share/fonts/truetype/dejavu/DejaVuSans*.ttf") + glob.glob("/usr/share/fonts/truetype/liberation/Liberation*-Regular.ttf") + glob.glob("/usr/share/fonts/truetype/liberation/Liberation*-Bold.ttf"))
FONTS = [f for f in FONTS if "Oblique" not in f and "ExtraLight" not in f and "MathTeX" not in f]
MONO = [("/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf", 23), ("/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf", 23), ("/usr/share/fonts/truetype/liberation/LiberationMono-Bold.ttf", 23)]
SIZES = [(112, 112), (112, 84), (140, 84), (168, 84), (168, 112)]
_cache = {}

MARKS = []  # (x, y, label) of everything drawn in the current scene: dense supervision for the vision tower
OBJECTS = []  # (shape, colour) of every object in the current scene: what training asks further questions about

def write(d, xy, text, fnt, fill):
    d.text(xy, text, font=fnt, fill=fill)
    x0, y0, x1, y1 = d.textbbox(xy, text, font=fnt)
    for i, ch in enumerate(text):
        if ch != " ":
            MARKS.append((xy[0] + d.textlength(text[:i], font=fnt) + d.textlength(ch, font=fnt) / 2, (y0 + y1) / 2, ch))

def font(path, size):
    if (path, size) not in _cache:
        _cache[path, size] = ImageFont.truetype(path, size)
    return _cache[path, size]

def shape(d, kind, x, y, r, color):
    if kind == "circle": d.ellipse([x - r, y - r, x + r, y + r], fill=color)
    elif kind == "square": d.rectangle([x - r * .88, y - r * .88, x + r * .88, y + r * .88], fill=color)
    elif kind == "triangle": d.polygon([(x, y - r), (x - r, y + r * .8), (x + r, y + r * .8)], fill=color)
    else:
        import math
        pts = [(x + (r if i % 2 == 0 else r * .42) * math.sin(math.pi * i / 5), y - (r if i % 2 == 0 else r * .42) * math.cos(math.pi * i / 5)) for i in range(10)]
        d.polygon(pts, fill=color)

def fit(rng, d, text, width, lo, hi):
    path = rng.choice(FONTS)
    size = rng.randint(lo, hi)
    while size > 11 and d.textlength(text, font=font(path, size)) > width:
        size -= 1
    return font(path, size)

def contrast(rng, names, against):
    lum = lambda c: .3 * c[0] + .59 * c[1] + .11 * c[2]
    ok = [n for n in names if abs(lum(COLORS[n]) - lum(COLORS[against])) > 75]
    return rng.choice(ok)

def value(rng, f):
    if f == "name": return rng.choice(NAMES)
    if f in ("total", "price"): return f"{rng.randint(1, 99)}.{rng.randint(0, 99):02d}"
    if f == "date": return f"{rng.randint(1, 28):02d}/{rng.randint(1, 12):02d}"
    if f == "room": return str(rng.randint(100, 999))
    if f == "age": return str(rng.randint(10, 99))
    if f == "seat": return f"{rng.randint(1, 40)}{rng.choice('ABCDEF')}"
    return "".join(rng.choice(ALNUM) for _ in range(4))

# Text is monospaced, 14 pixels a character, a line 28 pixels high, with a pixel or so of jitter.
def line(rng, d, text, col, row, ink):
    path, size = rng.choice(MONO); f = font(path, size)
    write(d, (14 * col + rng.randint(-1, 1), 28 * row + 1 + rng.randint(-1, 1)), text, f, ink)

def form(rng, w, h):
    bg = rng.choice([(255, 255, 255), (250, 246, 235), (238, 242, 250)])
    im = Image.new("RGB", (w, h), bg); d = ImageDraw.Draw(im)
    lines = h // 28; n = rng.randint(1, lines); fields = rng.sample(FIELDS, n); rows = sorted(rng.sample(range(lines), n)); qa = []
    for f, r in zip(fields, rows):
        v = value(rng, f)
        if rng.random() < .4: d.line([3, 28 * r + 27, w - 4, 28 * r + 27], fill=(180, 180, 180))
        line(rng, d, f"{f}:{v}", rng.randint(0, max(0, min(1, w // 14 - len(f) - len(v) - 1))), r, (20, 20, 20) if rng.random() < .7 else COLORS["blue"])
        qa.append(("doc", f"What is the {f}?", v))
    qa.append(("caption", "Read all the text.", " ".join(f"{f}: {a[2]}" for f, a in zip(fields, qa))))
    return im, qa

def sign(rng, w, h):
    bgc = rng.choice(list(COLORS)); im = Image.new("RGB", (w, h), tuple(min(255, max(0, c + rng.randint(-12, 12))) for c in COLORS[bgc])); d = ImageDraw.Draw(im)
    cols, rows = w // 28, h // 28; random_string = rng.random() < .5
    while True:
        text = "".join(rng.choice(ALNUM) for _ in range(rng.randint(3, 5))) if random_string else rng.choice(WORDS)
        if len(text) <= w // 14 - 1: break
    if not random_string and rng.random() < .3: text = text.upper()
    plate = contrast(rng, list(COLORS), bgc); ink = contrast(rng, list(COLORS), plate)
    r, c = rng.randint(0, rows - 1), rng.randint(0, w // 14 - len(text))
    d.rectangle([14 * c - 2, 28 * r + 1, 14 * (c + len(text)) + 2, 28 * r + 27], fill=COLORS[plate])
    line(rng, d, text, c, r, COLORS[ink])
    free = [(i, j) for i in range(rows) if i != r for j in range(cols)]; n = rng.randint(1, 3); objs = []
    for i, j in sorted(rng.sample(free, n)):
        k = rng.choice(SHAPES); col = rng.choice([x for x in COLORS if x != bgc]); rad = rng.randint(9, 12)
        cx, cy = 28 * j + 14 + rng.randint(-2, 2), 28 * i + 14 + rng.randint(-2, 2)
        shape(d, k, cx, cy, rad, COLORS[col]); objs.append((k, col)); MARKS.extend([(cx, cy, k), (cx, cy, col)])
    qa = [("ocr" if random_string else "text", "Read the characters." if random_string else rng.choice(["What does the sign say?", "What is written in the image?"]), text)]
    col, k = rng.choice(COLORS_L), rng.choice(SHAPES)
    if rng.random() < .5: k, col = rng.choice(objs)
    elif rng.random() < .5: k, col = rng.choice(objs)[0], rng.choice(COLORS_L)
    qa.append(("mme", f"Is there a {col} {k} in the image? Please answer yes or no.", "yes" if (k, col) in objs else "no"))
    qa.append(("count", "How many shapes are there?", str(n)))
    OBJECTS.extend(objs)
    kinds = [o[0] for o in objs]; one = [o for o in objs if kinds.count(o[0]) == 1]
    if one:
        o = rng.choice(one); qa.append(("color", f"What color is the {o[0]}?", o[1]))
    qa.append(("caption", "Describe the image.", "the text " + text + " and " + ", ".join(f"a {o[1]} {o[0]}" for o in objs) + f" on a {bgc} background"))
    return im, qa

COLORS_L = list(COLORS)

LABELS = {c: i for i, c in enumerate("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./:")} | {s: 65 + i for i, s in enumerate(SHAPES)} | {c: 69 + i for i, c in enumerate(COLORS)}

def scene(rng, w, h):
    MARKS.clear(); OBJECTS.clear()
    return form(rng, w, h) if w >= 168 else sign(rng, w, h)  # forms need twelve columns

if __name__ == "__main__":
    rng = random.Random(1)
    sheet = Image.new("RGB", (6 * 176, 4 * 176), (90, 90, 90))
    for i in range(24):
        im, qa = scene(rng, *SIZES[i % 5]); sheet.paste(im, ((i % 6) * 176, (i // 6) * 176))
        if i < 6: print(qa)
    sheet.save("sheet.png"); print(len(FONTS), len(WORDS))
