"""Opens report pages in a headless Chromium, checks them, and takes pictures for people to look at.

    pip install playwright
    python tools/report/look.py report.html [more.html ...] --shots shots/ [--browser /usr/bin/chromium]

Every page is opened as a file, with the network off, at 360, 800 and 1440 pixels, in light and in dark. A page passes if it has
no message in the console, asks for nothing but itself, has no script, does not scroll sideways, has no text below 4.5:1 against
what is behind it, is at most 3 MB long, and shows all tables with scripts disabled. Exit code 1 if one does not. Without --browser
playwright's own Chromium is used (`playwright install chromium`).

With --self-test every page is spoilt in one way after the other, and it is the checks that pass or not: each has to find what was
spoilt, and nothing else may be found. Copies with another style have a policy that allows it, or their style would not count.
"""

import argparse
import base64
import hashlib
import html
import pathlib
import re
import sys
import tempfile

from playwright.sync_api import sync_playwright

WIDTHS = (360, 800, 1440)
SCHEMES = ("light", "dark")
LONGEST = 3_000_000

# Text that is hard to read: of every element with text of its own, the contrast of its colour and the first opaque colour behind.
FAINT = """() => {
  const rgb = text => { const n = text.match(/[\\d.]+/g).map(Number); return n.length > 3 && n[3] === 0 ? null : n.slice(0, 3); };
  const light = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c) return c; }
    return [255, 255, 255]; };
  const found = new Map();
  for (const e of document.body.querySelectorAll('*')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const style = getComputedStyle(e);
    const ink = rgb(e instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(ink), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.set(e.tagName + '.' + (e.getAttribute('class') || ''), ratio.toFixed(2));
  }
  return [...found].slice(0, 10);
}"""

# Elements that are wider than the page and in no box that scrolls.
WIDE = """() => {
  const over = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (over <= 0) return [];
  const wide = [...document.body.querySelectorAll('*')].filter(e =>
    e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !e.closest('.wide'));
  return ['by ' + over, ...wide.slice(0, 5).map(e => e.tagName + '.' + (e.getAttribute('class') || ''))];
}"""


def look(browser, page_file, shots):
    """What is wrong with one page."""
    problems = []
    if page_file.stat().st_size > LONGEST:
        problems.append(f"{page_file.stat().st_size} bytes, at most {LONGEST}")
    url = page_file.resolve().as_uri()
    for width in WIDTHS:
        for scheme in SCHEMES:
            context = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True,
            )
            page = context.new_page()
            said, asked = [], []
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("request", lambda request: asked.append(request.url))
            page.goto(url)
            page.wait_for_timeout(100)
            where = f"{width} px, {scheme}"
            problems += [f"{where}: console: {text}" for text in said]
            problems += [f"{where}: asks for {a[:80]}" for a in asked if a != url and not a.startswith("data:")]
            problems += [f"{where}: scrolls sideways: {text}" for text in page.evaluate(WIDE)]
            # What is folded counts too.
            page.evaluate("() => document.querySelectorAll('details').forEach(d => d.open = true)")
            problems += [f"{where}: unfolded, scrolls sideways: {text}" for text in page.evaluate(WIDE)]
            problems += [f"{where}: faint: {what} {ratio}" for what, ratio in page.evaluate(FAINT)]
            if page.evaluate("() => document.scripts.length"):
                problems.append(f"{where}: has a script")
            page.reload()
            if shots:
                page.screenshot(path=shots / f"{page_file.parent.name}-{width}-{scheme}.png", full_page=True)
            context.close()
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(url)
    # What is folded unfolds without scripts.
    for table in page.locator("table:not(details:not([open]) table)").all():
        if not table.is_visible():
            problems.append("without scripts: a table is not visible")
    context.close()
    return problems


def styled(rule):
    """Spoils a page by a rule of style, which its policy then allows."""
    def spoil(page):
        style = re.search("<style>(.*?)</style>", page, re.S).group(1) + rule
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        policy = re.search('Content-Security-Policy" content="(.*?)"', page).group(1)
        allowed = re.sub("'sha256-.*?'", lambda _: f"'sha256-{digest}'", html.unescape(policy))
        page = page.replace(policy, html.escape(allowed))
        return re.sub("<style>.*?</style>", lambda _: f"<style>{style}</style>", page, flags=re.S)
    return spoil


def added(text):
    """Spoils a page by something at its end."""
    return lambda page: page.replace("</footer>", text + "</footer>")


# How a page is spoilt, and what every problem then found has in it.
FAULTS = {
    "nothing": (styled("h1{font-weight:600}"), ()),
    "faint in light": (styled("@media(prefers-color-scheme:light){.brand{color:#999}}"), ("light: faint: P.brand",)),
    "faint in dark": (styled("@media(prefers-color-scheme:dark){.brand{color:#555}}"), ("dark: faint: P.brand",)),
    "faint drawing": (styled(".brand{color:var(--ink)}svg text{fill:var(--card)!important}"), ("faint: text.",)),
    "style not allowed": (lambda page: page.replace("</style>", "h1{color:red}</style>"), ("console:", "scrolls", "faint", "asks")),
    "too wide": (styled(".brand{width:2000px}"), ("scrolls sideways",)),
    "folded, too wide": (styled("details:not(.map)>p{width:2000px;max-width:none}"), ("unfolded, scrolls sideways",)),
    "script": (added("<script>1</script>"), ("has a script", "console:")),
    "network": (added('<img src="https://example.org/a.png" alt="">'), ("asks for https", "console:")),
    "too long": (added(f"<!--{' ' * LONGEST}-->"), ("bytes, at most",)),
    "hidden table": (styled("main table{visibility:hidden}"), ("without scripts",)),
}


def self_test(browser, page_file):
    """What the checks do not find in spoilt copies of a page, or find without reason."""
    problems = []
    page = page_file.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for name, (spoil, expected) in FAULTS.items():
            spoilt = spoil(page)
            if spoilt == page:
                problems.append(f"{name}: this page has nothing of the kind")
                continue
            copy = pathlib.Path(folder, "spoilt.html")
            copy.write_text(spoilt, encoding="utf-8")
            found = look(browser, copy, None)
            problems += [f"{name}: not found: {text}" for text in expected[:1] if not any(text in f for f in found)]
            problems += [f"{name}: found: {f}" for f in found if not any(text in f for text in expected)]
    return problems


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("pages", nargs="+", type=pathlib.Path)
    arguments.add_argument("--shots", type=pathlib.Path, help="folder for pictures")
    arguments.add_argument("--self-test", action="store_true", help="whether the checks find what is spoilt")
    arguments.add_argument("--browser", help="path of a Chromium")
    arguments = arguments.parse_args()
    if arguments.shots:
        arguments.shots.mkdir(parents=True, exist_ok=True)
    failed = False
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=arguments.browser, args=["--no-sandbox"])
        for page_file in arguments.pages:
            problems = self_test(browser, page_file) if arguments.self_test else look(browser, page_file, arguments.shots)
            failed |= bool(problems)
            print(f"{page_file}: {'ok' if not problems else ''}")
            for problem in problems:
                print(f"  {problem}")
        browser.close()
    sys.exit(failed)


if __name__ == "__main__":
    main()
