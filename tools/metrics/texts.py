"""Texts on which readers of answers may disagree."""

import unicodedata

WORDS = (
    "a an the A The AN none zero one Two three FOUR five six seven eight nine ten eleven yes no Yes NO cat dog red blue "
    "stop sign coca cola 1 2 10 42 3.5 .5 5. 1,000 1,000,000 2,5 1.234,5 50% 12.5% $5 5kg 10-15 3/4 1e3 -7 +7 2nd "
    "dont don't isnt isn't cant shes he's hed've he'dve couldnt've couldn'tve yall'd've y'alld've y'all somebody'd "
    "somebodyd 'twas twas ow's'at oclock o'clock Im I'm lets let's maam weve its it's john's theyre its' "
    "St. U.S.A. e.g. ... a.b .x. www.site.com/a?b=1 info@site.org #1 (left) [right] {curly} <tag> back\\slash under_score "
    "semi;colon quote\"d ``tick` why? now! A+ C++ x=y p->q 100° ½ ² № ™ é ñ ü ß ẞ ŉ ﬁ İstanbul ıı ΟΔΟΣ Σ ΑΣ. ς ÅNGSTRÖM K "
    "ＦＵＬＬ　ｗｉｄｔｈ １２ ٣ ४२ १,२ 一 二千 東京 北京大学 한국 привет ДА שלום مرحبا 🙂 👩‍🚀 e\u0301 \u0130 \u01c5 ǅ"
).split()
GAPS = [" "] * 20 + ["  ", "\n", "\t", "\r\n", "\u00a0", "\u3000", "\u2009", "\u200b", "\x1c", "\x0b", "\x85", ", ", ". ", ",", "-", "/", " - ", "; "]
ENDS = [""] * 12 + [" ", ".", "!", "?", "\n", "\t ", "\u3000", ",", "...", "%", '"']
REGEX = [".*", "^$", "(a|b)+", "[A-Z", "\\d{3}", "a{1,", "(?i)", "\\", "$", "*?", "|", "\\b"]


def text(rng, most=4):
    if rng.random() < 0.02:
        return rng.choice(["", " ", "\n", "\u3000", ".", ",", "?", "'", "nan", "None", "[]", "['a']"])
    if rng.random() < 0.03:
        return rng.choice(REGEX + ["." * 40] * 4)
    out = rng.choice(WORDS)
    for _ in range(rng.randrange(most)):
        out += rng.choice(GAPS) + rng.choice(WORDS)
    return rng.choice(["", "", "", " ", "\n", '"']) + out + rng.choice(ENDS)


def long(rng, words=150):
    return "".join(rng.choice(WORDS) + rng.choice(GAPS) for _ in range(words))


def changed(rng, original, times=1):
    """Perhaps the same to a reader."""
    out = original
    for _ in range(times):
        how = rng.randrange(13)
        at = rng.randrange(len(out) + 1)
        if how == 0:
            out = out.upper()
        elif how == 1:
            out = out.lower()
        elif how == 2:
            out = out[:at] + rng.choice("abc .,'-/ \n15%") + out[at:]
        elif how == 3:
            out = out[:at] + out[at + 1 :]
        elif how == 4:
            out = out.replace("'", "", 1)
        elif how == 5:
            out = rng.choice(["the ", "a ", "The answer is ", "It is ", " "]) + out
        elif how == 6:
            out = out + rng.choice([".", " .", "!", " ?", "\n", ", I think", " and no", "%"])
        elif how == 7:
            out = out.replace(" ", rng.choice(["  ", "\n", "", "\t", "\u00a0", "-"]))
        elif how == 8:
            out = out.replace(",", "")
        elif how == 9:
            out = out.replace("one", "1").replace("two", "2").replace("ten", "10").replace("none", "0")
        elif how == 10:
            out = unicodedata.normalize(rng.choice(["NFC", "NFD", "NFKC"]), out)
        elif how == 11:
            out = out.swapcase()
    return out


def number(rng):
    plain = rng.choice(["0", "0.0", "-0", "1", "5", "10", "12.5", "99", "1000", "1e5", "1E-3", "-7", "+3.25", "nan", "inf", "-Infinity"])
    if rng.random() < 0.5:
        plain = repr(round(rng.uniform(-50, 2000), rng.randrange(4)))
    how = rng.randrange(24)
    if how == 0:
        plain = "".join(chr(0x660 + int(c)) if c.isascii() and c.isdigit() else c for c in plain)
    elif how == 1:
        plain = "".join(chr(0xFF10 + int(c)) if c.isascii() and c.isdigit() else c for c in plain)
    elif how == 2:
        plain = plain.replace("0", "_0")
    elif how == 3:
        plain = "1,000" + plain
    elif how == 4:
        plain = rng.choice(["\u00a0", "\x1c", "\u3000", "\t", " "]) + plain + rng.choice(["\u00a0", "\x1f", "\u2003", "\n"])
    elif how == 5:
        plain += rng.choice([" kg", "m", "e", ".", "..", "_", "x", " million", "\x7f", "½"])
    elif how in (6, 7, 8, 9):
        plain += rng.choice(["%", " %", "%%", "% ", "%."])
    return plain


def near(rng, original):
    """A number about the tolerance of one in twenty away."""
    try:
        value = float(original.strip().rstrip("%"))
    except ValueError:
        return changed(rng, original)
    scale = rng.choice([1, 1, 1.05, 0.95, 1.0500001, 0.9499999, 1.049, 0.951, 1.2, 100, 0.01, -1])
    return rng.choice(["{!r}", "{:.3f}", "{:g}", "{:e}", " {!r}", "{!r}%", "{:,.2f}"]).format(value * scale)
