#!/usr/bin/env python3
"""The page in a real browser: photographs go in, labels, stages and the server's sentences come
out; nothing is fetched from elsewhere; it can be read, heard and used without a mouse.

Screenshots are left in BUILD/screenshots/. Without a Chromium everything is skipped.
"""
# timeout: 400

import json
import os
import re
import tempfile
import time

import cdp
import draw
import service
import tap
from service import Service

HERE = os.path.dirname(os.path.abspath(__file__))
SHARED = os.path.join(os.environ.get("RESNET_SHARED", ""), "data", "images")
STAGES = ["queue", "read", "decode", "resize", "infer", "write"]
SIZES = {"phone": (390, 844), "desk": (1280, 800)}

# Contrast as WCAG 2 computes it, of what is rendered: every visible text on the nearest background
# that is not transparent, and shapes that mean something on what they stand on.
CONTRAST = """(() => {
  const rgba = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return {c: [r, g, b], a}; };
  const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const under = (node) => { for (; node; node = node.parentElement) {
    const {c, a} = rgba(getComputedStyle(node).backgroundColor); if (a === 1) return c; } return [255, 255, 255]; };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, parent = node.parentElement;
    if (!node.data.trim() || !parent.checkVisibility() || parent.closest('.unseen, script, template')) continue;
    found.push({what: node.data.trim().slice(0, 40), least: 4.5,
                ratio: ratio(rgba(getComputedStyle(parent).color).c, under(parent))});
  }
  for (const [selector, property] of [['.bar', 'backgroundColor'], ['.swatch', 'backgroundColor'],
      ['.pick', 'borderTopColor'], ['.spark polyline', 'stroke'], ['.stage-bar > span', 'backgroundColor']])
    for (const node of document.querySelectorAll(selector))
      found.push({what: selector, least: 3,
                  ratio: ratio(rgba(getComputedStyle(node)[property]).c, under(node.parentElement))});
  return found;
})()"""


class Bench:
    """A page, a service behind it, and a directory of files to choose."""

    def __init__(self, running, browser, directory):
        self.service, self.browser, self.directory = running, browser, directory
        self.tab = browser.tab()
        self.url = f"http://127.0.0.1:{running.port}/"

    def file(self, name, data):
        path = os.path.join(self.directory, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def fresh(self, size="desk"):
        """A page that has asked for all that it asks for of itself: nothing is on its way still."""
        self.reach(True)
        self.tab.size(*SIZES[size])
        ended = self.tab.ended(self.url + "health")
        self.tab.open(self.url)
        self.browser.until(lambda: self.tab.ended(self.url + "health") > ended, cdp.WAIT_S, "health")

    def reach(self, yes):
        speed = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        self.tab.call("Network.emulateNetworkConditions", offline=not yes, **speed)

    def reachable(self, yes):
        """The browser's answer does not mean that requests meet the new conditions: one is tried."""
        self.reach(yes)
        reached = "fetch('status', {cache: 'no-store'}).then(() => true, () => false)"
        self.tab.wait(f"{reached}.then((is) => is === {json.dumps(yes)})")

    def settled(self, cards):
        """So many cards, each with its answer and its picture, or with the lack of them."""
        self.tab.wait(f"document.querySelectorAll('.card').length === {cards} && "
                      "!document.querySelector('.card[aria-busy]') && "
                      "[...document.images].every((image) => image.complete)")  # fmt: skip

    def choose(self, *paths):
        before = self.tab.value("document.querySelectorAll('.card').length")
        self.tab.choose("#files", *paths)
        self.settled(before + len(paths))

    def card(self, index=1):
        """What a card shows: its title, labels, percentages, stages, failure."""
        return self.tab.value("""((card) => ({
            title: card.querySelector('h2').innerText,
            labels: [...card.querySelectorAll('.label')].map((e) => e.innerText),
            percents: [...card.querySelectorAll('.percent')].map((e) => e.innerText),
            widths: [...card.querySelectorAll('.bar')].map((e) => e.style.width),
            stages: [...card.querySelectorAll('.legend .name')].map((e) => e.innerText),
            segments: card.querySelectorAll('.stage-bar > span').length,
            failure: card.querySelector('.failure').checkVisibility() ?
                card.querySelector('.failure').innerText : null,
            facts: card.querySelector('.facts').innerText,
            picture: card.querySelector('img').naturalWidth,
          }))(document.querySelector('.card:nth-of-type(%d)'))""" % index)


# ---- what it shows -------------------------------------------------------------------------------


def shows_labels(bench):
    path = os.path.join(HERE, "fixtures", "demo.jpg")
    with open(path, "rb") as file:
        expected = bench.service.post(file.read()).json()["predictions"]
    bench.fresh()
    bench.choose(path)
    card = bench.card()
    tap.equal(card["title"], "demo.jpg", "the file's name")
    tap.equal(card["labels"], [p["label"] for p in expected], "five labels, as /predict orders them")
    widths = [float(width.rstrip("%")) for width in card["widths"]]
    close = all(abs(w - 100 * p["probability"]) < 0.01 for w, p in zip(widths, expected))
    tap.ok(len(widths) == 5 and close, "five bars, as wide as the probabilities", (widths, expected))
    shown = [float(re.search(r"[\d.]+", text)[0]) for text in card["percents"]]
    tap.ok(all(abs(s - 100 * p["probability"]) <= 0.1 for s, p in zip(shown, expected)),
           "five percentages", (shown, expected))  # fmt: skip
    tap.equal((card["stages"], card["segments"]), (STAGES, 6), "six stages, in legend and bar")
    tap.ok(re.search("request [0-9a-f]{32}", card["facts"]), "the request's id", card["facts"])
    tap.equal(card["failure"], None, "no failure")
    tap.ok(card["picture"] > 0, "the picture itself")
    said = bench.tab.text("#announcement")
    tap.ok(expected[0]["label"] in said and "demo.jpg" in said, "said aloud", said)


def synthetic_warning(bench):
    bench.tab.wait("document.querySelector('#synthetic').checkVisibility()")
    tap.ok("mean nothing" in bench.tab.text("#synthetic"), "synthetic weights are called so")
    tap.ok("synthetic" in bench.tab.text("#model"), "in the model's name, too")


def several(bench):
    paths = [bench.file(f"{n}.jpg", draw.jpeg(seed=n)) for n in (1, 2, 3)]
    bench.fresh()
    bench.choose(*paths)
    titles = [bench.card(n)["title"] for n in (1, 2, 3)]
    tap.equal(titles, ["1.jpg", "2.jpg", "3.jpg"], "several at once, in their order")
    bench.choose(bench.file("4.jpg", draw.jpeg(seed=4)))
    tap.equal(bench.card(1)["title"], "4.jpg", "the newest first")
    bench.choose(*[bench.file(f"x{n}.jpg", draw.jpeg(seed=n)) for n in range(20)])
    bench.tab.choose("#files", paths[0])
    bench.tab.wait("document.querySelector('.card h2').innerText === '1.jpg'")
    bench.settled(24)
    tap.ok(True, "not more than 24 are kept")


def dropped_and_pasted(bench):
    bench.fresh()
    over = "document.querySelector('#pick').classList.contains('over')"
    bench.tab.drop(600, 400, over, bench.file("dropped.jpg", draw.jpeg(seed=7)))
    bench.settled(1)
    tap.equal(len(bench.card()["labels"]), 5, "a dropped photograph")
    bench.tab.value("""(() => {
        const data = new DataTransfer();
        data.items.add(new File(['no picture'], 'pasted.png', {type: 'image/png'}));
        document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true}));
      })()""")
    bench.settled(2)
    card = bench.card(1)
    tap.ok(card["title"] == "pasted.png" and card["failure"], "a pasted file", card)


def shows_sentences(bench):
    bad = {
        "cut.jpg": draw.jpeg()[:-300],
        "words.txt": b"hello, I am no picture",
        "bomb.jpg": draw.header_only(65500, 65500),
        "empty.jpg": b"",
    }
    bench.fresh()
    for name, data in bad.items():
        expected = bench.service.post(data)
        bench.choose(bench.file(name, data))
        card = bench.card()
        tap.equal(card["failure"], expected.json()["error"], f"{name}: the server's sentence")
        tap.ok(f"HTTP {expected.status}" in card["facts"], f"{name}: the status", card["facts"])
        tap.equal(card["labels"], [], f"{name}: no labels")
        again = bench.tab.value("document.querySelector('.card button').checkVisibility()")
        tap.ok(not again, f"{name}: nothing to try again")
        tap.ok(card["failure"] in bench.tab.text("#announcement"), f"{name}: said aloud")


def survives_no_answer(bench):
    tab = bench.tab
    bench.fresh()
    bench.reachable(False)
    bench.choose(bench.file("later.jpg", draw.jpeg(seed=5)))
    tap.ok("cannot be reached" in bench.card()["failure"], "no server: a sentence", bench.card())
    tab.wait("/No news/.test(document.querySelector('#live-note').innerText)")
    tap.equal(tab.text("#live-busy"), "–", "no server: no numbers either")
    bench.reachable(True)
    tab.value("document.querySelector('.card button').click()")
    tab.wait("document.querySelectorAll('.card .label').length === 5")
    bench.settled(1)
    tap.equal(bench.card()["failure"], None, "Try again: an answer, and the failure is gone")
    tap.equal(tab.value("document.activeElement.className"), "card", "the focus is still there")


def lives(bench):
    tab = bench.tab
    bench.fresh()
    tab.wait("/^0 of [12]$/.test(document.querySelector('#live-busy').innerText)")
    tap.equal(tab.text("#live-depth"), "0", "live: nobody waits")
    tab.wait("/ms$/.test(document.querySelector('#live-latency').innerText)")
    tab.wait("document.querySelector('#spark-busy').getAttribute('points').split(' ').length >= 4")
    tap.ok(True, "live: polled again, and drawn")
    hide = """(() => { Object.defineProperty(document, 'hidden', {value: %s, configurable: true});
               document.dispatchEvent(new Event('visibilitychange')); })()"""
    tab.value(hide % "true")
    before = polls(bench)
    tab.value("new Promise((done) => setTimeout(done, 4500))")
    tap.equal(polls(bench), before, "live: not while hidden")
    tab.value(hide % "false")
    bench.browser.until(lambda: polls(bench) > before, cdp.WAIT_S, "polls")
    tap.ok(True, "live: shown again, goes on")


def polls(bench):
    """How often the page has asked, answered or not; what it sent before its last value is in it."""
    sent = bench.tab.seen("Network.requestWillBeSent")
    return sum(event["request"]["url"] == bench.url + "status" for event in sent)


# ---- for everybody -------------------------------------------------------------------------------


def one_of_each(bench):
    """An answer, a picture that is refused, and one that nobody answered."""
    bench.reachable(False)
    bench.choose(bench.file("unanswered.jpg", draw.jpeg(seed=5)))
    bench.reachable(True)
    bench.choose(bench.file("broken.jpg", draw.jpeg()[:-300]))
    bench.choose(os.path.join(HERE, "fixtures", "demo.jpg"))


def named(bench):
    bench.fresh()
    one_of_each(bench)
    nodes = bench.tab.accessible()
    end = time.monotonic() + cdp.WAIT_S  # the tree follows what is drawn, some time later
    while time.monotonic() < end and not all(any(n["name"].startswith(name) for n in nodes)
                                             for name in ("Try again: unanswered.jpg", "Stages: queue")):
        nodes = bench.tab.accessible()
    tap.equal([n for n in nodes if n.get("focusable") and not n["name"]], [], "all that takes focus has a name")
    roles = {n["role"] for n in nodes}
    for role in ("heading", "main", "contentinfo", "banner", "list", "link", "button", "status"):
        tap.ok(role in roles, f"accessibility tree: {role}", sorted(roles))
    images = [n["name"] for n in nodes if n["role"] in ("image", "img")]
    tap.ok(any(name.startswith("Stages: queue") for name in images), "the stages' bar in words", images)
    chooser = [n for n in nodes if n["name"] == "Choose photographs" and n.get("focusable")]
    tap.equal(len(chooser), 1, "the chooser's name")
    levels = [n["level"] for n in nodes if n["role"] == "heading"]
    tap.equal(levels, [1] + [2] * (len(levels) - 1), "headings: one of the first level, then the second")
    again = [n["name"] for n in nodes if n["role"] == "button" and "again" in n["name"]]
    tap.equal(again, ["Try again: unanswered.jpg"], "which one would be tried again")
    tap.equal(bench.tab.value("document.documentElement.lang"), "en", "the language")


def by_keyboard(bench):
    """Order of Tab, and a ring around what has the focus."""
    expected = ["Choose photographs", "Try again", "API description", "Health", "Status"]
    bench.tab.value("document.activeElement.blur(); getSelection().removeAllRanges(); scrollTo(0, 0)")
    order, rings = [], []
    for _ in expected:
        bench.tab.press("Tab", 9)
        name, ring = bench.tab.value("""((e) => {
            const shown = e.labels?.length ? e.labels[0] : e, style = getComputedStyle(shown);
            return [shown.innerText, style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2];
          })(document.activeElement)""")
        order.append(name)
        rings.append(ring)
    tap.equal(order, expected, "Tab goes from top to bottom")
    tap.equal(rings, [True] * len(expected), "and is seen at each")


def contrasts(bench):
    for scheme in ("light", "dark"):
        bench.tab.prefer(color_scheme=scheme)
        found = bench.tab.value(CONTRAST)
        low = [f"{f['what']}: {f['ratio']:.2f}" for f in found if f["ratio"] < f["least"]]
        tap.ok(len(found) > 40 and not low, f"{scheme}: contrast of texts 4.5, of shapes 3", low)
        tap.note(f"{scheme}: least {min(f['ratio'] - f['least'] for f in found):.2f} above its bound")
    grounds = []
    for scheme in ("light", "dark"):
        bench.tab.prefer(color_scheme=scheme)
        grounds.append(bench.tab.value("getComputedStyle(document.body).backgroundColor"))
    tap.ok(grounds[0] != grounds[1], "light and dark differ", grounds)
    bench.tab.value("document.querySelector('.card h2').style.color = '#666'")
    low = [f for f in bench.tab.value(CONTRAST) if f["ratio"] < f["least"]]
    tap.ok(low, "can fail: gray on dark is found")


def still(bench):
    """The dots of what waits breathe, unless somebody wants no motion."""
    running = """(() => { const card = document.querySelector('#card').content.cloneNode(true);
        document.querySelector('#results').append(card);
        return document.getAnimations().length; })()"""
    for motion, moves in (("no-preference", True), ("reduce", False)):
        bench.tab.prefer(reduced_motion=motion)
        bench.fresh()
        tap.equal(bench.tab.value(running) > 0, moves, f"prefers-reduced-motion: {motion}")
    bench.tab.prefer()


def fits(bench):
    bench.fresh()
    one_of_each(bench)
    for width in (320, 390, 768, 1280):
        bench.tab.size(width, 800)
        bench.tab.wait(f"innerWidth === {width}")
        beyond = bench.tab.value("document.documentElement.scrollWidth - innerWidth")
        tap.ok(beyond <= 0, f"{width} px: nothing sticks out", beyond)


def shot(bench, path):
    """Whether there is more in it than a blank page: a loaded machine draws some time later."""
    end, least_bytes = time.monotonic() + cdp.WAIT_S, 10_000
    bench.tab.shoot(path)
    while os.path.getsize(path) <= least_bytes and time.monotonic() < end:
        bench.tab.shoot(path)
    return os.path.getsize(path) > least_bytes


def pictures(bench):
    """For people to look at."""
    for size in SIZES:
        for scheme in ("light", "dark"):
            bench.tab.prefer(color_scheme=scheme, reduced_motion="reduce")
            bench.fresh(size)
            bench.tab.wait("document.querySelector('#live-busy').innerText !== '–'")
            path = os.path.join(service.BUILD, "screenshots", f"{bench.kind}-{size}-{scheme}")
            bench.tab.shoot(path + "-empty.png")
            one_of_each(bench)
            bench.choose(*photographs()[:2])
            tap.ok(shot(bench, path + ".png"), f"a screenshot: {size}, {scheme}")
    bench.tab.prefer()


# ---- what it does not do -------------------------------------------------------------------------


def stays_at_home(bench):
    """Over all that was done to the page until now."""
    tab = bench.tab
    urls = {event["request"]["url"] for event in tab.seen("Network.requestWillBeSent")}
    away = [url for url in urls if not url.startswith((bench.url, f"blob:{bench.url}"))]
    tap.ok(len(urls) > 8, "requests were seen", sorted(urls))
    tap.equal(away, [], "no request to another host")
    thrown = tab.seen("Runtime.exceptionThrown")
    printed = [e for e in tab.seen("Runtime.consoleAPICalled") if e["type"] in ("error", "warning")]
    tap.equal((thrown, printed), ([], []), "nothing thrown, nothing on the console")
    # that a broken picture was refused is the browser's own line, and is what was asked for
    entries = [e["entry"] for e in tab.seen("Log.entryAdded")]
    wrong = [e for e in entries if e["level"] in ("error", "warning")
             and not (e["source"] == "network" and e.get("url", "").startswith(bench.url)
                      and re.search("/(predict|status)", e["url"]))]  # fmt: skip
    tap.equal(wrong, [], "nothing in the log: no policy violated, nothing missing")


def policy_holds(bench):
    """The policy is not only sent: the browser stops what it forbids."""
    bench.fresh()
    wanted = {"img-src", "connect-src", "require-trusted-types-for", "innerHTML"}
    bench.tab.value("""(() => {
        window.seen = [];
        document.addEventListener('securitypolicyviolation', (e) => seen.push(e.effectiveDirective));
        const image = new Image();
        image.src = 'http://127.0.0.1:1/x.png';
        fetch('http://127.0.0.1:1/').catch(() => {});
        try { document.body.innerHTML = '<p>'; } catch { seen.push('innerHTML'); }
      })()""")
    end = time.monotonic() + cdp.WAIT_S
    while len(blocked := bench.tab.value("seen")) < len(wanted) and time.monotonic() < end:
        time.sleep(0.05)
    tap.equal(set(blocked), wanted, "the policy stops pictures, requests and markup from elsewhere")


def photographs():
    """Real ones where there are any, else drawn."""
    if os.path.isdir(SHARED):
        names = sorted(os.listdir(SHARED))
        return [os.path.join(SHARED, n) for n in names if "retriever" in n or "bald_eagle" in n]
    return [os.path.join(HERE, "fixtures", "demo.jpg")] * 2


def golden(bench):
    """With weights that mean something."""
    rows = {}
    with open(os.path.join(SHARED, "..", "labels.tsv"), encoding="utf-8") as file:
        for line in file:
            name, _, label = line.rstrip("\n").split("\t")
            rows[os.path.basename(name)] = label
    bench.fresh()
    for path in photographs():
        bench.choose(path)
        tap.equal(bench.card()["labels"][0], rows[os.path.basename(path)], f"{rows[os.path.basename(path)]} first")
    tap.ok(not bench.tab.value("document.querySelector('#synthetic').checkVisibility()"),
           "real weights: no warning")  # fmt: skip


SYNTHETIC = (shows_labels, synthetic_warning, several, dropped_and_pasted, shows_sentences,
             survives_no_answer, lives, named, by_keyboard, contrasts, still, fits, pictures,
             stays_at_home, policy_holds)  # fmt: skip


def drive(kind, model, tests):
    with Service(workers=2, model=model) as running, cdp.Browser() as browser:
        with tempfile.TemporaryDirectory(prefix="resnet-page.") as directory:
            bench = Bench(running, browser, directory)
            bench.kind = kind
            for test in tests:
                try:
                    test(bench)
                except Exception as error:  # one that breaks must not hide the others
                    tap.ok(False, f"{test.__name__}: {type(error).__name__}: {error}")


def synthetic():
    drive("synthetic", None, SYNTHETIC)


def real():
    model = service.real_model()
    if not model:
        return tap.skip("the right label first", "RESNET_SHARED names no real weights")
    return drive("real", model, (golden, pictures, stays_at_home))


if not cdp.find():
    tap.skip_all("no Chromium here; tests/deps.sh full installs one")
tap.run(synthetic, real)
